// Keys for everything, and the dialog that lists them.

import { $, make } from "./elements.js";

const OFF = "latentfill-keys-off";

/** `shortcuts` are [key, what it does in words, action]; a key is as the event has it, with Ctrl+ and Shift+ before. */
export function listen(shortcuts) {
  const acts = new Map();
  for (const [keys, , act] of shortcuts) for (const key of keys.split(" ")) acts.set(key, act);
  $("single-keys").checked = !localStorage.getItem(OFF);
  $("single-keys").addEventListener("change", () => {
    if ($("single-keys").checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
    const ctrl = event.ctrlKey || event.metaKey, name = nameOf(event, ctrl);
    if (!ctrl && (!$("single-keys").checked || isTyping(event.target, event.key))) return;
    const act = acts.get(name);
    if (!act) return;
    event.preventDefault();
    act(event.key);
  });
  $("keys").replaceChildren(...shortcuts.map(([keys, words]) => {
    const shown = keys.split(" ").map((key) => make("kbd", { textContent: key.replace("Escape", "Esc") }));
    return make("tr", {}, make("td", {}, ...shown), make("td", { textContent: words }));
  }));
}

function nameOf(event, ctrl) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return `${ctrl ? "Ctrl+" : ""}${ctrl && event.shiftKey ? "Shift+" : ""}${key}`;
}

/** Whether a key belongs to what has the focus: letters to fields, Enter to buttons. */
function isTyping(target, key) {
  if (target.matches("input:not([type=range], [type=checkbox]), select, textarea")) return true;
  return key === "Enter" && target.matches("button, summary, a, input");
}
