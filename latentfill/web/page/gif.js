// A small GIF writer: one palette for all frames (median cut), LZW as in the GIF89a specification, endless loop.

/** A GIF file of frames of equal size: [{ data: RGBA bytes, delay: hundredths of a second }]. */
export function gif(width, height, frames) {
  const palette = medianCut(frames.map((frame) => frame.data));
  const nearest = matcher(palette);
  const out = new Bytes();
  out.text("GIF89a").short(width).short(height).byte(0xf7, 0, 0); // 256 colours of 8 bits
  for (let i = 0; i < 256; i++) out.byte(...(palette[i] ?? [0, 0, 0]));
  out.byte(0x21, 0xff, 11).text("NETSCAPE2.0").byte(3, 1).short(0).byte(0);
  for (const { data, delay } of frames) {
    out.byte(0x21, 0xf9, 4, 0).short(delay).byte(0, 0);
    out.byte(0x2c).short(0).short(0).short(width).short(height).byte(0);
    const indices = new Uint8Array(width * height);
    for (let i = 0; i < indices.length; i++) indices[i] = nearest(data[4 * i], data[4 * i + 1], data[4 * i + 2]);
    compress(out, indices);
  }
  return new Blob([out.byte(0x3b).finished()], { type: "image/gif" });
}

class Bytes {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  byte(...values) {
    while (this.#length + values.length > this.#bytes.length) {
      const longer = new Uint8Array(2 * this.#bytes.length);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    for (const value of values) this.#bytes[this.#length++] = value;
    return this;
  }
  short(value) { return this.byte(value & 255, value >> 8); }
  text(letters) { return this.byte(...new TextEncoder().encode(letters)); }
  finished() { return this.#bytes.subarray(0, this.#length); }
}

/** At most 256 colours: the box of colours with the longest side is cut at its median until there are so many. */
function medianCut(pictures) {
  const colours = [];
  const total = pictures.reduce((sum, data) => sum + data.length / 4, 0), step = 4 * Math.max(1, Math.round(total / 20000));
  for (const data of pictures) {
    for (let i = 0; i < data.length; i += step) colours.push([data[i], data[i + 1], data[i + 2]]);
  }
  const boxes = [sized(colours)];
  while (boxes.length < 256) {
    boxes.sort((a, b) => a.length - b.length);
    const box = boxes.pop();
    if (!box.length) {
      boxes.push(box);
      break;
    }
    box.colours.sort((a, b) => a[box.axis] - b[box.axis]);
    const half = box.colours.length >> 1;
    boxes.push(sized(box.colours.slice(0, half)), sized(box.colours.slice(half)));
  }
  return boxes.map(({ colours: some }) => [0, 1, 2].map((axis) => {
    return Math.round(some.reduce((sum, colour) => sum + colour[axis], 0) / some.length);
  }));
}

function sized(colours) {
  let longest = { axis: 0, length: 0 };
  for (let axis = 0; axis < 3; axis++) {
    let low = 255, high = 0;
    for (const colour of colours) [low, high] = [Math.min(low, colour[axis]), Math.max(high, colour[axis])];
    if (high - low > longest.length) longest = { axis, length: high - low };
  }
  return { colours, ...longest };
}

/** The palette's number of the colour nearest to one; colours alike in their upper six bits are looked up once. */
function matcher(palette) {
  const known = new Int16Array(1 << 18).fill(-1);
  return (red, green, blue) => {
    const key = ((red >> 2) << 12) | ((green >> 2) << 6) | (blue >> 2);
    if (known[key] >= 0) return known[key];
    let best = 0, least = Infinity;
    palette.forEach(([r, g, b], i) => {
      const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
      if (distance < least) [best, least] = [i, distance];
    });
    return (known[key] = best);
  };
}

/** LZW with codes of 9 to 12 bits, in blocks of at most 255 bytes. */
function compress(out, indices) {
  const CLEAR = 256, END = 257;
  let bits = 0, held = 0, block = [];
  const emit = (code, width) => {
    held |= code << bits;
    for (bits += width; bits >= 8; bits -= 8, held >>>= 8) {
      block.push(held & 255);
      if (block.length === 255) {
        out.byte(255, ...block);
        block = [];
      }
    }
  };
  out.byte(8);
  let table = new Map(), next = END + 1, width = 9, prefix = indices[0];
  emit(CLEAR, width);
  for (let i = 1; i < indices.length; i++) {
    const key = (prefix << 8) | indices[i], found = table.get(key);
    if (found !== undefined) {
      prefix = found;
      continue;
    }
    emit(prefix, width);
    prefix = indices[i];
    if (next === 4096) { // the table is full
      emit(CLEAR, width);
      [table, next, width] = [new Map(), END + 1, 9];
      continue;
    }
    table.set(key, next);
    if (next === 1 << width) width++; // the reader is one entry behind
    next++;
  }
  emit(prefix, width);
  if (next === 1 << width && width < 12) width++;
  emit(END, width);
  if (bits > 0) emit(0, 8 - bits);
  if (block.length) out.byte(block.length, ...block);
  out.byte(0);
}
