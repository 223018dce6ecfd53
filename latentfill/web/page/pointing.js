// Mouse, fingers, pen and keys on the stage: painting, zooming, panning.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Connects a canvas to tools. `allowed()` says whether the hole may be changed now; `say` is heard by screen readers. */
export function point(canvas, stage, tools, { allowed, say }) {
  const down = new Map(); // pointers that touch, by their id
  let panning = null, pinch = null, pen = null; // `pen` is where the keyboard's cursor is

  const at = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };
  const hover = (point) => {
    const size = tools.paints ? tools.size / 2 : 0;
    stage.cursor = tools.name === "hand" || !stage.photo || !allowed() ? null : { ...point, radius: size };
    canvas.style.cursor = stage.cursor ? "none" : "grab"; // the brush is drawn instead
    stage.refresh();
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!stage.photo) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    canvas.classList.add("pointed"); // who points sees where; the frame around the stage is for keys
    event.preventDefault();
    down.set(event.pointerId, at(event));
    pen = null;
    if (down.size === 2) { // a second finger: it was no stroke
      tools.cancel();
      panning = null;
      pinch = spread([...down.values()]);
    } else if (event.button === 1 || tools.name === "hand" || !allowed()) {
      panning = at(event);
    } else if (down.size === 1) {
      tools.press(stage.view.toPhoto(at(event)), { erases: erases(event), pressure: pressure(event) });
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (down.has(event.pointerId)) down.set(event.pointerId, here);
    if (pinch && down.size >= 2) {
      const now = spread([...down.values()]);
      stage.view.zoom(now.distance / pinch.distance, pinch.middle);
      stage.view.pan(now.middle.x - pinch.middle.x, now.middle.y - pinch.middle.y);
      pinch = now;
    } else if (panning) {
      stage.view.pan(here.x - panning.x, here.y - panning.y);
      panning = here;
    } else if (tools.busy) { // all places since the last event: fast strokes stay round
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const one of passed.length ? passed : [event]) {
        tools.move(stage.view.toPhoto(at(one)), { pressure: pressure(one) });
      }
    }
    if (event.pointerType === "touch") stage.cursor = null;
    else hover(stage.view.toPhoto(here));
    stage.refresh();
  });

  const lift = (event) => {
    if (!down.delete(event.pointerId)) return;
    panning = null;
    if (down.size < 2) pinch = null;
    if (event.type === "pointercancel") tools.cancel();
    else if (down.size === 0) tools.release();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerleave", () => {
    if (tools.busy) return;
    stage.cursor = null;
    stage.refresh();
  });

  canvas.addEventListener("wheel", (event) => {
    if (!stage.photo) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey || !tools.paints || !allowed()) { // a pinch on a trackpad comes as ctrl + wheel
      stage.view.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.01), at(event));
    } else if (event.deltaY) tools.step(event.deltaY < 0 ? 1 : -1);
    hover(stage.view.toPhoto(at(event)));
  }, { passive: false });

  // The keyboard's pen: arrows move it, the space bar sets it down and lifts it again.
  canvas.addEventListener("keydown", (event) => {
    if (!stage.photo || event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = stage.photo;
    if (event.key === " " || ARROWS[event.key]) canvas.classList.remove("pointed");
    if (event.key === " " && !event.repeat && allowed()) {
      event.preventDefault();
      pen ??= { x: width / 2, y: height / 2 };
      if (tools.busy) tools.release();
      else tools.press({ ...pen });
      say(tools.busy ? "Pen down" : "Pen up");
      hover(pen);
    } else if (ARROWS[event.key]) {
      event.preventDefault();
      const [right, down] = ARROWS[event.key];
      if (tools.name === "hand") stage.view.pan(-40 * right, -40 * down);
      else {
        const step = Math.max(1, Math.round(Math.max(width, height) / 100)) * (event.shiftKey ? 8 : 1);
        pen ??= { x: width / 2, y: height / 2 };
        pen.x = Math.min(width, Math.max(0, pen.x + right * step));
        pen.y = Math.min(height, Math.max(0, pen.y + down * step));
        tools.move({ ...pen });
        stage.view.reveal(pen);
        hover(pen);
      }
      stage.refresh();
    }
  });
  canvas.addEventListener("blur", () => {
    if (pen) tools.release();
    pen = stage.cursor = null;
    canvas.classList.remove("pointed");
    stage.refresh();
  });
}

/** The right button, and the other end of a pen. */
const erases = (event) => event.button === 2 || (event.buttons & 32) > 0;

/** A pen pressed lightly paints thinner; a mouse and a finger are always pressed alike. */
const pressure = (event) => (event.pointerType === "pen" && event.pressure ? 0.3 + 0.7 * Math.sqrt(event.pressure) : 1);

function spread([a, b]) {
  const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  return { middle, distance: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) };
}
