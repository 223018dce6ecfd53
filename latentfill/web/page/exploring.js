// The second tab: what the model can draw. Faces to choose from, walks between them, sums and differences of them.

import { gif } from "./gif.js";
import { $, fileOf, make, makeCanvas, pictureOf, save } from "./elements.js";
import { complain, say } from "./messages.js";

const COUNT = 24; // images drawn at a time
const STEPS = 12; // from one place of a walk to the next
const MOST_PLACES = 5;

export class Exploring {
  #api;
  #models;
  #begun = false;
  #turn = 0;
  #known = new Map(); // seeds that were drawn: their data URLs
  #from = 0; // seed of the first image shown
  #places = { walk: [28, 18, 35], sum: [28, 16, 41] }; // of the model in the package: a smile without its woman
  #active = { where: "walk", i: 0 };
  #frames = [];
  #playing = 0;

  constructor(api, models) {
    this.#api = api;
    this.#models = models;
    $("more").addEventListener("click", () => this.#sample(this.#from + COUNT));
    $("fewer").addEventListener("click", () => this.#sample(Math.max(0, this.#from - COUNT)));
    $("walk-at").addEventListener("input", () => {
      this.#pause();
      this.#showFrame();
    });
    $("play").addEventListener("click", () => (this.#playing ? this.#pause() : this.#play()));
    $("walk-gif").addEventListener("click", () => this.#saveWalk());
  }

  /** The tab is looked at. */
  begin() {
    if (this.#begun || !this.#models.chosen) return;
    this.#begun = true;
    this.#all();
  }

  /** Another model. */
  changed() {
    this.#known.clear();
    if (this.#begun) this.#all();
    else if (!$("explore-panel").hidden) this.begin();
  }

  async #all() {
    await this.#sample(this.#from);
    await Promise.all([this.#walk(), this.#sum()]);
  }

  async #sample(from) {
    this.#from = from;
    $("fewer").disabled = from === 0;
    const seeds = Array.from({ length: COUNT }, (_, i) => from + i);
    $("samples").ariaBusy = "true";
    try {
      await this.#draw(seeds);
      if (from !== this.#from) return;
      $("samples").replaceChildren(...seeds.map((seed) => this.#face(seed, () => this.#choose(seed))));
      $("seeds").textContent = `${from} to ${from + COUNT - 1}`;
    } catch (error) {
      complain(error);
    } finally {
      $("samples").ariaBusy = "false";
    }
  }

  /** See that these seeds are drawn. */
  async #draw(seeds) {
    const missing = [...new Set(seeds)].filter((seed) => !this.#known.has(seed));
    if (!missing.length) return;
    const images = await this.#images({ images: missing.map((seed) => ({ [seed]: 1 })) });
    missing.forEach((seed, i) => this.#known.set(seed, images[i]));
  }

  async #images(asked) {
    const model = this.#models.chosen.name;
    const { images } = await this.#api.json("sample", { json: { model, ...asked } });
    // Another model was chosen meanwhile: whoever asked is asked for something else by now, and waits for ever.
    if (model !== this.#models.chosen.name) await new Promise(() => {});
    return images;
  }

  #face(seed, chosen) {
    const picture = make("img", { src: this.#known.get(seed), alt: "" });
    return make("button", { className: "face", ariaLabel: `Seed ${seed}`, title: `Seed ${seed}`, onclick: chosen }, picture);
  }

  /** A face of the collection goes to the place that is active, and the next place becomes active. */
  #choose(seed) {
    const { where, i } = this.#active, places = this.#places[where];
    places[i] = seed;
    const last = where === "sum" ? 3 : Math.min(MOST_PLACES, places.length);
    this.#active = { where, i: (i + 1) % last };
    say(`Seed ${seed} is number ${i + 1} of the ${where}.`);
    if (where === "walk") this.#walk();
    else this.#sum();
  }

  async #walk() {
    const turn = ++this.#turn, seeds = this.#places.walk;
    this.#pause();
    try {
      await this.#draw(seeds);
      this.#showPlaces("walk");
      if (seeds.length < 2) return;
      const urls = await this.#images({ walk: seeds, frames: STEPS + 1 });
      const frames = await Promise.all(urls.map(pictureOf));
      if (turn !== this.#turn) return;
      this.#frames = frames;
      $("walk-at").max = frames.length - 1;
      $("walk-at").value = 0;
      this.#showFrame();
    } catch (error) {
      complain(error);
    }
  }

  async #sum() {
    const [a, b, c] = this.#places.sum;
    try {
      await this.#draw([a, b, c]);
      this.#showPlaces("sum");
      const weights = {};
      for (const [seed, weight] of [[a, 1], [b, -1], [c, 1]]) weights[seed] = (weights[seed] ?? 0) + weight;
      const [image] = await this.#images({ images: [weights] });
      $("result").src = image;
      $("save-sum").onclick = () => save(fileOf(image), `${a}-${b}+${c}.png`);
    } catch (error) {
      complain(error);
    }
  }

  /** The chosen faces of a walk or a sum; the active one is where the next face goes. */
  #showPlaces(where) {
    const activate = (i) => {
      this.#active = { where, i };
      this.#showPlaces("walk");
      this.#showPlaces("sum");
    };
    const names = where === "sum" ? ["", "−", "+"] : [];
    const parts = this.#places[where].flatMap((seed, i) => {
      if (!this.#known.has(seed)) return [];
      const button = this.#face(seed, () => activate(i));
      button.ariaLabel = `${where === "walk" ? "Place" : "Term"} ${i + 1}: seed ${seed}`;
      button.setAttribute("aria-pressed", String(this.#active.where === where && this.#active.i === i));
      return names[i] ? [make("span", { className: "sign", textContent: names[i] }), button] : [button];
    });
    if (where === "walk") parts.push(...this.#walkButtons(activate));
    $(`${where}-places`).replaceChildren(...parts);
  }

  #walkButtons(activate) {
    const { walk } = this.#places, buttons = [];
    const add = () => {
      walk.push(walk.at(-1));
      activate(walk.length - 1);
      this.#walk();
    };
    const remove = () => {
      walk.pop();
      activate(0);
      this.#walk();
    };
    if (walk.length < MOST_PLACES) buttons.push(make("button", { className: "quiet", textContent: "+", ariaLabel: "One place more", onclick: add }));
    if (walk.length > 2) buttons.push(make("button", { className: "quiet", textContent: "−", ariaLabel: "One place less", onclick: remove }));
    return buttons;
  }

  #showFrame() {
    const bitmap = this.#frames[$("walk-at").valueAsNumber], canvas = $("walk");
    if (!bitmap) return;
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
  }

  #play() {
    let step = 1;
    $("play").textContent = "Pause";
    this.#playing = setInterval(() => {
      const slider = $("walk-at"), at = slider.valueAsNumber;
      if (at + step < 0 || at + step > Number(slider.max)) step = -step; // there and back
      slider.value = at + step;
      this.#showFrame();
    }, 80);
  }

  #pause() {
    clearInterval(this.#playing);
    this.#playing = 0;
    $("play").textContent = "Play";
  }

  #saveWalk() {
    if (!this.#frames.length) return;
    const [{ width, height }] = this.#frames, scale = Math.max(1, Math.round(192 / width));
    const [, context] = makeCanvas(width * scale, height * scale);
    context.imageSmoothingQuality = "high";
    const there = this.#frames.map((bitmap) => {
      context.drawImage(bitmap, 0, 0, width * scale, height * scale);
      return { data: context.getImageData(0, 0, width * scale, height * scale).data, delay: 8 };
    });
    save(gif(width * scale, height * scale, [...there, ...there.slice(1, -1).reverse()]), `walk-${this.#places.walk.join("-")}.gif`);
  }
}
