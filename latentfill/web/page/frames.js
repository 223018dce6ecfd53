// What the search draws at each step: squares at the model's size, put into the hole of the photo.

import { makeCanvas, pictureOf } from "./elements.js";

const LARGEST = 1024; // pixels along a side of what is shown while it changes; the answer comes in full size

/** Takes frames to their places. `outlines` are the squares' corners in the photo, from the upper left one clockwise. */
export class Frames {
  seen = []; // every frame, as it came; small
  #hole;
  #outlines;
  #whole;
  #stencil;

  constructor(hole, outlines, { whole = false } = {}) {
    this.#hole = hole;
    this.#outlines = outlines;
    this.#whole = whole; // all of the squares is found anew, not the hole alone
    const across = outlines.flat();
    this.box = whole && across.length ? around(across, hole) : hole.bounds;
    this.scale = Math.min(1, LARGEST / Math.max(this.box.width, this.box.height));
    this.#stencil = whole ? null : stencil(hole, this.box, this.scale);
  }

  /** Read a frame; resolves to what the stage shows. */
  async add(dataUrl) {
    const bitmap = await pictureOf(dataUrl);
    this.seen.push(bitmap);
    return this.placed(bitmap);
  }

  /** A frame in its place: { canvas, box }. */
  placed(bitmap) {
    const { box, scale } = this, count = Math.max(1, this.#outlines.length), side = bitmap.width / count;
    const [canvas, context] = makeCanvas(box.width * scale, box.height * scale);
    context.imageSmoothingQuality = "high";
    this.#outlines.forEach(([origin, right, , down], i) => {
      const [a, b] = [0, 1].map((axis) => (right[axis] - origin[axis]) / side);
      const [c, d] = [0, 1].map((axis) => (down[axis] - origin[axis]) / bitmap.height);
      context.setTransform(scale, 0, 0, scale, -box.left * scale, -box.top * scale);
      context.transform(a, b, c, d, origin[0], origin[1]);
      context.drawImage(bitmap, i * side, 0, side, bitmap.height, 0, 0, side, bitmap.height);
    });
    if (this.#stencil) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalCompositeOperation = "destination-in";
      context.drawImage(this.#stencil, 0, 0);
    }
    return { canvas, box };
  }

  /** Whether the hole lies at least partly where the model looks. */
  get reached() {
    return this.#whole || touches(this.#hole, this.#outlines);
  }
}

/** Whether a hole has a pixel inside one of the squares; looked at on a grid, as nothing depends on a single pixel. */
export function touches(hole, outlines) {
  const box = hole.bounds, step = Math.max(1, Math.floor(Math.max(box.width, box.height) / 100));
  for (let y = box.top; y < box.bottom; y += step) {
    for (let x = box.left; x < box.right; x += step) {
      if (hole.cells[y * hole.width + x] && outlines.some((outline) => inside(outline, x, y))) return true;
    }
  }
  return false;
}

function inside(outline, x, y) {
  const sides = outline.map(([ax, ay], i) => {
    const [bx, by] = outline[(i + 1) % outline.length];
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0;
  });
  return sides.every((side) => side === sides[0]);
}

function stencil(hole, box, scale) {
  const [full, context] = makeCanvas(box.width, box.height);
  if (!box.empty) {
    const picture = context.createImageData(box.width, box.height);
    for (let y = 0; y < box.height; y++) {
      for (let x = 0; x < box.width; x++) {
        picture.data[4 * (y * box.width + x) + 3] = 255 * hole.cells[(y + box.top) * hole.width + x + box.left];
      }
    }
    context.putImageData(picture, 0, 0);
  }
  if (scale === 1) return full;
  const [small, shrunk] = makeCanvas(box.width * scale, box.height * scale);
  shrunk.drawImage(full, 0, 0, small.width, small.height);
  return small;
}

function around(points, hole) {
  const box = hole.whole, xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  box.left = Math.min(...xs);
  box.top = Math.min(...ys);
  box.right = Math.max(...xs);
  box.bottom = Math.max(...ys);
  return box.grown(0, hole.width, hole.height);
}
