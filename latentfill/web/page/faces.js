// The faces of the open photo: where the model would look.

import { shifted } from "./margins.js";
import { complain, say } from "./messages.js";

export class Faces {
  missing = false; // they were looked for, and there was none
  #api;
  #stage;
  #found = []; // outlines in the photo as it is in its file

  constructor(api, stage) {
    this.#api = api;
    this.#stage = stage;
  }

  /** Outline what the model would be shown, if it is a model of faces. `isOpen()` says whether the photo still is. */
  async find(photo, model, isOpen) {
    this.#found = [];
    this.missing = false;
    this.show(photo);
    if (!photo || !model?.alignment) return;
    const form = new FormData();
    form.set("photo", photo.file, photo.file.name || "photo");
    form.set("model", model.name);
    try {
      const { faces } = await this.#api.json("faces", { form });
      if (!isOpen()) return;
      this.#found = faces.map(({ outline }) => outline);
      this.missing = faces.length === 0;
      say(faces.length ? `${faces.length === 1 ? "1 face" : `${faces.length} faces`} found.` : "No face found.");
    } catch (error) {
      complain(error); // it can be painted on and run all the same
    }
  }

  /** How long the first one's upper side is, in pixels; 0 without any. */
  get side() {
    if (!this.#found.length) return 0;
    const [[ax, ay], [bx, by]] = this.#found[0];
    return Math.hypot(bx - ax, by - ay);
  }

  /** Show them in the photo with its margins. */
  show(photo) {
    this.#stage.faces = photo ? shifted(this.#found, photo.inner) : [];
    this.#stage.refresh();
  }
}
