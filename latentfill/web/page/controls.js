// Buttons, sliders and choices of the first tab.

import { $, press } from "./elements.js";

/** What was chosen under Options, as the server is told it. */
export function choices() {
  const options = { candidates: Number($("count").value), seed: Math.max(0, Math.round(Number($("seed").value)) || 0) };
  if ($("steps").value) options.steps = Math.max(0, Math.round(Number($("steps").value)));
  return { preset: $("preset").value, options, photoOptions: { place: $("place").value }, observe: $("observe").value };
}

/** The widths of the margins, in percent of the photo: left, top, right, bottom. */
const marginFields = () => [...document.querySelectorAll("#margins input")];

/** Show how wide the margins are now. */
export function showMargins(percent) {
  marginFields().forEach((field, i) => (field.value = percent[i]));
}

/** Let every control do its work; `changed` is told of choices that change what can be done. */
export function connect(completing, changed) {
  const acts = {
    run: () => completing.run(),
    peek: () => completing.peek(),
    "load-hole": () => $("hole-file").click(),
    "save-hole": () => completing.holes.save(),
    select: () => completing.holes.select(),
    download: () => completing.download(),
    gif: () => completing.saveAnimation(),
    "go-on": () => completing.goOn(),
    close: () => completing.close(),
    "zoom-in": () => completing.zoom(1.4),
    "zoom-out": () => completing.zoom(1 / 1.4),
    "zoom-fit": () => completing.zoom(0),
  };
  for (const what of ["undo", "redo", "clear", "invert"]) acts[what] = () => completing.change(what);
  for (const [id, act] of Object.entries(acts)) $(id).addEventListener("click", act);
  for (const button of toolButtons()) button.addEventListener("click", () => completing.tools.choose(button.dataset.tool));
  // a slider of sizes is felt as even if each step is by the same factor
  $("size").addEventListener("input", () => completing.tools.resize(Math.round(Math.exp($("size").valueAsNumber / 100))));
  $("widen").addEventListener("input", () => completing.holes.widen($("widen").valueAsNumber, false));
  $("widen").addEventListener("change", () => completing.holes.widen($("widen").valueAsNumber, true));
  $("hole-file").addEventListener("change", () => {
    if ($("hole-file").files[0]) completing.holes.load($("hole-file").files[0]);
    $("hole-file").value = "";
  });
  for (const field of marginFields()) {
    field.addEventListener("change", () => completing.extend(marginFields().map((one) => one.valueAsNumber)));
  }
  for (const id of ["observe", "place"]) $(id).addEventListener("change", changed);
}

/** Which tool is chosen, and how thick it paints. */
export function showTool({ name, size, largest, paints }, stage) {
  for (const button of toolButtons()) press(button, button.dataset.tool === name);
  $("size").max = Math.round(100 * Math.log(largest));
  $("size").value = Math.round(100 * Math.log(size));
  $("size").setAttribute("aria-valuetext", `${size} pixels`);
  $("size-words").textContent = `${size} px`;
  $("size-box").classList.toggle("idle", !paints);
  if (!stage.cursor) return;
  stage.cursor.radius = paints ? size / 2 : 0;
  stage.refresh();
}

const toolButtons = () => document.querySelectorAll("[data-tool]");
