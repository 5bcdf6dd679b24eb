/**
 * A client of one leafstream server: typed events of an answer and the value they make, resumed by
 * itself when the connection is lost. The server gives it as one file, /client.js; browsers and Node 20.
 *
 *     const client = new Client();
 *     const answer = client.ask("challenges", { location: "city", work_type: "office", category: "vegan" });
 *     for await (const event of answer) console.log(event.kind, answer.value);
 */

/** @import { AnswerEvent, Json, Terminal } from "./events.js" */
import { Fold, KINDS, TERMINAL } from "./events.js";
export { Fold, split } from "./events.js";

const MAX_BACKOFF_MS = 5000;
const POST_TRIES = 3;
// The server sends a comment where it has nothing to say for ten seconds.
const SILENCE_MS = 60_000;

/** A refusal of the server (`status` is its HTTP status) or a server that is not there (0). */
export class LeafstreamError extends Error {
  code = "internal_error";
  status = 0;
  /** @type {string | null} */ param = null;
  /** Seconds. @type {number | null} */ retryAfter = null;
  /** @type {any} */ details = {};

  /** @param {string} message @param {Partial<LeafstreamError>} [about] */
  constructor(message, about = {}) {
    super(message);
    Object.assign(this, about, { name: "LeafstreamError", message });
  }
}

/** Server-Sent Events (WHATWG HTML, section 9.2) out of text in any pieces. */
export class Frames {
  #rest = "";
  #id = "";
  #event = "";
  /** @type {string[]} */
  #data = [];

  /** The frames that end in a piece. @param {string} text @returns {{ id: string, event: string, data: string }[]} */
  feed(text) {
    this.#rest += text;
    // A carriage return at the very end may be half of a line end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line));
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") return this.#dispatched();
    const [field, value] = /** @type {[string, string]} */ (line.split(/:(.*)/s, 2));
    const given = value?.startsWith(" ") ? value.slice(1) : (value ?? "");
    if (field === "id") this.#id = given;
    if (field === "event") this.#event = given;
    if (field === "data") this.#data.push(given);
    return [];
  }

  #dispatched() {
    const frame = { id: this.#id, event: this.#event, data: this.#data.join("\n") };
    const any = this.#data.length > 0;
    [this.#event, this.#data] = ["", []];
    return any ? [frame] : [];
  }
}

/** How long a reader was without a connection since the last event, in all. */
class Absence {
  #patience;
  #tries = 0;
  #passed = 0;
  /** @type {number | null} */
  #since = null;

  /** @param {number} patience in milliseconds */
  constructor(patience) {
    this.#patience = patience;
  }

  /** An event came. */
  forget() {
    this.#tries = this.#passed = 0;
  }

  end() {
    if (this.#since !== null) this.#passed += Date.now() - this.#since;
    this.#since = null;
  }

  /** For how many milliseconds not to ask. Throws `why` where that is too long. @param {LeafstreamError} why */
  wait(why) {
    this.#since ??= Date.now();
    const told = 1000 * (why.retryAfter ?? 0);
    if (this.#passed + (Date.now() - this.#since) + told > this.#patience) throw why;
    return Math.max(told, scattered(Math.min(100 * 2 ** this.#tries++, MAX_BACKOFF_MS)));
  }
}

/** One answer: iterate it for its events; `value` grows with them. Iterate it once. */
export class Answer {
  #client;
  #request;
  #fold = new Fold();
  #leave = new AbortController();
  #after = 0;

  /**
   * @param {Client} client
   * @param {{ id?: string, after?: number, value?: Json, body?: object }} request
   */
  constructor(client, { id, after = 0, value, body }) {
    this.#client = client;
    this.#request = body;
    this.#after = after;
    if (value !== undefined && value !== null) this.#fold.apply({ kind: "value", number: after, path: "", value });
    /** The answer's id, known when the server has accepted it. @type {string | null} */
    this.id = id ?? null;
    /** The last event, once it came. @type {Terminal | null} */
    this.end = null;
    /** Called with false when the connection is lost and with true when it is back. @type {(open: boolean) => void} */
    this.onconnection = () => {};
  }

  /** What the events so far make; the validated value once the answer is finished. */
  get value() {
    return this.end?.kind === "finished" ? this.end.value : this.#fold.value;
  }

  /** Of the last event that was read; what a reader keeps, with the value, to go on after it. */
  get number() {
    return this.#after;
  }

  /** @returns {AsyncGenerator<AnswerEvent, void, void>} */
  async *[Symbol.asyncIterator]() {
    let response = await this.#begun();
    this.id = response?.headers.get("Leafstream-Answer") ?? this.id;
    const absence = new Absence(this.#client.patience);
    while (!this.end && !this.#leave.signal.aborted) {
      let why = gone("it hangs up again and again, without an event");
      try {
        response ??= await this.#client.reopen(String(this.id), this.#after, this.#leave.signal);
        absence.end();
        this.onconnection(true);
        if (response.status === 204) return; // nothing follows: it ended there
        for await (const event of events(response, this.#leave.signal)) {
          if (event.number <= this.#after) continue;
          this.#after = event.number;
          absence.forget();
          this.#fold.apply(event);
          if (TERMINAL.has(event.kind)) this.end = /** @type {Terminal} */ (event);
          yield event;
          if (this.end) return;
        }
      } catch (error) {
        if (this.#leave.signal.aborted) return;
        if (!isLost(error)) throw error;
        why = gone(error);
      }
      response = null;
      this.onconnection(false);
      await pause(absence.wait(why), this.#leave.signal);
    }
  }

  /** The reply to what is asked; null where nothing is, or where the reader left before it came. */
  async #begun() {
    if (!this.#request) return null;
    const signal = this.#leave.signal;
    return this.#client
      .start(this.#request, signal)
      .catch((error) => (signal.aborted ? null : Promise.reject(error)));
  }

  /** Reads to the end. @returns {Promise<Json>} the value; throws LeafstreamError for another end. */
  async result() {
    for await (const _ of this);
    if (this.end?.kind === "failed") {
      throw new LeafstreamError(this.end.message, { ...this.end, retryAfter: this.end.retry_after ?? null });
    }
    if (this.end?.kind === "finished") return this.end.value;
    if (!this.end && !this.#leave.signal.aborted) {
      throw new LeafstreamError(`the answer ended before event ${this.#after + 1}`, { code: "conflict" });
    }
    throw new LeafstreamError("the answer was cancelled", { code: "cancelled" });
  }

  /** Ends the answer on the server; its last event is `cancelled`. */
  async cancel() {
    if (this.id) await this.#client.call("POST", `v1/answers/${this.id}/cancel`);
    else this.detach();
  }

  /** Stops reading; the server goes on as long as it would for a client that is gone. */
  detach() {
    this.#leave.abort();
  }
}

/** Talks to one leafstream server. */
export class Client {
  #url;

  /**
   * @param {string | URL} [url] of the server; by default where this module came from
   * @param {{ key?: string | null, patience?: number }} [options] `key` is sent as a Bearer token;
   *   a reader may be without a connection for `patience` milliseconds in all between two events
   */
  constructor(url = new URL(".", import.meta.url), { key = null, patience = 120_000 } = {}) {
    this.#url = String(url).replace(/\/?$/, "/");
    this.key = key;
    this.patience = patience;
  }

  /**
   * A new answer. It begins when it is iterated.
   * @param {string} assistant
   * @param {string | { [field: string]: Json }} input
   * @param {{ [option: string]: any }} [options] as in POST /v1/answers: max_tokens, seed, conversation …
   */
  ask(assistant, input, options = {}) {
    return new Answer(this, { body: { assistant, input, ...options } });
  }

  /**
   * An answer that exists, from after an event's number on.
   * @param {string} id
   * @param {number} [after]
   * @param {Json} [value] what the events up to there made
   */
  follow(id, after = 0, value = null) {
    return new Answer(this, { id, after, value });
  }

  /**
   * Any other call of the server. Throws LeafstreamError for a refusal.
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>} its JSON; null for an empty answer
   */
  async call(method, path, body) {
    const sent = this.#send(method, path, body);
    const response = await accepted(await sent.catch((error) => Promise.reject(gone(error))));
    return response.status === 204 ? null : response.json();
  }

  /** POST /v1/answers, again under the same key if the reply is lost. @param {object} body @param {AbortSignal} signal */
  async start(body, signal) {
    const headers = { Accept: "text/event-stream", "Idempotency-Key": random() };
    for (let tries = 1; ; tries++) {
      try {
        return await accepted(await this.#send("POST", "v1/answers", body, { headers, signal }));
      } catch (error) {
        if (error instanceof LeafstreamError || signal.aborted) throw error;
        if (tries >= POST_TRIES) throw gone(error);
        await pause(scattered(200 * 2 ** tries), signal);
      }
    }
  }

  /** GET /v1/answers/{id}/events. @param {string} id @param {number} after @param {AbortSignal} signal */
  async reopen(id, after, signal) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(after) };
    return accepted(await this.#send("GET", `v1/answers/${id}/events`, undefined, { headers, signal }));
  }

  /** @param {string} method @param {string} path @param {object} [body] @param {{ headers?: Record<string, string>, signal?: AbortSignal }} [more] */
  #send(method, path, body, { headers = {}, signal } = {}) {
    const sent = new Headers(headers);
    if (body) sent.set("Content-Type", "application/json");
    if (this.key) sent.set("Authorization", `Bearer ${this.key}`);
    const text = body && JSON.stringify(body);
    return fetch(this.#url + path, { method, headers: sent, signal, body: text, cache: "no-store" });
  }
}

/** @param {Response} response */
async function accepted(response) {
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  const { message, code, param, ...details } = said?.error ?? {};
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  const about = {
    code: code ?? "http_error",
    param: param ?? null,
    details,
    status: response.status,
    retryAfter,
  };
  throw new LeafstreamError(message ?? `the server answers ${response.status} and no reason`, about);
}

/** @param {Response} response @param {AbortSignal} signal @returns {AsyncGenerator<AnswerEvent, void, void>} */
async function* events(response, signal) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const [decoder, frames] = [new TextDecoder(), new Frames()];
  try {
    while (true) {
      const { done, value } = await within(SILENCE_MS, reader.read(), signal);
      if (done) return;
      for (const { id, event, data } of frames.feed(decoder.decode(value, { stream: true }))) {
        if (KINDS.has(event)) yield { kind: event, number: Number(id), ...JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it may be broken already, which is why we are here
  }
}

/** What a promise gives, unless nothing comes for too long, the network goes or the reader leaves. @template T @param {number} ms @param {Promise<T>} promise @param {AbortSignal} signal @returns {Promise<T>} */
function within(ms, promise, signal) {
  return new Promise((resolve, reject) => {
    const lost = () => reject(new TypeError(`nothing came for ${ms / 1000} seconds, or the network is gone`));
    const left = () => reject(signal.reason);
    const timer = setTimeout(lost, ms);
    globalThis.addEventListener?.("offline", lost);
    signal.addEventListener("abort", left, { once: true });
    promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("offline", lost);
      signal.removeEventListener("abort", left);
    });
  });
}

/** Waits, but no longer than until the network is back or the reader leaves. @param {number} ms @param {AbortSignal} signal */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", done);
      resolve(undefined);
    };
    const timer = setTimeout(done, ms);
    globalThis.addEventListener?.("online", done, { once: true });
    signal.addEventListener("abort", done, { once: true });
  });
}

/** About as long: who lost a server at once should not come back at once. @param {number} ms */
const scattered = (ms) => ms * (0.75 + Math.random() / 2);

/** Whether asking again may help: no connection, or a server that is not ready. @param {unknown} error */
function isLost(error) {
  if (error instanceof LeafstreamError) return error.status >= 500 || error.status === 429;
  return error instanceof TypeError; // what fetch throws for a network that is gone
}

/** @param {unknown} error */
function gone(error) {
  if (error instanceof LeafstreamError) return error;
  return new LeafstreamError(`the server does not answer: ${error}`, { code: "unreachable" });
}

/** 128 random bits; `crypto.randomUUID` is missing where a page is not served over TLS. */
const random = () => String(crypto.getRandomValues(new Uint32Array(4)));
