// The hole: one byte for each pixel of the photo, 1 = to be found. Shapes are drawn here, not by a canvas, whose soft
// edges would leave pixels that are half known.

import { makeCanvas } from "./elements.js";

/** A rectangle of whole pixels; `right` and `bottom` are not in it. */
export class Box {
  constructor(left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity) {
    Object.assign(this, { left, top, right, bottom });
  }
  get width() { return Math.max(0, this.right - this.left); }
  get height() { return Math.max(0, this.bottom - this.top); }
  get empty() { return !(this.width && this.height); }
  with(other) {
    return new Box(Math.min(this.left, other.left), Math.min(this.top, other.top),
      Math.max(this.right, other.right), Math.max(this.bottom, other.bottom));
  }
  within(other) {
    return new Box(Math.max(this.left, other.left), Math.max(this.top, other.top),
      Math.min(this.right, other.right), Math.min(this.bottom, other.bottom));
  }
  moved(x, y) { return new Box(this.left + x, this.top + y, this.right + x, this.bottom + y); }
  grown(by, width, height) {
    return new Box(Math.max(0, Math.floor(this.left - by)), Math.max(0, Math.floor(this.top - by)),
      Math.min(width, Math.ceil(this.right + by)), Math.min(height, Math.ceil(this.bottom + by)));
  }
}

export class Hole {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.cells = new Uint8Array(width * height);
  }

  get whole() { return new Box(0, 0, this.width, this.height); }
  get isEmpty() { return !this.cells.includes(1); }

  /** The smallest box with all of the hole. */
  get bounds() {
    const first = this.cells.indexOf(1);
    if (first < 0) return new Box();
    const top = Math.floor(first / this.width), bottom = Math.floor(this.cells.lastIndexOf(1) / this.width) + 1;
    let left = this.width, right = 0;
    for (let y = top; y < bottom; y++) {
      const row = this.cells.subarray(y * this.width, (y + 1) * this.width);
      const begin = row.indexOf(1);
      if (begin < 0) continue;
      left = Math.min(left, begin);
      right = Math.max(right, row.lastIndexOf(1) + 1);
    }
    return new Box(left, top, right, bottom);
  }

  /** A line with round ends, of this radius, from `a` to `b`. Like all that draws, it returns the box that changed. */
  line(a, b, radius, value) {
    const length = Math.hypot(b.x - a.x, b.y - a.y);
    const side = length ? { x: (-(b.y - a.y) / length) * radius, y: ((b.x - a.x) / length) * radius } : null;
    const corners = side && [[a, 1], [b, 1], [b, -1], [a, -1]].map(([p, s]) => ({ x: p.x + s * side.x, y: p.y + s * side.y }));
    return this.#rows(Math.min(a.y, b.y) - radius, Math.max(a.y, b.y) + radius, value, (y) => {
      let from = Infinity, to = -Infinity;
      for (const end of [a, b]) {
        const reach = Math.sqrt(radius ** 2 - (y - end.y) ** 2);
        if (reach >= 0) [from, to] = [Math.min(from, end.x - reach), Math.max(to, end.x + reach)];
      }
      for (const { x } of corners ? crossings(corners, y) : []) [from, to] = [Math.min(from, x), Math.max(to, x)];
      return [[from, to]];
    });
  }

  /** All inside a polygon, however it crosses itself. */
  polygon(points, value) {
    const heights = points.map((p) => p.y);
    return this.#rows(Math.min(...heights), Math.max(...heights), value, (y) => {
      const spans = [];
      let winding = 0, from = 0;
      for (const { x, turn } of crossings(points, y).sort((p, q) => p.x - q.x)) {
        if (winding === 0) from = x;
        winding += turn;
        if (winding === 0) spans.push([from, x]);
      }
      return spans;
    });
  }

  rectangle(a, b, value) {
    return this.polygon([a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }], value);
  }

  /** Everything that can be reached from a pixel without crossing into cells of the other value. */
  flood(point, value) {
    const { width, height, cells } = this;
    const start = [Math.floor(point.x), Math.floor(point.y)];
    if (start[0] < 0 || start[1] < 0 || start[0] >= width || start[1] >= height) return new Box();
    let box = new Box();
    const waiting = [start];
    while (waiting.length) {
      const [x, y] = waiting.pop();
      const row = y * width;
      if (cells[row + x] === value) continue;
      let left = x, right = x + 1;
      while (left > 0 && cells[row + left - 1] !== value) left--;
      while (right < width && cells[row + right] !== value) right++;
      cells.fill(value, row + left, row + right);
      box = box.with(new Box(left, y, right, y + 1));
      for (const next of [y - 1, y + 1]) {
        if (next < 0 || next >= height) continue;
        for (let i = left; i < right; i++) {
          const open = cells[next * width + i] !== value;
          if (open && (i === left || cells[next * width + i - 1] === value)) waiting.push([i, next]);
        }
      }
    }
    return box;
  }

  fill(value) {
    this.cells.fill(value);
    return this.whole;
  }

  /** All outside of a box is to be found. */
  fillAround(box) {
    const { cells, width } = this;
    cells.fill(1, 0, box.top * width).fill(1, box.bottom * width);
    for (let row = box.top * width; row < box.bottom * width; row += width) {
      cells.fill(1, row, row + box.left).fill(1, row + box.right, row + width);
    }
  }

  /** A part of it, as a hole of its own. */
  part(box) {
    const made = new Hole(box.width, box.height);
    for (let y = 0; y < box.height; y++) {
      const from = (y + box.top) * this.width + box.left;
      made.cells.set(this.cells.subarray(from, from + box.width), y * box.width);
    }
    return made;
  }

  /** The inverse of `part`. */
  put(other, { left, top }) {
    for (let y = 0; y < other.height; y++) {
      this.cells.set(other.cells.subarray(y * other.width, (y + 1) * other.width), (y + top) * this.width + left);
    }
    return this.whole;
  }

  invert() {
    for (let i = 0; i < this.cells.length; i++) this.cells[i] ^= 1;
    return this.whole;
  }

  /** All that lies at most so many pixels from the hole, from centre to centre, joins it. */
  grow(radius) {
    const inner = this.bounds;
    if (inner.empty || radius < 1) return new Box();
    const box = inner.grown(radius, this.width, this.height), { width, height } = box, far = radius + 1;
    const wide = Array.from({ length: far }, (_, down) => Math.floor(Math.sqrt(radius ** 2 - down ** 2)));
    const above = new Uint16Array(width * height), near = new Uint16Array(width).fill(far); // rows to the next cell
    const at = (y) => (y + box.top) * this.width + box.left;
    const step = (y, x) => (near[x] = this.cells[at(y) + x] ? 0 : Math.min(far, near[x] + 1));
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) above[y * width + x] = step(y, x);
    near.fill(far);
    const edges = new Int32Array(width + 1);
    for (let y = height - 1; y >= 0; y--) {
      edges.fill(0);
      for (let x = 0; x < width; x++) {
        const down = Math.min(step(y, x), above[y * width + x]);
        if (down > radius) continue;
        edges[Math.max(0, x - wide[down])]++;
        edges[Math.min(width, x + wide[down] + 1)]--;
      }
      for (let x = 0, inside = 0; x < width; x++) if ((inside += edges[x])) this.cells[at(y) + x] = 1;
    }
    return box;
  }

  /** As the server has read it from a file, at a place: white = to be found. */
  read(bitmap, place) {
    this.cells.fill(0);
    return this.add(bitmap, place);
  }

  /** The same, beside what is in it already. */
  add(bitmap, { left, top }) {
    const [, context] = makeCanvas(this.width, this.height);
    context.drawImage(bitmap, left, top);
    const levels = context.getImageData(0, 0, this.width, this.height).data;
    for (let i = 0; i < this.cells.length; i++) this.cells[i] |= levels[4 * i] >> 7;
    return this.whole;
  }

  /** The lengths of its runs of equal cells, the first of them outside: small enough to be kept at every stroke. */
  get runs() {
    const lengths = [];
    for (let from = 0, value = 0; from < this.cells.length; value ^= 1) {
      const next = this.cells.indexOf(value ^ 1, from), to = next < 0 ? this.cells.length : next;
      lengths.push(to - from);
      from = to;
    }
    return Uint32Array.from(lengths);
  }

  /** The inverse of `runs`. */
  restore(lengths) {
    let from = 0;
    lengths.forEach((length, i) => this.cells.fill(i & 1, from, (from += length)));
    return this.whole;
  }

  /** A PNG file, white = to be found. */
  file() {
    const [canvas, context] = makeCanvas(this.width, this.height);
    const picture = context.createImageData(this.width, this.height);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = this.cells[i] ? 0xffffffff : 0xff000000;
    context.putImageData(picture, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  #rows(top, bottom, value, spansAt) {
    let box = new Box();
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(this.height, Math.ceil(bottom)); y++) {
      for (const [from, to] of spansAt(y + 0.5)) {
        // a pixel belongs to a shape if its centre does
        const left = Math.max(0, Math.ceil(from - 0.5)), right = Math.min(this.width, Math.floor(to - 0.5) + 1);
        if (!(left < right)) continue;
        this.cells.fill(value, y * this.width + left, y * this.width + right);
        box = box.with(new Box(left, y, right, y + 1));
      }
    }
    return box;
  }
}

/** Where the outline of a polygon meets a height, and whether it goes down (1) or up (-1) there. */
function crossings(points, y) {
  const met = [];
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length];
    if (a.y <= y === b.y <= y) return;
    met.push({ x: a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x), turn: a.y < b.y ? 1 : -1 });
  });
  return met;
}
