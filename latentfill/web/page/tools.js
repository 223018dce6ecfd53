// The tools: what happens to the hole between pressing and letting go. Points and sizes are in pixels of the photo.

const between = (value, least, most) => Math.min(most, Math.max(least, value));

/** What is painted with, and how thick. `changed` is told of every choice. */
export class Tools {
  name = "brush";
  size = 40; // the brush's diameter
  #largest = 400;
  #stage;
  #changed;
  #pressed;
  #stroke = null;

  /** `pressed` is told where a face was pressed. */
  constructor(stage, changed, pressed) {
    this.#stage = stage;
    this.#changed = changed;
    this.#pressed = pressed;
  }

  /** Another photo: its brush is as thick in proportion. */
  open(painting, width, height) {
    this.painting = painting;
    this.name = "brush"; // an eraser would have nothing to do
    this.#largest = Math.max(8, Math.round(Math.min(width, height) / 2));
    this.resize(Math.round(Math.min(width, height) / 14));
  }

  get largest() { return this.#largest; }
  get paints() { return this.name === "brush" || this.name === "eraser"; }
  get busy() { return this.#stroke !== null; }

  choose(name) {
    this.name = name;
    this.#changed();
  }

  resize(size) {
    this.size = between(size, 1, this.#largest);
    this.#changed();
  }

  /** Thicker (1) or thinner (-1), by a tenth, or a pixel at least. */
  step(direction) {
    const step = Math.max(1, Math.round(this.size / 10));
    this.resize(Math.round(this.size + direction * step));
  }

  /** Begin; `erases` turns any tool into its opposite, as the right button and a pen's other end do. */
  press(point, { erases = false, pressure = 1 } = {}) {
    if (!this.painting || this.name === "hand") return;
    const value = erases || this.name === "eraser" ? 0 : 1;
    this.#stroke = { value, last: point, points: [point] };
    this.painting.begin();
    if (this.paints) this.#line(point, pressure);
    if (this.name === "fill") this.painting.draw((hole) => hole.flood(point, value));
  }

  move(point, { pressure = 1 } = {}) {
    const stroke = this.#stroke;
    if (!stroke) return;
    if (this.paints) this.#line(point, pressure);
    if (this.name === "lasso") stroke.points.push(point);
    if (this.name === "rectangle") stroke.points = [stroke.points[0], point];
    this.#stage.draft = this.#outline();
    this.#stage.refresh();
  }

  release() {
    const stroke = this.#stroke;
    if (!stroke) return;
    const outline = this.#outline();
    if (outline) this.painting.draw((hole) => hole.polygon(outline, stroke.value));
    this.#finish();
    this.painting.end();
    if (this.name === "face") this.#pressed(stroke.last);
  }

  cancel() {
    if (!this.#stroke) return;
    this.#finish();
    this.painting.cancel();
  }

  #finish() {
    this.#stroke = null;
    this.#stage.draft = null;
    this.#stage.refresh();
  }

  #line(point, pressure) {
    const { last, value } = this.#stroke;
    this.painting.draw((hole) => hole.line(last, point, (this.size / 2) * pressure, value));
    this.#stroke.last = point;
  }

  /** The polygon of a rectangle or a lasso, once it has any extent. */
  #outline() {
    const { points } = this.#stroke;
    if (this.name === "lasso") return points.length > 2 ? points : null;
    if (this.name !== "rectangle" || points.length < 2) return null;
    const [a, b] = points.map(({ x, y }) => ({ x: Math.round(x), y: Math.round(y) }));
    return [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];
  }
}
