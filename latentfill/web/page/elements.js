// Elements of the page: found, made, and filled with text; never with markup, as some of it comes from files.

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** A new element; `properties` are set as properties where there are such, and as attributes otherwise. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A canvas of this size and its context. */
export function makeCanvas(width, height) {
  const canvas = make("canvas", { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) });
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

/** The file in a data URL, its bytes untouched. The content policy forbids to fetch such URLs, and rightly. */
export function fileOf(dataUrl) {
  const comma = dataUrl.indexOf(",");
  const text = atob(dataUrl.slice(comma + 1));
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: dataUrl.slice(5, comma).split(";")[0] });
}

/** The picture in a data URL, ready to be drawn. */
export const pictureOf = (dataUrl) => createImageBitmap(fileOf(dataUrl));

/** Hand a file to the user. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Show or hide elements. */
export function show(visible, ...ids) {
  for (const id of ids) $(id).hidden = !visible;
}

/** Whether a button that stays down is down. */
export const isDown = (button) => button.getAttribute("aria-pressed") === "true";

/** Press a button that stays down, or let it go. */
export const press = (button, down) => button.setAttribute("aria-pressed", String(down));

/** A length of time in words. */
export function inWords(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}
