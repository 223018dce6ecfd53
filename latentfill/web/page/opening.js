// Opening photos: by button, drag and drop, paste, or from the samples. Everything stays in the browser until it is run.

import { $, makeCanvas } from "./elements.js";
import { Problem } from "./api.js";
import { complain } from "./messages.js";

const MOST_PIXELS = 100_000_000; // what a browser's canvas bears

/** A photo: its file as it came, its picture, its name. */
export async function read(file, limits = {}) {
  if (file.type && !file.type.startsWith("image/")) {
    throw new Problem(`${file.name || "That"} is not a picture.`, "Choose a JPEG, PNG or WebP file.");
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Problem(`${file.name || "The file"} cannot be read as a picture.`,
      "It may be damaged, or of a kind that browsers do not show: save it as JPEG or PNG.");
  }
  const { width, height } = bitmap;
  const pixels = Math.min(limits.max_pixels ?? MOST_PIXELS, MOST_PIXELS), bytes = limits.max_bytes ?? Infinity;
  if (width * height > pixels || file.size > bytes) {
    const most = width * height > pixels ? `${mega(pixels)} million pixels` : `${mega(bytes)} MB`;
    const problem = new Problem(`The photo has ${width} × ${height} pixels; the server takes up to ${most}.`,
      "Open a smaller copy: it will be made here.");
    const share = Math.min(1, Math.sqrt(pixels / (width * height)), Math.sqrt(bytes / file.size)) * 0.97;
    problem.smaller = () => shrunk(bitmap, share, file.name);
    throw problem;
  }
  return { file, bitmap, width, height, name: (file.name || "picture").replace(/\.[^.]*$/, "") };
}

/** Whether some of a picture is transparent; such a part is most often what is to be found. */
export function transparentPart({ file, bitmap }) {
  if (!/png|webp|avif/.test(file.type)) return null;
  const [canvas, context] = makeCanvas(bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const picture = context.getImageData(0, 0, canvas.width, canvas.height), { data } = picture;
  let some = false;
  for (let i = 0; i < data.length; i += 4) {
    const missing = data[i + 3] < 128;
    some ||= missing;
    data.fill(missing ? 255 : 0, i, i + 3);
    data[i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return some ? canvas : null;
}

/** Every way in leads to `open(file)`. */
export function waysIn(open) {
  const input = $("file");
  for (const id of ["open", "open-first"]) $(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) open(input.files[0]);
    input.value = ""; // so that the same file can be opened again
  });

  let depth = 0; // enter and leave come for every element on the way
  const dragged = (over) => document.body.classList.toggle("dragged", over);
  addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    depth++;
    dragged(true);
  });
  addEventListener("dragleave", () => {
    if (depth > 0 && --depth === 0) dragged(false);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    dragged(false);
    if (event.dataTransfer?.files[0]) open(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) open(file);
  });
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", async () => {
      const address = button.dataset.sample;
      const response = await fetch(address).catch(() => null);
      if (!response?.ok) return complain(new Problem("The server does not answer.", "See whether latentfill serve still runs, then try again."));
      open(new File([await response.blob()], address.split("/").at(-1), { type: response.headers.get("Content-Type") }));
    });
  }
}

async function shrunk(bitmap, share, name) {
  const [canvas, context] = makeCanvas(bitmap.width * share, bitmap.height * share);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], name, { type: "image/jpeg" });
}

const mega = (number) => Math.round(number / 1e6);
