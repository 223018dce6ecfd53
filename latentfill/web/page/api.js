// The server's API: requests with the token, answers as JSON or line by line, errors as words with a cure.

const TOKEN = "latentfill-token";

/** What went wrong, in words, and what helps. */
export class Problem extends Error {
  constructor(what, cure = "", { status = 0, retryAfter = 0 } = {}) {
    super(what);
    this.cure = cure;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Talks to the server that the page came from. `askToken(wrong)` resolves to a token, or to null. */
export class Api {
  #askToken;
  #asking = null;

  constructor(askToken) {
    this.#askToken = askToken;
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given) {
      sessionStorage.setItem(TOKEN, given);
      history.replaceState(null, "", location.pathname); // neither in the history nor in a bookmark
    }
  }

  /** GET, or POST of a form or of JSON; the answer's JSON. */
  async json(path, { form, json, signal } = {}) {
    const response = await this.#request(path, { form, json, signal, accept: "application/json" });
    return response.json();
  }

  /** POST of a form; the answer's PNG file, its bytes untouched. */
  async picture(path, form) {
    const response = await this.#request(path, { form, accept: "image/png" });
    return response.blob();
  }

  /** POST of a form; the events of the answer, one a line. Leaving the loop stops the search on the server. */
  async *events(path, form, signal) {
    const response = await this.#request(path, { form, signal, accept: "application/x-ndjson" });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let parts = [];
    try {
      for (;;) {
        const { value, done } = await read(reader, signal);
        if (done) break;
        const lines = value.split("\n");
        for (const end of lines.slice(0, -1)) {
          const line = [...parts, end].join("");
          parts = [];
          if (line) yield JSON.parse(line);
        }
        parts.push(lines.at(-1)); // joined once: a large picture comes in thousands of pieces
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  async #request(path, { form, json, signal, accept }) {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN);
      const headers = { Accept: accept };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (json) headers["Content-Type"] = "application/json";
      const body = form ?? (json && JSON.stringify(json));
      // relative: the page may lie below a path, such as that of a proxy
      const response = await reach(`api/v1/${path}`, { method: body ? "POST" : "GET", headers, body, signal });
      if (response.ok) return response;
      if (response.status !== 401) throw await problemOf(response);
      await this.#newToken(token);
    }
  }

  /** Ask for a token, once for all requests that miss it. */
  async #newToken(old) {
    if (sessionStorage.getItem(TOKEN) !== old) return; // another request has asked meanwhile
    this.#asking ??= this.#askToken(Boolean(old)).finally(() => (this.#asking = null));
    const token = await this.#asking;
    if (!token) throw new Problem("This server asks for a token.", "Reload the page to enter it.", { status: 401 });
    sessionStorage.setItem(TOKEN, token);
  }
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer.", "See whether latentfill serve still runs, then try again.");
  }
}

async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal?.aborted || error.name === "AbortError") throw new DOMException("Cancelled", "AbortError");
    throw new Problem("The connection broke off.", "Try again; what you painted is kept.");
  }
}

async function problemOf(response) {
  const told = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const what = told.error ?? `The server answered with ${response.status}.`;
  return new Problem(sentence(what), sentence(told.cure ?? ""), { status: response.status, retryAfter });
}

/** Words of the server without how the command line has it. */
export const withoutFlags = (words) => words.replace(/ \(--[^)]*\)/g, "");

/** With a capital letter and a full stop, as the page's own words have. */
export function sentence(words) {
  if (!words) return "";
  const begun = words[0].toUpperCase() + words.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
