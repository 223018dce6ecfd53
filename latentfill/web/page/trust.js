// How far to trust an answer, in words that need no statistics, and the server's own beneath.

import { $, make } from "./elements.js";
import { sentence, withoutFlags } from "./api.js";

const SHARE = /^this speaks for the /; // the share that the model filled: the verdict tells it
// Root mean square error in grey levels up to which a word holds.
const WORDS = [
  [9, "Close: likely hard to tell from the truth"],
  [16, "Likely close to the truth"],
  [25, "Plausible; the truth may differ visibly"],
  [Infinity, "A guess: the truth may look quite different"],
];

/** Show what is known of the errors, and the notes that came with the answer. */
export function showTrust(trust, notes, seconds) {
  const parts = [];
  if (trust && Number.isFinite(trust.predicted) && trust.predicted !== null) {
    const level = WORDS.findIndex(([most]) => trust.predicted <= most);
    const filled = WORDS.length - level;
    const dots = WORDS.map((_, i) => make("i", { className: i < filled ? "full" : "" }));
    const meter = make("span", { className: "meter", role: "img", ariaLabel: `trust: ${filled} of ${WORDS.length}` }, ...dots);
    const where = trust.share < 1 ? `For ${Math.round(100 * trust.share)} % of the hole: ` : "";
    parts.push(make("p", { className: "verdict" }, meter, make("strong", { textContent: where + WORDS[level][1] })));
  }
  if (trust?.share === 0) parts.push(make("p", { className: "verdict" }, make("strong", { textContent: sentence(trust.words[0]) })));
  if (trust?.unlike) parts.unshift(make("p", { className: "warning", textContent: "This picture is unlike what the model knows." }));
  const said = new Set([...(trust?.words ?? []), ...(notes ?? [])]);
  if (trust?.share === 0) said.delete(trust.words[0]);
  parts.push(...[...said].filter((words) => !SHARE.test(words)).map((words) => make("p", { textContent: sentence(withoutFlags(words)) })));
  if (Number.isFinite(seconds)) parts.push(make("p", { textContent: `Found in ${seconds.toFixed(1)} s.` }));
  $("trust").replaceChildren(...parts);
}
