// Which models the server has, what each knows, and its card.

import { $, make } from "./elements.js";
import { render } from "./markdown.js";

/** The choice in the page's head. `changed(model)` is told of it. */
export class Models {
  #listed = [];
  limits = {};

  constructor(changed) {
    $("model").addEventListener("change", () => changed(this.chosen));
    $("card-button").addEventListener("click", () => this.#showCard());
  }

  /** Read what the server has. */
  async load(api) {
    const { default: first, models, limits } = await api.json("models");
    this.#listed = models;
    this.limits = limits ?? {};
    $("model").replaceChildren(...models.map(({ name }) => make("option", { value: name, textContent: name })));
    $("model").value = first;
    $("models").hidden = false;
  }

  /** What is chosen, as the server tells it; undefined until the server has answered. */
  get chosen() {
    return this.#listed.find(({ name }) => name === $("model").value);
  }

  #showCard() {
    const model = this.chosen;
    if (!model) return;
    const facts = [
      `${model.size} × ${model.size} pixels`,
      model.channels === 1 ? "grey" : "colour",
      model.alignment ? "aligned faces" : "pictures as they are",
      model.encoder ? "starts from an encoder's guess" : "searches from random latents",
      model.calibrated ? "knows how far it may be off" : "its errors are not calibrated",
    ];
    $("card-title").textContent = model.name;
    $("card-facts").replaceChildren(...facts.map((fact) => make("li", { textContent: fact })));
    const text = (model.card || "This model has no card.").replace(/^# .*\n/, ""); // the dialog's title says it
    $("card").replaceChildren(...render(text));
    $("card-dialog").showModal();
  }
}
