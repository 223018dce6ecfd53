// Where the page begins: models, tabs, theme, keys.

import { Api } from "./api.js";
import { Completing } from "./completing.js";
import { $ } from "./elements.js";
import { Exploring } from "./exploring.js";
import { listen } from "./keys.js";
import { askToken, complain, silence } from "./messages.js";
import { Models } from "./models.js";

const api = new Api(askToken);
const models = new Models(() => {
  completing.findFaces();
  exploring.changed();
});
const completing = new Completing(api, models);
const exploring = new Exploring(api, models);

tabs();
theme();
$("brand").addEventListener("click", async (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab
  event.preventDefault();
  await completing.close();
  location.assign($("brand").href);
});
for (const button of document.querySelectorAll("[data-dialog]")) {
  button.addEventListener("click", () => $(button.dataset.dialog).showModal());
}
for (const dialog of document.querySelectorAll("dialog")) { // a click beside a dialog closes it
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
listen(shortcuts());
start();

async function start() {
  try {
    await models.load(api);
    exploring.changed();
    if (!(await completing.restore())) completing.findFaces(); // of a photo that was quicker than the server
  } catch (error) {
    complain(error, ["Try again", start]);
  }
}

function tabs() {
  const all = [...document.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    silence(); // what was said belongs to the other one
    for (const one of all) {
      const on = one === tab;
      one.setAttribute("aria-selected", String(on));
      one.tabIndex = on ? 0 : -1;
      $(one.getAttribute("aria-controls")).hidden = !on;
    }
    if (tab.id === "explore-tab") exploring.begin();
  };
  all.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = all[(i + 1) % all.length]; // there are two
      other.focus();
      choose(other);
    });
  });
}

function theme() {
  const order = ["auto", "light", "dark"], root = document.documentElement;
  const showTheme = () => {
    const words = { auto: "as the system has it", light: "light", dark: "dark" }[root.dataset.theme];
    $("theme").ariaLabel = $("theme").title = `Colours: ${words}`;
  };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
    localStorage.setItem("latentfill-theme", root.dataset.theme);
    showTheme();
  });
  showTheme();
}

function shortcuts() {
  const onStage = (act) => () => $("complete-panel").hidden || act();
  const tool = (name) => onStage(() => completing.tools.choose(name));
  const change = (what) => onStage(() => completing.change(what));
  return [
    ["Ctrl+o", "open a photo", onStage(() => $("file").click())],
    ["Enter Ctrl+Enter", "complete", onStage(() => !completing.isRunning && completing.run())],
    ["Escape", "stop, or give up a stroke", onStage(() => (completing.isRunning ? completing.cancel() : completing.tools.cancel()))],
    ["b", "brush", tool("brush")],
    ["e", "eraser", tool("eraser")],
    ["r", "rectangle", tool("rectangle")],
    ["l", "lasso", tool("lasso")],
    ["f", "fill what is enclosed", tool("fill")],
    ["a", "part of a face: press one", tool("face")],
    ["h", "hand: move the photo", tool("hand")],
    ["[", "thinner brush; the wheel does it, too", onStage(() => completing.tools.step(-1))],
    ["]", "thicker brush", onStage(() => completing.tools.step(1))],
    ["Ctrl+z", "undo", change("undo")],
    ["Ctrl+Shift+z Ctrl+y", "redo", change("redo")],
    ["Delete Backspace", "clear the hole", change("clear")],
    ["i", "invert the hole", change("invert")],
    ["s", "select the object that is painted over", onStage(() => completing.holes.select())],
    ["p", "show or hide the hole", onStage(() => completing.peek())],
    ["+ =", "zoom in; Ctrl and the wheel do it, too", onStage(() => completing.zoom(1.4))],
    ["-", "zoom out", onStage(() => completing.zoom(1 / 1.4))],
    ["0", "show all of the photo", onStage(() => completing.zoom(0))],
    ["1 2 3 4 5 6 7 8", "choose an answer", (key) => $("complete-panel").hidden || completing.results.choose(key - 1)],
    ["c", "compare before and after", onStage(() => $("compare").click())],
    ["u", "show where the answers differ", onStage(() => $("unsure").click())],
    ["Ctrl+s", "download the answer", onStage(() => completing.download())],
    ["?", "these keys", () => $("keys-dialog").showModal()],
  ];
}
