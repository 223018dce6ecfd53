// What the page says: in a bar that goes away, to screen readers, and where it must be answered in a dialog.

import { $, make } from "./elements.js";

let hiding = 0;

/** Say something that need not be read; screen readers hear it when they are done with what they say. */
export function say(words) {
  $("said").textContent = words;
}

/** Show what went wrong and the cure, until it is closed. `action` is a button: [its words, what it does]. */
export function complain(problem, action = null) {
  if (problem.name === "AbortError") return;
  if (!("cure" in problem)) console.warn(problem); // a mistake of the page: in words for the user, whole for us
  notice(problem.message, { more: problem.cure ?? "Reload the page and try again.", action, bad: true });
}

/** Show a short message; without an action and unless it is bad it goes away by itself. */
export function notice(words, { more = "", action = null, bad = false } = {}) {
  clearTimeout(hiding);
  const texts = make("p", {}, make("strong", { textContent: words }), " ", more);
  const close = make("button", { className: "quiet", textContent: "✕", ariaLabel: "Close", onclick: silence });
  const parts = [texts, close];
  if (action) {
    const [name, act] = action;
    const pressed = () => {
      silence();
      act();
    };
    parts.splice(1, 0, make("button", { textContent: name, onclick: pressed }));
  }
  $("notice").replaceChildren(...parts);
  $("notice").className = bad ? "bad" : "";
  $("notice").hidden = false;
  if (!action && !bad) hiding = setTimeout(silence, 6000);
}

/** Take the message away. */
export function silence() {
  $("notice").hidden = true;
}

/** Ask for the server's token; resolves to null if there is none to give. */
export function askToken(wrong) {
  const dialog = $("token-dialog");
  $("token-wrong").hidden = !wrong;
  $("token").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "enter" ? $("token").value.trim() : null), {
      once: true,
    });
  });
}
