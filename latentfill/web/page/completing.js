// The first tab: a photo is opened, painted on, completed, looked at. Everything of it meets here.

import { saveAnimation } from "./animating.js";
import { sentence } from "./api.js";
import { choices, connect, showMargins, showTool } from "./controls.js";
import { $, press, show } from "./elements.js";
import { description, hint } from "./hints.js";
import { Faces } from "./faces.js";
import { Keeper } from "./keeping.js";
import { extend } from "./margins.js";
import { HoleMenu } from "./menu.js";
import { complain, notice, say, silence } from "./messages.js";
import { read, waysIn } from "./opening.js";
import { Painting } from "./painting.js";
import { point } from "./pointing.js";
import { Progress } from "./progress.js";
import { Results } from "./results.js";
import { question, run } from "./running.js";
import { Stage } from "./stage.js";
import { Tools } from "./tools.js";
import { Variations } from "./varying.js";

export class Completing {
  #api;
  #models;
  #photo = null;
  #painting = null;
  #running = null; // AbortController of the search
  #opened = 0;
  #keeper = new Keeper(() => this.#painting && !this.#painting.hole.isEmpty);

  constructor(api, models) {
    this.#api = api;
    this.#models = models;
    this.stage = new Stage($("canvas"));
    this.faces = new Faces(api, this.stage);
    this.progress = new Progress(this.stage);
    this.tools = new Tools(this.stage, () => showTool(this.tools, this.stage), (point) => this.holes.askPart(point, this.stage));
    this.results = new Results(this.stage, say);
    this.variations = new Variations(api, this.results);
    this.holes = new HoleMenu(api, () => !this.#running && this.edit());
    const allowed = () => !this.#running && this.stage.split === null;
    point($("canvas"), this.stage, this.tools, { allowed, say });
    waysIn((file) => this.open(file));
    connect(this, () => this.#showState());
    showTool(this.tools, this.stage);
  }

  get isRunning() { return this.#running !== null; }

  /** Show a photo; `kept` is what was painted on it before the page was loaded anew. */
  async open(file, kept = null) {
    if (this.#running) return notice("Stop the search first.", { more: "Then open another picture." });
    const turn = ++this.#opened;
    const patience = setTimeout(() => notice(`Opening ${file.name || "the picture"}…`), 800);
    try {
      const photo = await read(file, this.#api, this.#models.limits).finally(() => clearTimeout(patience));
      if (turn !== this.#opened) return; // another one was opened meanwhile
      silence();
      show(false, "welcome");
      show(true, "workplace", "open");
      this.#lay(kept?.percent ? extend(photo, kept.percent) : photo);
      this.holes.open(this.#photo, this.#painting, kept);
      this.#keeper.photo(file, this.#painting.hole, this.#photo.percent);
      say(`${photo.name}, ${photo.width} × ${photo.height} pixels.`);
      await this.findFaces();
    } catch (error) {
      if (turn !== this.#opened) return;
      complain(error, error.smaller ? ["Open a smaller copy", async () => this.open(await error.smaller())] : null);
    }
  }

  /** Give the photo other margins, in percent; what is painted on it stays, and can be undone as before. */
  extend(percent) {
    const photo = this.#photo;
    if (!photo || this.#running) return;
    try {
      const larger = extend(photo, percent, this.#models.limits), before = this.#painting, { size } = this.tools;
      this.#lay(larger);
      this.tools.resize(size);
      this.holes.lay(larger, this.#painting);
      this.#painting.inherit(before);
      this.faces.show(larger);
      this.#keeper.hole(this.#painting.hole, larger.percent);
      say(`${larger.width} × ${larger.height} pixels.`);
    } catch (error) {
      complain(error);
    }
    showMargins(this.#photo.percent);
    this.#showState();
  }

  /** A photo is on the stage, with nothing painted on it but its margins. */
  #lay(photo) {
    this.#photo = photo;
    this.#painting = new Painting(photo, (box, finished) => this.#painted(box, finished));
    this.results.clear();
    this.stage.open(photo.bitmap);
    this.tools.open(this.#painting, photo.width, photo.height);
  }

  /** Open what this tab had open before it was loaded anew; resolves to whether there is a photo to open. */
  async restore() {
    const kept = this.#opened ? null : await this.#keeper.read();
    if (!kept || this.#opened) return false;
    await this.open(kept.file, kept);
    return true;
  }

  /** Forget the photo and what is painted. */
  async close() {
    this.cancel();
    this.#opened++;
    this.#photo = this.#painting = this.tools.painting = null;
    this.holes.close();
    this.results.clear();
    this.stage.close();
    show(false, "workplace", "open");
    show(true, "welcome");
    silence();
    this.#showState();
    await this.#keeper.clear();
  }

  /** Outline what the model would be shown, if it is a model of faces. */
  async findFaces() {
    const { own } = this.#photo ?? {};
    this.#showState();
    await this.faces.find(this.#photo, this.#models.chosen, () => own === this.#photo?.own);
    if (own !== this.#photo?.own) return;
    this.faces.show(this.#photo);
    if (this.faces.side && !this.#painting.canUndo) this.tools.resize(Math.round(this.faces.side / 5));
    this.#showState();
  }

  /** Search, and show what it draws as it goes; or stop the search that runs. */
  async run() {
    if (this.#running) return this.cancel();
    if (!this.#photo || $("run").disabled) return;
    const photo = this.#photo, { hole } = this.#painting, chosen = choices();
    const { signal } = (this.#running = new AbortController());
    silence();
    this.results.clear();
    this.progress.begin(hole, Boolean(chosen.observe));
    this.#showState();
    try {
      const form = await question(photo, hole, this.#models.chosen, chosen);
      await run(this.#api, form, signal, {
        ...this.progress.hear,
        done: async (done) => {
          const box = hole.isEmpty ? hole.whole : hole.bounds;
          await this.results.show(done, photo, box);
          this.variations.offer(form, done.state, photo);
          say(["Done.", ...[...$("trust").children].map((one) => sentence(one.textContent))].join(" "));
        },
      });
    } catch (error) {
      if (error.name === "AbortError") say("Stopped.");
      complain(error);
    } finally {
      this.#running = null;
      this.progress.end();
      this.#showState();
    }
  }

  cancel() { this.#running?.abort(); }

  /** Forget answers in favour of the paint; returns true, as it can be painted on. */
  edit() {
    if (this.stage.result) this.results.leave();
    this.stage.holeShown = true;
    press($("peek"), true);
    this.stage.refresh();
    return true;
  }

  change(what) {
    if (!this.#painting || this.#running) return;
    this.edit();
    if (what === "undo" || what === "redo") this.#painting[what]();
    else if (what === "clear") this.#painting.once((hole) => hole.fill(0));
    else this.#painting.once((hole) => hole.invert());
  }

  peek() {
    if (!this.#photo || this.#running) return;
    this.stage.holeShown = !this.stage.holeShown;
    press($("peek"), this.stage.holeShown);
    this.stage.refresh();
  }

  saveAnimation() { return saveAnimation(this.#photo, this.stage.tint, this.progress.frames, this.results); }

  /** The whole photo as it is seen, the server's file. */
  download() { return this.results.download().catch(complain); }

  /** The answer becomes the photo: what else is missing can be painted next. */
  async goOn() {
    try {
      const file = await this.results.shown();
      if (file) await this.open(new File([file], `${this.#photo.name}.png`, { type: file.type }));
    } catch (error) {
      complain(error);
    }
  }

  #painted(box, finished) {
    if (this.stage.result || !this.stage.holeShown) this.edit();
    this.stage.repaint(this.#painting.hole, box);
    if (!finished) return;
    this.#keeper.hole(this.#painting.hole, this.#photo.percent);
    this.#showState();
  }

  /** What can be done now, and what should be. */
  #showState() {
    const running = this.#running !== null, painting = this.#painting;
    const empty = !painting || painting.paint.isEmpty, asked = !empty || this.#photo?.extend || $("observe").value;
    document.body.classList.toggle("running", running);
    $("run").disabled = !running && (!asked || !this.#models.chosen);
    $("run-words").textContent = running ? "Stop" : this.results.any ? "Complete again" : "Complete";
    $("undo").disabled = running || !painting?.canUndo;
    $("redo").disabled = running || !painting?.canRedo;
    for (const id of ["clear", "invert", "load-hole", "select"]) $(id).disabled = running;
    for (const id of ["clear", "select"]) $(id).disabled ||= empty;
    $("save-hole").disabled = empty;
    $("open").disabled = running;
    const scene = { photo: this.#photo, hole: painting?.hole, faces: this.stage.faces, faceless: this.faces.missing };
    $("hint").textContent = running ? "" : hint(scene, this.#models.chosen);
    $("hint").classList.toggle("inviting", !asked);
    $("canvas").ariaLabel = description(scene);
  }

  /** Nearer or farther by a factor; 0 shows all of the photo. */
  zoom(factor) {
    if (factor) this.stage.view.zoom(factor);
    else this.stage.view.fit();
    this.stage.refresh();
  }
}
