// Where the photo is seen: from its pixels to those of the screen, and back.

const CLOSEST = 40; // screen pixels for one of the photo
const BAR = 56; // pixels of the screen that the bar at the bottom takes

export class View {
  #size = { width: 1, height: 1 };
  #screen = { width: 1, height: 1 };
  #fits = true; // until someone zooms or pans: a turned phone should show all of it again
  scale = 1;
  x = 0;
  y = 0;

  /** A photo of this size is looked at. */
  look(width, height) {
    this.#size = { width, height };
    this.fit();
  }

  resize(width, height) {
    this.#screen = { width, height };
    if (this.#fits) this.fit();
    else this.#hold();
  }

  fit() {
    const { width, height } = this.#size, margin = Math.min(24, this.#screen.width / 30);
    const room = { width: this.#screen.width - 2 * margin, height: this.#screen.height - 2 * margin - BAR };
    this.scale = Math.max(1e-3, Math.min(room.width / width, room.height / height, 12));
    this.x = margin + (room.width - width * this.scale) / 2;
    this.y = margin + (room.height - height * this.scale) / 2;
    this.#fits = true;
  }

  /** Nearer or farther, with what is under a point of the screen staying there; the middle by default. */
  zoom(factor, at = { x: this.#screen.width / 2, y: this.#screen.height / 2 }) {
    const { width, height } = this.#size;
    const farthest = Math.min(1, this.#screen.width / width, this.#screen.height / height) / 4;
    const scale = Math.min(CLOSEST, Math.max(farthest, this.scale * factor));
    this.x = at.x - ((at.x - this.x) * scale) / this.scale;
    this.y = at.y - ((at.y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.#hold();
  }

  pan(right, down) {
    this.x += right;
    this.y += down;
    this.#hold();
  }

  /** Bring a point of the photo into sight. */
  reveal(point) {
    const at = this.toScreen(point), edge = 32;
    const move = (value, most) => Math.max(0, edge - value) + Math.min(0, most - edge - value);
    const right = move(at.x, this.#screen.width), down = move(at.y, this.#screen.height);
    if (right || down) this.pan(right, down);
  }

  toPhoto(point) { return { x: (point.x - this.x) / this.scale, y: (point.y - this.y) / this.scale }; }
  toScreen(point) { return { x: point.x * this.scale + this.x, y: point.y * this.scale + this.y }; }

  /** The photo never leaves the screen altogether. */
  #hold() {
    this.#fits = false;
    const keep = 48;
    const clamp = (at, length, room) => Math.min(room - keep, Math.max(keep - length, at));
    this.x = clamp(this.x, this.#size.width * this.scale, this.#screen.width);
    this.y = clamp(this.y, this.#size.height * this.scale, this.#screen.height);
  }
}
