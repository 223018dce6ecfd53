// The hole of the open photo as a whole: what it is at first, from a file, to a file, and wider.

import { sentence, withoutFlags } from "./api.js";
import { showMargins } from "./controls.js";
import { $, save } from "./elements.js";
import { complain, notice, say, silence } from "./messages.js";
import { readHole, selectObject, selectPart } from "./opening.js";

const WIDEST = 200; // pixels

/** The part of the menu that needs more than the painting. `edit()` makes ready to paint, or returns false. */
export class HoleMenu {
  #api;
  #edit;
  #photo = null;
  #painting = null;
  #selecting = false;
  #pressed = null; // the point of the photo where a face was pressed

  constructor(api, edit) {
    this.#api = api;
    this.#edit = edit;
    for (const button of document.querySelectorAll("[data-part]")) {
      button.addEventListener("click", () => this.#addPart(button.dataset.part));
    }
  }

  /** Another photo, with what was `kept` of its hole, or what is transparent in it. */
  open(photo, painting, kept) {
    this.lay(photo, painting);
    if (kept && kept.width === photo.width && kept.height === photo.height) {
      painting.unasked((hole) => hole.restore(kept.runs));
      notice("Your photo and what you painted are here again.", { more: "Only this browser has kept them." });
    } else if (photo.hole) {
      painting.once((hole) => hole.read(photo.hole, photo.inner));
      this.#tell("What is transparent is the hole.", photo, "Paint more, or complete it as it is.");
    }
  }

  /** The same photo with a new painting: its margins have changed. */
  lay(photo, painting) {
    Object.assign($("widen"), { value: 0, max: Math.min(WIDEST, Math.max(8, Math.round(Math.min(photo.width, photo.height) / 20))) });
    showMargins(photo.percent);
    this.#photo = photo;
    this.#painting = painting;
  }

  close() {
    this.#photo = this.#painting = null;
  }

  async load(file) {
    const photo = this.#photo;
    try {
      const read = await readHole(file, this.#api, photo.own);
      if (photo !== this.#photo || !this.#edit()) return;
      silence();
      this.#painting.once((hole) => hole.read(read.hole, photo.inner));
      if (read.notes.length) this.#tell("Please look at the hole.", read);
    } catch (error) {
      complain(error);
    }
  }

  /** Replace the paint by the outline of the object below it, as one step of the history. */
  async select() {
    const photo = this.#photo, painting = this.#painting;
    if (!photo || painting.paint.isEmpty || this.#selecting || !this.#edit()) return;
    const { hole } = painting, before = hole.cells.slice();
    this.#selecting = true;
    $("select").textContent = "Selecting…";
    try {
      const outline = await selectObject(photo, painting.paint, this.#api);
      if (photo !== this.#photo) return;
      const repainted = before.some((cell, i) => cell !== hole.cells[i]);
      if (repainted || !this.#edit()) return notice("The paint has changed meanwhile.", { more: "Select the object again." });
      silence();
      painting.once((hole) => hole.read(outline, photo.inner));
      say("The object is selected.");
    } catch (error) {
      complain(error);
    } finally {
      this.#selecting = false;
      $("select").textContent = "Select object";
    }
  }

  /** Ask which part of the face at a point belongs to the hole. */
  askPart(point, { view }) {
    const { left, top } = $("canvas").getBoundingClientRect(), { x, y } = view.toScreen(point), menu = $("parts");
    this.#pressed = point;
    setTimeout(() => { // when the pointer is up: it would close the menu
      menu.showPopover();
      const { width, height } = menu.getBoundingClientRect();
      menu.style.left = `${Math.max(8, Math.min(left + x + 12, innerWidth - width - 8))}px`;
      menu.style.top = `${Math.max(8, Math.min(top + y + 12, innerHeight - height - 8))}px`;
    });
  }

  async #addPart(part) {
    const photo = this.#photo, painting = this.#painting;
    $("parts").hidePopover();
    try {
      const drawn = await selectPart(photo, part, this.#pressed, this.#api);
      if (photo !== this.#photo || !this.#edit()) return;
      silence();
      painting.once((hole) => hole.add(drawn, photo.inner));
      say("It is part of the hole.");
    } catch (error) {
      complain(error);
    }
  }

  /** Hand over a file whose name pairs it with the photo in a folder of holes. */
  async save() {
    if (this.#painting) save(await this.#painting.paint.file(), `${this.#photo.name}.png`);
  }

  /** Let the hole grow by so many pixels: seen while the slider moves, one step of the history when it has `finished`. */
  widen(pixels, finished) {
    if (!this.#painting || !this.#edit()) return;
    this.#painting.attempt((hole) => hole.grow(pixels));
    $("widen-words").textContent = `${finished ? 0 : pixels} px`;
    if (!finished) return;
    this.#painting.end();
    $("widen").value = 0;
    if (pixels) say(`Widened by ${pixels} pixels.`);
  }

  /** What the server has noted of a hole, without how the command line has it; soft edges can be widened at once. */
  #tell(words, { notes, grow }, more = "") {
    const action = grow ? [`Widen by ${grow} px`, () => this.widen(grow, true)] : null;
    const noted = notes.map((note) => sentence(withoutFlags(note)));
    notice(words, { more: noted.join(" ") || more, action });
  }
}
