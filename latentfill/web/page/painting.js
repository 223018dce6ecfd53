// Painting: changes of the hole that can be undone, and done again.

import { Box, Hole } from "./hole.js";

const MOST_BYTES = 256 * 2 ** 20; // of all changes that are remembered; the oldest are forgotten first

/** The hole of one photo and its history. `changed(box, finished)` is told of every change. */
export class Painting {
  #changed;
  #before = null;
  #box = new Box();
  #done = [];
  #undone = [];

  /** What lies outside of the box `inner` are margins, which stay part of the hole. */
  constructor({ width, height, inner }, changed) {
    this.hole = new Hole(width, height);
    this.inner = inner;
    this.#changed = changed;
  }

  /** The hole in the photo itself, without its margins. */
  get paint() { return this.hole.part(this.inner); }

  get canUndo() { return this.#done.length > 0; }
  get canRedo() { return this.#undone.length > 0; }

  /** A stroke begins: what was before it is kept. */
  begin() {
    this.#before = this.hole.cells.slice();
    this.#box = new Box();
  }

  /** A part of a stroke; `draw` changes the hole and returns the box that it changed. */
  draw(draw) {
    const box = draw(this.hole);
    if (box.empty) return;
    this.hole.fillAround(this.inner);
    this.#box = this.#box.with(box);
    this.#changed(box, false);
  }

  /** The stroke is over, and is one step of the history. */
  end() {
    if (!this.#before) return;
    const before = this.#before, box = this.#box;
    this.#before = null;
    if (box.empty) return;
    const change = { box, old: cut(before, this.hole.width, box), now: cut(this.hole.cells, this.hole.width, box) };
    if (change.old.every((value, i) => value === change.now[i])) return;
    this.#done.push(change);
    this.#undone = [];
    let bytes = 0;
    this.#done = this.#done.reverse().filter(({ old }) => (bytes += 2 * old.length) < MOST_BYTES).reverse();
    this.#changed(box, true);
  }

  /** The stroke is given up, as if it had never begun. */
  cancel() {
    if (!this.#before) return;
    this.hole.cells.set(this.#before);
    this.#before = null;
    this.#changed(this.#box, true);
  }

  /** A change that is a stroke by itself. */
  once(draw) {
    this.begin();
    try {
      this.draw(draw);
    } finally {
      this.end();
    }
  }

  /** A change that is no step of the history: nobody has painted it. */
  unasked(draw) {
    this.begin();
    this.draw(draw);
    this.#before = null;
  }

  /** A change that is tried anew, in another size, until `end` keeps it. */
  attempt(draw) {
    if (!this.#before) this.begin();
    this.hole.cells.set(this.#before);
    this.draw(draw);
    this.#changed(this.#box, false);
  }

  /** Take over what was painted, and its history, before the photo had these margins. */
  inherit(other) {
    this.unasked((hole) => hole.put(other.paint, this.inner));
    const across = this.inner.left - other.inner.left, down = this.inner.top - other.inner.top;
    const taken = ({ box, old, now }) => {
      const part = box.within(other.inner), local = part.moved(-box.left, -box.top);
      return { box: part.moved(across, down), old: cut(old, box.width, local), now: cut(now, box.width, local) };
    };
    const seen = ({ box }) => !box.within(other.inner).empty;
    this.#done = other.#done.filter(seen).map(taken);
    this.#undone = other.#undone.filter(seen).map(taken);
  }

  undo() { this.#move(this.#done, this.#undone, "old"); }
  redo() { this.#move(this.#undone, this.#done, "now"); }

  #move(from, to, side) {
    this.cancel();
    const change = from.pop();
    if (!change) return;
    const { box } = change, { cells, width } = this.hole;
    for (let y = box.top; y < box.bottom; y++) {
      const row = change[side].subarray((y - box.top) * box.width, (y - box.top + 1) * box.width);
      cells.set(row, y * width + box.left);
    }
    to.push(change);
    this.#changed(box, true);
  }
}

function cut(cells, width, box) {
  const part = new Uint8Array(box.width * box.height);
  for (let y = box.top; y < box.bottom; y++) {
    part.set(cells.subarray(y * width + box.left, y * width + box.right), (y - box.top) * box.width);
  }
  return part;
}
