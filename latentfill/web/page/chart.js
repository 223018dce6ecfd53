// The loss as it falls: a line drawn while the search runs.

import { $ } from "./elements.js";

const WIDTH = 280, HEIGHT = 64, MARGIN = 4;

/** One line in the page's SVG; the loss on a logarithmic scale where it can be. */
export class Chart {
  #points = [];

  clear() {
    this.#points = [];
    $("chart-line").setAttribute("points", "");
    $("chart-area").setAttribute("points", "");
    $("loss").textContent = "";
  }

  add(number, total, loss) {
    if (!Number.isFinite(loss)) return;
    this.#points.push([number / Math.max(1, total), loss]);
    const heights = this.#points.map(([, value]) => value);
    const scale = Math.min(...heights) > 0 ? Math.log : (value) => value;
    const low = scale(Math.min(...heights)), range = scale(Math.max(...heights)) - low || 1;
    const places = this.#points.map(([share, value]) => {
      const x = MARGIN + Math.min(1, share) * (WIDTH - 2 * MARGIN);
      const y = HEIGHT - MARGIN - ((scale(value) - low) / range) * (HEIGHT - 2 * MARGIN);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    $("chart-line").setAttribute("points", places.join(" "));
    const [first, last] = [places[0], places.at(-1)].map((place) => place.split(",")[0]);
    $("chart-area").setAttribute("points", `${first},${HEIGHT} ${places.join(" ")} ${last},${HEIGHT}`);
    $("loss").textContent = loss.toPrecision(3);
  }
}
