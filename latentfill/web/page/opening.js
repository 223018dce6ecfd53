// Opening photos: by button, drag and drop, paste, or from the samples. What a file shows is what the server sees in it:
// browsers turn other files than it does, and read other kinds.

import { $, makeCanvas, pictureOf } from "./elements.js";
import { Problem } from "./api.js";
import { withoutMargins } from "./margins.js";
import { complain } from "./messages.js";

const MOST_PIXELS = 100_000_000; // what a browser's canvas bears
const ROOM = 100_000; // bytes of a request beside the photo, at least

/** A photo: its file as it came, its picture, its name; and what is transparent, if that is a hole. */
export async function read(file, api, limits = {}) {
  const name = file.name || "The picture", { max_bytes: most = Infinity } = limits;
  if (file.type && !file.type.startsWith("image/")) {
    throw new Problem(`${name} is not a picture.`, "Choose a JPEG, PNG or WebP file.");
  }
  if (file.size + ROOM > most) {
    const problem = new Problem(`${name} has ${mega(file.size)} MB; the server takes up to ${mega(most)} MB.`);
    throw await withSmaller(problem, file, limits);
  }
  const form = new FormData();
  form.set("photo", file, name);
  try {
    const decoded = await decode(api, form);
    const { width, height } = decoded.bitmap;
    return withoutMargins({ file, width, height, ...decoded, name: (file.name || "picture").replace(/\.[^.]*$/, "") });
  } catch (error) {
    error.message = error.message.replace(/^Photo: /, `${name}: `);
    throw error.status === 413 ? await withSmaller(error, file, limits) : error;
  }
}

/** What a file says as the hole of a photo, in the server's eyes. */
export async function readHole(file, api, { width, height }) {
  const form = new FormData();
  form.set("hole", file, file.name || "hole");
  form.set("size", JSON.stringify([width, height]));
  try {
    return await decode(api, form);
  } catch (error) {
    error.message = error.message.replace(/^Hole: /, `${file.name || "The hole"}: `);
    throw error;
  }
}

async function decode(api, form) {
  const { image, hole, ...told } = await api.json("decode", { form });
  return { ...told, bitmap: image && (await pictureOf(image)), hole: hole && (await pictureOf(hole)) };
}

/** The outline of the object in a photo that its hole roughly covers. */
export async function selectObject({ file }, hole, api) {
  const form = new FormData();
  form.set("photo", file, file.name || "photo");
  form.set("hole", await hole.file(), "hole.png");
  return pictureOf((await api.json("select", { form })).hole);
}

/** A part of the face at a point of the photo. */
export async function selectPart({ file, inner }, part, { x, y }, api) {
  const form = new FormData();
  form.set("photo", file, file.name || "photo");
  form.set("part", part);
  form.set("at", JSON.stringify([x - inner.left, y - inner.top]));
  return pictureOf((await api.json("select", { form })).hole);
}

/** The problem that a photo is too large, with a way to make it smaller where the browser can read it. */
async function withSmaller(problem, file, { max_pixels: pixels = MOST_PIXELS, max_bytes: bytes = Infinity }) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return problem;
  const many = bitmap.width * bitmap.height;
  const share = Math.min(1, Math.sqrt(pixels / many), Math.sqrt(bytes / file.size)) * 0.97;
  problem.cure = "Open a smaller copy: it will be made here.";
  problem.smaller = () => shrunk(bitmap, share, file.name);
  return problem;
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
