// A search as it goes: what it draws on the stage, its loss, the time left.

import { Chart } from "./chart.js";
import { $, inWords, show } from "./elements.js";
import { Frames } from "./frames.js";
import { say } from "./messages.js";

export class Progress {
  frames = null; // of the last search
  #stage;
  #chart = new Chart();
  #hole = null;
  #whole = false;

  constructor(stage) {
    this.#stage = stage;
  }

  /** A search for what is in `hole`, or of the `whole` photo if that was only observed. */
  begin(hole, whole) {
    this.#hole = hole;
    this.#whole = whole;
    this.frames = new Frames(hole, [], { whole });
    this.#chart.clear();
    $("frames").textContent = "0";
    $("progress").removeAttribute("value"); // something is going on, nobody knows how much is left
    this.#tell("Sending the photo…");
    show(true, "progress-box");
    this.#stage.holeShown = true;
    this.#stage.refresh();
  }

  /** What to do at each event of the answer. */
  get hear() {
    return {
      busy: (seconds) => this.#tell(`The server is busy. Asking again in ${inWords(seconds)}…`),
      queued: ({ ahead }) => this.#tell(ahead ? `Waiting: ${ahead} before you…` : "Starting…"),
      started: (event) => this.#started(event),
      step: (event) => this.#step(event),
    };
  }

  /** The search is over, with an answer or without. */
  end() {
    this.#stage.live = null;
    this.#stage.squares = [];
    this.#stage.holeShown = !this.#stage.result;
    show(false, "progress-box");
    this.#stage.refresh();
  }

  #started({ placements }) {
    const outlines = placements.map(({ outline }) => outline);
    this.frames = new Frames(this.#hole, outlines, { whole: this.#whole });
    this.#stage.squares = outlines;
    this.#stage.refresh();
    this.#tell("Searching…");
    say("The search has begun.");
  }

  async #step({ number, total, loss, image, seconds_left: left }) {
    this.#chart.add(number, total, loss);
    $("progress").max = Math.max(1, total);
    $("progress").value = number;
    this.#tell(`Step ${number} of ${total}${Number.isFinite(left) ? ` · ${inWords(left)} left` : ""}`);
    if (!image) return;
    this.#stage.live = await this.frames.add(image);
    this.#stage.refresh();
    $("frames").textContent = String(this.frames.seen.length);
  }

  #tell(words) {
    $("state").textContent = words;
  }
}
