// Sliders: what else may be in the hole while all that is known of the photo stays.

import { $, fileOf, make } from "./elements.js";
import { sentence } from "./api.js";

const SIDE = 768; // pixels of the longer side of what a slider shows

/** The latent directions of one answer, asked for when the section is opened. */
export class Variations {
  #api;
  #results;
  #question = null;
  #asked = null;

  constructor(api, results) {
    this.#api = api;
    this.#results = results;
    $("variations").addEventListener("toggle", () => $("variations").open && this.#ask());
  }

  /** Another answer: `state` is the latent of its first candidate, `form` the question. */
  offer(form, state, photo) {
    this.#asked?.abort();
    this.#asked = null;
    this.#question = { form, state, large: Math.max(photo.width, photo.height) > SIDE };
    $("variations").hidden = !state;
    $("variations").open = false;
    $("directions").replaceChildren();
  }

  async #ask() {
    if (this.#asked || !this.#question) return;
    const asked = (this.#asked = new AbortController());
    const { form, state, large } = this.#question;
    const sent = new FormData();
    for (const [name, value] of form) sent.append(name, value);
    const more = { state, count: 4, frames: 9, side: SIDE };
    for (const [name, value] of Object.entries(more)) sent.set(name, value);
    $("directions").replaceChildren(make("p", { className: "hint", textContent: "Looking for what else may be there…" }));
    try {
      const { edits } = await this.#api.json("edits", { form: sent, signal: asked.signal });
      if (!asked.signal.aborted) this.#show(edits, sent, large);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#asked = null;
      const words = `${error.message} ${error.cure ?? ""}`;
      $("directions").replaceChildren(make("p", { className: "hint", textContent: words }));
    }
  }

  /** One picture again, at the photo's own resolution: the slider shows smaller ones. */
  #whole(sent, pick) {
    sent.set("pick", JSON.stringify(pick));
    return this.#api.picture("edits", sent);
  }

  #show(edits, sent, large) {
    const sliders = edits.map(({ name, images }, i) => {
      const files = images.map(fileOf), middle = (files.length - 1) / 2;
      const slider = make("input", { type: "range", min: 0, max: files.length - 1, step: 1, value: middle });
      slider.addEventListener("input", () => {
        for (const other of sliders) if (other.slider !== slider) other.slider.value = other.middle;
        const at = slider.valueAsNumber;
        this.#results.showFile(files[at], large ? () => this.#whole(sent, [i, at]) : undefined);
      });
      const label = make("label", {}, make("span", { textContent: sentence(name).slice(0, -1) }), slider);
      return { label, slider, middle };
    });
    const hint = "Each slider changes the first answer in a way of its own; what is known stays.";
    $("directions").replaceChildren(make("p", { className: "hint", textContent: hint }), ...sliders.map(({ label }) => label));
  }
}
