// What was found: answers to choose among, where they differ, before and after, files to keep.

import { $, fileOf, isDown, make, makeCanvas, pictureOf, press, save, show } from "./elements.js";
import { showTrust } from "./trust.js";

const THUMBNAIL = 132; // pixels along a side

/** The answers to one question. `said` is told what a screen reader should hear. */
export class Results {
  #stage;
  #said;
  #files = [];
  #shown = null; // what is seen: a function that resolves to its file, the whole photo at its own resolution
  #spread = null;
  #name = "picture";
  #turn = 0; // pictures are decoded meanwhile: only the last one asked for is shown

  constructor(stage, said) {
    this.#stage = stage;
    this.#said = said;
    $("compare").addEventListener("click", () => this.compare(!isDown($("compare"))));
    $("unsure").addEventListener("click", () => this.#unsure(!isDown($("unsure"))));
    $("split").addEventListener("input", () => {
      stage.split = $("split").valueAsNumber / 1000;
      stage.refresh();
    });
    stage.onDrawn = () => this.#placeSplit();
  }

  get any() { return this.#files.length > 0; }

  /** The file of what is seen; resolves to null if nothing is. */
  async shown() {
    return (await this.#shown?.()) ?? null;
  }

  clear() {
    this.#turn++;
    this.#files = [];
    this.#shown = this.#spread = null;
    this.leave();
    show(false, "answers", "variations");
  }

  /** Back to painting; the answers can still be chosen. */
  leave() {
    this.compare(false);
    this.#unsure(false);
    this.#stage.result = null;
    this.#press(-1);
  }

  /** Show an answer of the server for a photo; `box` is the part of it to show small. */
  async show(done, photo, box) {
    this.#name = photo.name;
    this.#files = done.candidates.map(({ image }) => fileOf(image));
    this.#spread = done.spread;
    const side = Math.min(photo.width, photo.height, Math.max(box.width, box.height) * 1.5);
    const left = Math.min(photo.width - side, Math.max(0, (box.left + box.right - side) / 2));
    const top = Math.min(photo.height - side, Math.max(0, (box.top + box.bottom - side) / 2));
    const small = await Promise.all(this.#files.map((file) => thumbnail(file, left, top, side)));
    $("candidates").replaceChildren(...small.map((canvas, i) => this.#button(canvas, i, small.length)));
    $("candidates").hidden = small.length < 2;
    $("unsure").hidden = !done.spread;
    showTrust(done.trust, done.notes, done.seconds);
    show(true, "answers");
    await this.choose(0);
  }

  async choose(i) {
    if (!this.#files[i]) return;
    this.#press(i);
    await this.showFile(this.#files[i]);
    if (this.#files.length > 1) this.#said(`Answer ${i + 1} of ${this.#files.length}`);
  }

  /** Show a picture of the whole photo; what is downloaded is what `full` resolves to. */
  async showFile(file, full = async () => file) {
    const turn = ++this.#turn;
    const bitmap = await createImageBitmap(file);
    if (turn !== this.#turn) return;
    this.#shown = full;
    this.#stage.result = bitmap;
    this.#stage.live = null;
    this.#stage.squares = [];
    this.#stage.holeShown = false;
    press($("peek"), false);
    this.#stage.refresh();
  }

  compare(on) {
    if (on && !this.#stage.result) return;
    press($("compare"), on);
    show(on, "split", "split-words");
    this.#stage.split = on ? $("split").valueAsNumber / 1000 : null;
    this.#stage.refresh();
  }

  async download() {
    const file = await this.shown();
    if (file) save(file, `${this.#name}-completed.png`);
  }

  async #unsure(on) {
    press($("unsure"), on);
    this.#stage.setUnsure(on && this.#spread ? await pictureOf(this.#spread) : null);
    if (on !== isDown($("unsure"))) this.#stage.setUnsure(null); // let go meanwhile
  }

  #button(canvas, i, count) {
    const name = `Answer ${i + 1} of ${count}${i === 0 ? ", the most promising" : ""}`;
    return make("button", { ariaLabel: name, title: name, "aria-pressed": "false", onclick: () => this.choose(i) }, canvas);
  }

  #press(chosen) {
    [...$("candidates").children].forEach((button, i) => press(button, i === chosen));
  }

  /** The handle moves along the photo as it lies on the screen now. */
  #placeSplit() {
    if ($("split").hidden || !this.#stage.photo) return;
    const { view, photo } = this.#stage, thumb = 44;
    Object.assign($("split").style, {
      left: `${view.x - thumb / 2}px`,
      width: `${photo.width * view.scale + thumb}px`,
      top: `${view.y + (photo.height * view.scale) / 2 - thumb / 2}px`,
    });
  }
}

async function thumbnail(file, left, top, side) {
  const bitmap = await createImageBitmap(file, left, top, side, side);
  const [canvas, context] = makeCanvas(THUMBNAIL, THUMBNAIL);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, THUMBNAIL, THUMBNAIL);
  return canvas;
}
