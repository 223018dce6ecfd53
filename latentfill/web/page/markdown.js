// A model's card, which is Markdown of anybody's: made into elements one by one, so that no markup in it has any effect.

import { make } from "./elements.js";

/** Elements for a card: headings, paragraphs, lists, tables, code. Pictures are left out: nothing is fetched for it. */
export function render(text) {
  const lines = text.replace(/^!\[[^\]]*\]\([^)]*\)$/gm, "").split("\n");
  const made = [];
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (line.startsWith("```")) made.push(code(lines));
    else if (/^#{1,6} /.test(line)) made.push(heading(lines.shift()));
    else if (line.startsWith("|")) made.push(table(taken(lines, (one) => one.startsWith("|"))));
    else if (/^([-*]|\d+\.) /.test(line)) made.push(list(lines));
    else made.push(make("p", {}, ...words(taken(lines, (one) => one.trim() && !/^(#|```|\|)/.test(one)).join(" "))));
  }
  return made;
}

function taken(lines, belongs) {
  const some = [lines.shift()];
  while (lines.length && belongs(lines[0])) some.push(lines.shift());
  return some;
}

function code(lines) {
  lines.shift();
  const some = [];
  while (lines.length && !lines[0].startsWith("```")) some.push(lines.shift());
  lines.shift();
  return make("pre", {}, make("code", { textContent: some.join("\n") }));
}

function heading(line) {
  const level = Math.min(6, line.indexOf(" ") + 1); // the dialog has the only heading of level 1
  return make(`h${level}`, {}, ...words(line.replace(/^#+ /, "")));
}

function table(rows) {
  const cells = rows.map((row) => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
  const body = cells.filter((row) => !row.every((cell) => /^:?-+:?$/.test(cell)));
  const made = body.map((row, i) => {
    const tag = i === 0 && row.some(Boolean) && body.length < cells.length ? "th" : "td";
    return make("tr", {}, ...row.map((cell) => make(tag, {}, ...words(cell))));
  });
  return make("div", { className: "scrolls" }, make("table", {}, ...made.filter((row) => row.textContent)));
}

function list(lines) {
  const tag = /^\d/.test(lines[0]) ? "ol" : "ul";
  const items = [];
  while (lines.length && lines[0].trim() && !/^(#|```|\|)/.test(lines[0])) {
    const line = lines.shift();
    if (/^([-*]|\d+\.) /.test(line)) items.push(line.replace(/^\S+ /, ""));
    else items.push(`${items.pop()} ${line.trim()}`);
  }
  return make(tag, {}, ...items.map((item) => make("li", {}, ...words(item))));
}

/** Bold, code and links within a line; of a link only the words, and its address where it leads out. */
function words(line) {
  return line.split(/(\*\*[^*]+\*\*|`[^`]+`|\[[^\]]+\]\([^)]+\))/).map((part) => {
    if (part.startsWith("**")) return make("strong", { textContent: part.slice(2, -2) });
    if (part.startsWith("`") && part.length > 1) return make("code", { textContent: part.slice(1, -1) });
    const link = /^\[([^\]]+)\]\(([^)]+)\)$/.exec(part);
    if (!link) return part;
    if (!/^https?:\/\//.test(link[2])) return link[1];
    return make("a", { href: link[2], textContent: link[1], target: "_blank", rel: "noopener noreferrer" });
  });
}
