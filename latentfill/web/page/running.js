// A completion from asking to answer: events are handed on as they come, and a busy server is asked again.

import { Problem, sentence } from "./api.js";
import { notice } from "./messages.js";

const TRIES = 5;
const MOST_PIXELS = 200_000_000; // of all answers: they come as one text, and browsers bear half a gigabyte of that

/**
 * Send a question and call `hear[event]` for each event of the answer: queued, started, step, done, and `busy(seconds)`
 * before it is asked again. Rejects with an AbortError when `signal` says so, and with a Problem for all else.
 */
export async function run(api, form, signal, hear) {
  for (let tries = 1; ; tries++) {
    try {
      let answered = false;
      for await (const event of api.events("complete/stream", form, signal)) {
        if (event.event === "error") throw new Problem(sentence(event.error), sentence(event.cure));
        await hear[event.event]?.(event);
        answered ||= event.event === "done";
      }
      if (!answered) throw new Problem("The server stopped before it had an answer.", "Try again.");
      return;
    } catch (error) {
      if (error.status !== 429 || tries === TRIES) throw error;
      await hear.busy(error.retryAfter || 5);
      await pause(error.retryAfter || 5, signal);
    }
  }
}

/** What `complete` and `edits` are asked. `choices` are the page's options. */
export async function question(photo, hole, model, choices) {
  const most = Math.max(1, Math.floor(MOST_PIXELS / (photo.width * photo.height)));
  if (choices.options.candidates > most) {
    choices.options.candidates = most;
    notice(`A photo as large as this one gets ${most === 1 ? "one answer" : `${most} answers`} at a time.`);
  }
  const form = new FormData();
  form.set("photo", photo.file, photo.file.name || "photo");
  const asked = hole.part(photo.inner);
  if (!asked.isEmpty) form.set("hole", await asked.file(), "hole.png");
  form.set("model", model.name);
  form.set("preset", choices.preset);
  form.set("options", JSON.stringify(choices.options));
  form.set("photo_options", JSON.stringify({ ...choices.photoOptions, extend: photo.extend }));
  if (choices.observe) form.set("observe", choices.observe);
  return form;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new DOMException("Cancelled", "AbortError"));
    setTimeout(resolve, 1000 * seconds);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
  });
}
