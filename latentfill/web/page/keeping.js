// The open photo and what is painted on it, kept in this browser for the tab that has them: a reload or Back loses
// nothing. They are sent to nobody. Where the browser keeps nothing (private windows, a full disk), `failed` says so.

const DATABASE = "latentfill", PHOTOS = "photos", HOLES = "holes";
// In the session's storage, which each tab has of its own and a reload leaves; but a tab that is opened from another, or
// duplicates it, begins with a copy. So the name is there only while the tab is not looked at.
const TAB = "latentfill-tab";
const DAY = 86_400_000; // milliseconds for which what a closed tab has left is kept

export class Keeper {
  failed = false; // to keep what was there last
  #database = null;
  #tab;

  /** The browser asks before it leaves what could not be kept, if `isPainted()`. */
  constructor(isPainted) {
    addEventListener("beforeunload", (event) => this.failed && isPainted() && event.preventDefault());
    this.#tab = sessionStorage.getItem(TAB) ?? `${Date.now()}-${Math.random()}`;
    const leave = () => sessionStorage.setItem(TAB, this.#tab);
    const come = () => (document.hidden ? leave() : sessionStorage.removeItem(TAB));
    addEventListener("pagehide", leave);
    addEventListener("pageshow", come);
    document.addEventListener("visibilitychange", come);
    come();
  }

  /** What this tab had open: { file, width, height, runs, percent }; null if nothing. */
  async read() {
    try {
      await this.#prune();
      const store = await this.#stores("readonly");
      const [file, hole] = await Promise.all([done(store(PHOTOS).get(this.#tab)), done(store(HOLES).get(this.#tab))]);
      return file && hole ? { file, ...hole } : null;
    } catch {
      return null;
    }
  }

  /** Keep a photo's file in the place of the one before. */
  photo(file, hole, percent) {
    return this.#write((store) => {
      store(PHOTOS).put(file, this.#tab);
      store(HOLES).put(recordOf(hole, percent), this.#tab);
    });
  }

  /** Keep what is painted now, and how wide the margins are in percent. */
  hole(hole, percent) {
    return this.#write((store) => store(HOLES).put(recordOf(hole, percent), this.#tab));
  }

  /** Forget both. */
  clear() {
    return this.#write((store) => {
      store(PHOTOS).delete(this.#tab);
      store(HOLES).delete(this.#tab);
    });
  }

  async #write(act) {
    try {
      const store = await this.#stores("readwrite");
      act(store);
      await new Promise((resolve, reject) => {
        store.transaction.oncomplete = resolve;
        store.transaction.onabort = store.transaction.onerror = () => reject(store.transaction.error);
      });
      this.failed = false;
    } catch {
      this.failed = true;
    }
  }

  async #prune() {
    const store = await this.#stores("readwrite"), holes = store(HOLES);
    const [keys, records] = await Promise.all([done(holes.getAllKeys()), done(holes.getAll())]);
    keys.forEach((key, i) => {
      if (Date.now() - records[i].time < DAY) return;
      holes.delete(key);
      store(PHOTOS).delete(key);
    });
  }

  async #stores(mode) {
    this.#database ??= open();
    const transaction = (await this.#database).transaction([PHOTOS, HOLES], mode);
    return Object.assign((name) => transaction.objectStore(name), { transaction });
  }
}

const recordOf = (hole, percent) => ({ width: hole.width, height: hole.height, runs: hole.runs, percent, time: Date.now() });

function open() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => [PHOTOS, HOLES].forEach((name) => request.result.createObjectStore(name));
  return done(request);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
