// The search as a GIF: the hole, every frame that was seen, the answer.

import { $, makeCanvas, save } from "./elements.js";
import { gif } from "./gif.js";
import { complain } from "./messages.js";

const SIDE = 320; // pixels at most
const FRAMES = 48; // at most, of those that were seen

/** Make the GIF of the answer that is seen, and hand it over. */
export async function saveAnimation(photo, tint, frames, results) {
  const button = $("gif"), words = button.textContent;
  button.disabled = true;
  button.textContent = "Making it…";
  try {
    const file = await results.shown();
    if (!file) return;
    await new Promise((resolve) => setTimeout(resolve, 30)); // until the words are on the screen
    save(await animation(photo, tint, frames, file), `${photo.name}.gif`);
  } catch (error) {
    complain(error);
  } finally {
    button.textContent = words;
    button.disabled = false;
  }
}

/** A GIF file of how `frames` became `result`, of the part of the photo around the hole. */
async function animation(photo, tint, frames, result) {
  const box = frames.box.grown(Math.max(frames.box.width, frames.box.height) * 0.6, photo.width, photo.height);
  const scale = Math.min(4, SIDE / Math.max(box.width, box.height));
  const width = Math.max(1, Math.round(box.width * scale)), height = Math.max(1, Math.round(box.height * scale));
  const [, context] = makeCanvas(width, height);
  const shot = (delay, ...layers) => {
    context.setTransform(width / box.width, 0, 0, height / box.height, 0, 0);
    context.translate(-box.left, -box.top);
    for (const [picture, place] of layers) {
      context.drawImage(picture, place.left, place.top, place.width, place.height);
    }
    return { data: context.getImageData(0, 0, width, height).data, delay };
  };
  const whole = { left: 0, top: 0, width: photo.width, height: photo.height };
  const ground = [photo.bitmap, whole];
  const step = Math.max(1, Math.ceil(frames.seen.length / FRAMES));
  const chosen = frames.seen.filter((_, i) => i % step === 0);
  const shots = [shot(80, ground, [tint, whole])];
  for (const seen of chosen) {
    const { canvas, box: place } = frames.placed(seen);
    shots.push(shot(8, ground, [canvas, place]));
  }
  shots.push(shot(250, [await createImageBitmap(result), whole]));
  return gif(width, height, shots);
}
