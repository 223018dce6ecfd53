// Margins around the photo, to be found as the hole is. The page works on the larger photo; the server is sent the photo
// as it is, what is painted on it, and how wide the margins are.

import { Box } from "./hole.js";
import { Problem } from "./api.js";
import { makeCanvas } from "./elements.js";

const SIDES = ["left", "top", "right", "bottom"];

/** A photo with margins of so many percent of its sides: left, top, right, bottom. It may have others already. */
export function extend(photo, percent, { max_pixels: most = Infinity } = {}) {
  const { own } = photo, margins = {};
  percent = percent.map((one) => Math.min(100, Math.max(0, one || 0)));
  SIDES.forEach((side, i) => (margins[side] = Math.round((percent[i] * (i % 2 ? own.height : own.width)) / 100)));
  const width = margins.left + own.width + margins.right, height = margins.top + own.height + margins.bottom;
  if (width * height > most) {
    throw new Problem(`The photo would have ${width} × ${height} pixels with its margins.`, `This server takes up to ${most} pixels.`);
  }
  const { left, top } = margins, inner = new Box(left, top, left + own.width, top + own.height);
  if (SIDES.every((side) => !margins[side])) return own;
  const [canvas, context] = makeCanvas(width, height);
  context.drawImage(own.bitmap, left, top);
  return { ...own, own, bitmap: canvas, width, height, inner, percent, extend: SIDES.map((side) => margins[side]).join(",") };
}

/** A photo as it was opened, without margins. */
export function withoutMargins(photo) {
  const made = { ...photo, inner: new Box(0, 0, photo.width, photo.height), percent: [0, 0, 0, 0], extend: "" };
  return Object.assign(made, { own: made });
}

/** The corners of squares in the photo as the server sees it, in the photo with its margins. */
export const shifted = (outlines, { left, top }) => outlines.map((points) => points.map(([x, y]) => [x + left, y + top]));
