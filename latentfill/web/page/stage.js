// The stage: one canvas with the photo, the hole over it, and what is being found in it.

import { makeCanvas } from "./elements.js";
import { View } from "./view.js";

const PAINT = [112, 76, 255]; // violet, which skin, hair and skies seldom are
const STRIPES = [180, 150].map((alpha) => new Uint32Array(new Uint8Array([...PAINT, alpha]).buffer)[0]);
const UNSURE = [255, 176, 0];

export class Stage {
  view = new View();
  photo = null; // ImageBitmap
  result = null; // a candidate, as large as the photo
  live = null; // what the search draws now: { canvas, box }
  unsure = null; // canvas, as large as the photo: where the answers differ
  holeShown = true;
  faces = []; // outlines of four points
  squares = []; // the same of those that are being completed
  draft = null; // points of a shape that is being drawn
  cursor = null; // { x, y, radius }, in pixels of the photo
  split = null; // share of the photo's width left of which the photo is seen, right of it the result
  #canvas;
  #context;
  #tint = null;
  #asked = false;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  open(bitmap) {
    this.photo = bitmap;
    this.result = this.live = this.unsure = this.draft = this.cursor = this.split = null;
    this.faces = [];
    this.squares = [];
    this.holeShown = true;
    [this.#tint] = makeCanvas(bitmap.width, bitmap.height);
    this.view.look(bitmap.width, bitmap.height);
    this.refresh();
  }

  /** Show nothing. */
  close() {
    this.photo = this.result = this.live = this.unsure = this.draft = this.cursor = this.split = null;
    this.refresh();
  }

  /** The hole in its colour, as large as the photo. */
  get tint() { return this.#tint; }

  /** The hole has changed in this box. */
  repaint(hole, box) {
    if (box.empty) return;
    const context = this.#tint.getContext("2d"), picture = context.createImageData(box.width, box.height);
    const pixels = new Uint32Array(picture.data.buffer);
    const stripe = Math.max(2, Math.round(Math.max(hole.width, hole.height) / 90));
    for (let y = box.top, i = 0; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++, i++) { // in stripes: not to be taken for the photo
        if (hole.cells[y * hole.width + x]) pixels[i] = STRIPES[Math.floor((x + y) / stripe) & 1];
      }
    }
    context.putImageData(picture, box.left, box.top);
    this.refresh();
  }

  /** Where the answers differ, as a grey picture, brighter = less sure; null for none. */
  setUnsure(bitmap) {
    this.unsure = null;
    if (bitmap) {
      const [canvas, context] = makeCanvas(bitmap.width, bitmap.height);
      context.drawImage(bitmap, 0, 0);
      const picture = context.getImageData(0, 0, canvas.width, canvas.height), { data } = picture;
      let most = 1;
      for (let i = 0; i < data.length; i += 4) most = Math.max(most, data[i]);
      for (let i = 0; i < data.length; i += 4) {
        const share = data[i] / most; // where it is surest and least sure within this picture
        data[i + 3] = data[i] ? 30 + 200 * share : 0;
        data.set([UNSURE[0], UNSURE[1] * (1 - 0.75 * share), UNSURE[2]], i);
      }
      context.putImageData(picture, 0, 0);
      this.unsure = canvas;
    }
    this.refresh();
  }

  /** Draw at the next frame of the screen. */
  refresh() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
      this.onDrawn?.();
    });
  }

  #resize() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.#canvas.width = Math.round(width * devicePixelRatio);
    this.#canvas.height = Math.round(height * devicePixelRatio);
    this.view.resize(width, height);
    this.refresh();
  }

  #draw() {
    const context = this.#context, { photo, view } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (!photo) return;
    const scale = view.scale * devicePixelRatio;
    context.setTransform(scale, 0, 0, scale, view.x * devicePixelRatio, view.y * devicePixelRatio);
    context.imageSmoothingEnabled = view.scale < 16;
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, 0, 0);
    if (this.result) this.#drawResult(context, photo);
    if (this.live) context.drawImage(this.live.canvas, ...boxed(this.live.box));
    if (this.unsure) context.drawImage(this.unsure, 0, 0);
    if (this.holeShown && !this.live) context.drawImage(this.#tint, 0, 0);
    const pixel = 1 / view.scale;
    const outlines = this.squares.length ? this.squares : this.result ? [] : this.faces;
    for (const outline of outlines) this.#outline(context, outline, pixel);
    if (this.draft?.length) this.#trace(context, this.draft, pixel);
    if (this.split !== null && this.result) this.#divide(context, photo, pixel);
    if (this.cursor) this.#brush(context, pixel);
  }

  #drawResult(context, photo) {
    context.save();
    if (this.split !== null) {
      context.beginPath();
      context.rect(this.split * photo.width, 0, photo.width, photo.height);
      context.clip();
    }
    context.drawImage(this.result, 0, 0, photo.width, photo.height);
    context.restore();
  }

  #divide(context, photo, pixel) {
    context.fillStyle = "#fff";
    context.shadowColor = "rgba(0, 0, 0, .5)";
    context.shadowBlur = 4 * devicePixelRatio;
    context.fillRect(this.split * photo.width - pixel, 0, 2 * pixel, photo.height);
    context.shadowBlur = 0;
  }

  /** Only the corners of a square: nothing to be taken for a part of the face. */
  #outline(context, points, pixel) {
    const path = new Path2D();
    points.forEach(([x, y], i) => {
      for (const [a, b] of [points[(i + 1) % 4], points[(i + 3) % 4]]) {
        path.moveTo(x, y);
        path.lineTo(x + (a - x) * 0.16, y + (b - y) * 0.16);
      }
    });
    this.#twice(context, path, pixel, 2);
  }

  #trace(context, points, pixel) {
    const path = new Path2D();
    points.forEach(({ x, y }) => path.lineTo(x, y));
    path.closePath();
    context.fillStyle = `rgba(${PAINT}, .35)`;
    context.fill(path);
    this.#twice(context, path, pixel, 1.5);
  }

  #brush(context, pixel) {
    const { x, y, radius } = this.cursor, path = new Path2D();
    path.arc(x, y, Math.max(radius, 2 * pixel), 0, 2 * Math.PI);
    this.#twice(context, path, pixel, 1.5);
  }

  /** A white line with a dark one around it can be seen on anything. */
  #twice(context, path, pixel, width) {
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = "rgba(0, 0, 0, .45)";
    context.lineWidth = (width + 2) * pixel;
    context.stroke(path);
    context.strokeStyle = "#fff";
    context.lineWidth = width * pixel;
    context.stroke(path);
  }
}

const boxed = (box) => [box.left, box.top, box.width, box.height];
