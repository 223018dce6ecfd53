// What could be done next, and what is on the stage, in words.

import { $ } from "./elements.js";
import { touches } from "./frames.js";

/** One sentence for who does not know what to do, or is about to be disappointed; mostly none is needed. */
export function hint({ photo, hole, faces, faceless }, model) {
  if (!photo) return "";
  if (hole.isEmpty) return $("observe").value ? "" : "Paint over what should be filled in.";
  const looksForFaces = model?.alignment && $("place").value !== "center" && photo.width !== model.size;
  if (!looksForFaces) return "";
  if (faceless) return "No face was found. If there is one, choose “the middle of the photo” under Options.";
  const missed = faces.length && !touches(hole, faces);
  return missed ? "The paint is beside the faces: it is filled from the photo there, without the model." : "";
}

/** The stage for who cannot see it. */
export function description({ photo, hole, faces }) {
  if (!photo) return "No photo";
  let painted = 0;
  for (const cell of hole.cells) painted += cell;
  const share = ((100 * painted) / hole.cells.length).toFixed(painted ? 1 : 0);
  const outlined = faces.length === 1 ? "1 face" : `${faces.length} faces`;
  const keys = "Arrow keys move the pen, the space bar sets it down and lifts it.";
  return `${photo.name}, ${outlined} outlined, ${share} % painted. ${keys}`;
}
