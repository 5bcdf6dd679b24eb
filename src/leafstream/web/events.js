/** The events of an answer, and the value that they make so far. */

/** @typedef {null | boolean | number | string | any[] | { [key: string]: any }} Json */

/** @typedef {{ prompt_tokens: number, max_tokens: number, context_window: number, dropped_turns?: number, clamped_from?: number, min_tokens?: number, tightened?: Record<string, number>, estimated?: boolean }} Plan The token budget, in the model's own tokens. */
/** @typedef {{ kind: "started", number: number, id: string, assistant: string | null, model: string, plan: Plan, sources?: Json[] }} Started */
/** @typedef {{ kind: "queued", number: number, position: number }} Queued */
/** @typedef {{ kind: "text", number: number, path: string, text: string }} TextAppended */
/** @typedef {{ kind: "value", number: number, path: string, value: Json }} ValueSet */
/** @typedef {{ kind: "notice", number: number, code: string, message: string, path?: string }} Noticed */
/** @typedef {{ prompt_tokens: number, completion_tokens: number, cached_tokens: number }} Usage */
/** @typedef {{ queued: number, first_token: number | null, total: number }} Timings Seconds. */
/** @typedef {{ kind: "finished", number: number, value: Json, finish: "stop" | "length" | "runaway", complete: boolean, cut: string[], missing: string[], usage: Usage, timings: Timings }} Finished */
/** @typedef {{ kind: "failed", number: number, code: string, status: number, message: string, retryable: boolean, details?: Record<string, Json>, retry_after?: number }} Failed `retry_after` in seconds, where it is known. */
/** @typedef {{ kind: "cancelled", number: number, reason: string }} Cancelled */
/** @typedef {Finished | Failed | Cancelled} Terminal */
/** @typedef {Started | Queued | TextAppended | ValueSet | Noticed | Terminal} AnswerEvent */

/** The names of the events. */
export const KINDS = new Set("started queued text value notice finished failed cancelled".split(" "));
/** Those that end an answer. */
export const TERMINAL = new Set(["finished", "failed", "cancelled"]);

/** What a reader holds after the events applied so far; the same rules as the server's own fold. */
export class Fold {
  /** @type {any[]} */
  #base = [];
  #own = new WeakSet([this.#base]);
  /** @type {string | null} */
  #path = null;
  /** @type {any} */
  #holder = this.#base;
  /** @type {any} */
  #token = 0;

  /** @returns {Json} */
  get value() {
    return this.#base.length ? this.#base[0] : null;
  }

  /** Takes an event; throws RangeError where it does not fit what is held. @param {AnswerEvent} event */
  apply(event) {
    if (event.kind === "text") this.#append(event.path, event.text);
    else if (event.kind === "value") this.#set(event.path, event.value);
  }

  /** @param {string} path @param {string} text */
  #append(path, text) {
    if (path !== this.#path) {
      const [holder, token] = this.#at(path);
      const held = get(holder, token, "");
      if (typeof held !== "string") throw new RangeError(`text for ${path}, which is no string`);
      [this.#path, this.#holder, this.#token] = [path, holder, token];
    }
    put(this.#holder, this.#token, get(this.#holder, this.#token, "") + text);
  }

  /** @param {string} path @param {Json} value */
  #set(path, value) {
    this.#path = null;
    const [holder, token] = this.#at(path);
    put(holder, token, value);
  }

  /** The container and key or index that a path names; what is on the way is made. @param {string} path */
  #at(path) {
    /** @type {any} */
    let holder = this.#base;
    /** @type {any} */
    let token = 0;
    for (const step of split(path)) {
      let inner = get(holder, token, null);
      if (inner === null || !this.#own.has(inner)) {
        // Values of events are never changed: a container is copied before something is put in.
        inner = inner === null ? (isIndex(step) ? [] : {}) : copied(inner, path);
        this.#own.add(inner);
        put(holder, token, inner);
      }
      holder = inner;
      token = tokenOf(holder, step, path);
    }
    return [holder, token];
  }
}

/** @param {string} path @returns {string[]} */
export function split(path) {
  if (!path) return [];
  if (path[0] !== "/") throw new RangeError(`a JSON Pointer is empty or begins with a slash, not ${path}`);
  return path
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** @param {string} token */
const isIndex = (token) => /^[0-9]+$/.test(token);

/** @param {any} inner @param {string} path */
function copied(inner, path) {
  if (Array.isArray(inner)) return [...inner];
  if (typeof inner !== "object") throw new RangeError(`${path} leads through what is no container`);
  return { ...inner };
}

/** @param {any} holder @param {string} step @param {string} path */
function tokenOf(holder, step, path) {
  if (!Array.isArray(holder)) return step;
  if (!isIndex(step) || Number(step) > holder.length) {
    throw new RangeError(`${path} names no item of a list of ${holder.length}`);
  }
  return Number(step);
}

/** @param {any} holder @param {any} token @param {any} otherwise */
const get = (holder, token, otherwise) => (Object.hasOwn(holder, token) ? holder[token] : otherwise);

/** @param {any} holder @param {any} token @param {any} value */
function put(holder, token, value) {
  // A plain assignment to the member "__proto__" would set the prototype instead.
  if (token !== "__proto__") holder[token] = value;
  else Object.defineProperty(holder, token, { value, writable: true, enumerable: true, configurable: true });
}
