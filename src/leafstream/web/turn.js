/** A question and its answer: drawn while it is written, stopped, asked again, copied. */

import { LeafstreamError } from "./client.js";
import { byId, el, humanized } from "./dom.js";
import { Drawing } from "./drawing.js";
import { Status } from "./status.js";
import { isKey, say, saying } from "./words.js";

/** @typedef {import("./client.js").Answer} Answer */
/** @typedef {import("./events.js").AnswerEvent} AnswerEvent */

/** @typedef {{ number: number, value: any, growing: string | null, told: AnswerEvent[], pace: Status["pace"] }} Read How far an answer was read. */

const MAX_EVENTS_SHOWN = 300;
const TICK_MS = 250;

export class Turn {
  #drawing;
  #status = new Status();
  #stop = el("button", {
    type: "button",
    class: "quiet stop",
    say: "stop",
    click: () => this.stop(),
    hidden: true,
  });
  #copy;
  #again = el("button", {
    type: "button",
    class: "quiet",
    say: "again",
    click: () => this.onagain?.(),
    hidden: true,
  });
  #events = new Events();
  #body;
  /** @type {Answer | null} */
  #answer = null;
  /** @type {string | null} */
  #growing = null;
  #frame = 0;
  #stopping = false;
  /** What came but for the answer itself. @type {AnswerEvent[]} */
  #told = [];

  /**
   * @param {{ answer_schema: any }} assistant
   * @param {string | null} asked the question, where it is shown
   */
  constructor(assistant, asked) {
    this.#drawing = new Drawing(assistant.answer_schema);
    this.#copy = el("button", {
      type: "button",
      class: "quiet",
      say: assistant.answer_schema ? "copy_answer" : "copy_text",
      click: () => this.#copied(),
      hidden: true,
    });
    this.#body = el("section", { class: "answer", label: "answer", tabindex: "-1" }, this.#drawing.element);
    this.#body.removeAttribute("title");
    const question =
      asked === null ? null : el("p", { class: "asked" }, el("span", { class: "unseen", say: "you" }), asked);
    const actions = el("div", { class: "actions" }, this.#stop, this.#again, this.#copy);
    const foot = el("footer", {}, this.#status.element, actions, this.#events.element);
    this.element = el(
      "article",
      { class: assistant.answer_schema ? "turn typed" : "turn" },
      question,
      this.#body,
      foot,
    );
    /** Asks again; null where that cannot be. @type {(() => void) | null} */
    this.onagain = null;
    /** @type {any} */
    this.value = null;
  }

  /** A turn that was kept: its answer stands. @param {any} value */
  show(value) {
    this.value = value;
    this.element.dataset.kept = "";
    this.#copy.hidden = !navigator.clipboard; // there is none where a page is not served over TLS
    this.#draw(true);
  }

  /** How far it was read, for a page that is loaded again; null before its beginning and after its end. @returns {Read | null} */
  get read() {
    const answer = this.#answer;
    if (!answer?.number || answer.end) return null;
    const [growing, told, pace] = [this.#growing, this.#told, this.#status.pace];
    return { number: answer.number, value: answer.value, growing, told, pace };
  }

  /** Shows what another page had read already. @param {Read} read */
  recall({ number, value, growing, told, pace }) {
    for (const event of told) {
      this.#told.push(event);
      this.#status.take(event);
      this.#events.add(event);
    }
    this.#events.before = number;
    this.#status.pace = pace;
    [this.value, this.#growing] = [value, growing];
  }

  /**
   * Reads an answer to its end; never throws for how it ends.
   * @param {Answer} answer
   * @param {(event: AnswerEvent) => void} told of each event
   * @returns {Promise<LeafstreamError | null>} why there is no answer, where it was refused
   */
  async follow(answer, told = () => {}) {
    this.#answer = answer;
    this.#busy(true);
    answer.onconnection = (open) => this.#connection(open);
    const ticking = setInterval(() => this.#status.tick(), TICK_MS);
    try {
      this.#draw(false);
      for await (const event of answer) {
        this.#take(event);
        told(event);
      }
      return null;
    } catch (error) {
      const known = error instanceof LeafstreamError ? error : new LeafstreamError(String(error));
      this.#status.failed(known);
      announce(`error_${known.code}`, "error_other");
      return known;
    } finally {
      clearInterval(ticking);
      this.#end();
    }
  }

  /** @param {AnswerEvent} event */
  #take(event) {
    this.#status.take(event);
    this.#events.add(event);
    this.value = this.#answer?.value;
    if (event.kind === "started") announce("said_started");
    if (event.kind === "text") this.#growing = event.path;
    if (event.kind === "value") this.#itemDone(event.path);
    if (event.kind === "failed") this.#status.failed({ ...event, retryAfter: event.retry_after });
    if (event.kind === "text" || event.kind === "value") this.#drawSoon();
    else this.#told.push(event);
  }

  /** A screen reader hears of whole items, not of tokens. @param {string} path */
  #itemDone(path) {
    this.#growing = null;
    const [, name, number] = path.match(/^\/([^/]+)\/(\d+)$/) ?? [];
    if (name) announce("said_item", undefined, { name: humanized(name), number: Number(number) + 1 });
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => this.#draw(false));
  }

  /** @param {boolean} ended */
  #draw(ended) {
    this.#frame = 0;
    const end = this.#answer?.end;
    const finished = end?.kind === "finished" ? end : null;
    const pairs = /** @type {[string, "cut" | "missing"][]} */ ([
      ...(finished?.cut ?? []).map((path) => [path, "cut"]),
      ...(finished?.missing ?? []).map((path) => [path, "missing"]),
    ]);
    this.#drawing.draw(this.value, { growing: this.#growing, ended, marks: new Map(pairs) });
  }

  /** @param {boolean} open */
  #connection(open) {
    if (this.#answer?.end) return;
    if (!open) this.#status.say("lost");
    else if (this.element.dataset.lost !== undefined) this.#status.say("writing");
    this.element.toggleAttribute("data-lost", !open);
  }

  #end() {
    cancelAnimationFrame(this.#frame);
    this.#busy(false);
    const end = this.#answer?.end;
    this.#draw(true);
    this.#copy.hidden = !navigator.clipboard || this.value === null || this.value === undefined;
    this.#again.hidden = !this.onagain || (end?.kind === "finished" && end.complete);
    if (end) announce("said_end", undefined, { state: say(stateOf(end)) });
  }

  /** @param {boolean} busy */
  #busy(busy) {
    this.element.toggleAttribute("data-busy", busy);
    this.#body.setAttribute("aria-busy", String(busy));
    if (!busy && this.#stop.contains(document.activeElement)) this.#body.focus({ preventScroll: true });
    this.#stop.hidden = !busy;
  }

  get busy() {
    return "busy" in this.element.dataset;
  }

  get answer() {
    return this.#answer;
  }

  async stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    try {
      await this.#answer?.cancel();
    } catch (error) {
      // It ended just before, and its last event is on its way; anything else is said.
      if (!(error instanceof LeafstreamError && error.status === 409)) this.#status.quote(String(error));
    } finally {
      this.#stopping = false;
    }
  }

  /** Stops reading, for a page that turns to something else. */
  leave() {
    this.#answer?.detach();
  }

  async #copied() {
    const text = typeof this.value === "string" ? this.value : JSON.stringify(this.value, null, 2);
    await copied(text, this.#copy);
  }
}

/** The raw events, written out only while somebody looks. */
class Events {
  /** @type {AnswerEvent[]} */
  #all = [];
  #count = el("span", { class: "count" });
  #list = el("ol", { class: "raw", tabindex: "0", label: "events" });

  constructor() {
    /** The texts and values up to this number were read by another page. */
    this.before = 0;
    this.element = el(
      "details",
      { class: "events", hidden: true, toggle: () => this.#show() },
      el("summary", {}, el("span", { say: "events" }), this.#count),
      this.#list,
    );
  }

  /** @param {AnswerEvent} event */
  add(event) {
    this.#all.push(event);
    this.element.hidden = false;
    this.#count.textContent = ` ${this.#all.length}`;
    if (this.element.open) this.#append(event);
  }

  #show() {
    this.#list.replaceChildren();
    if (!this.element.open) return;
    const left = Math.max(0, this.#all.length - MAX_EVENTS_SHOWN);
    if (left) this.#list.append(el("li", { say: ["events_more", { count: left }] }));
    if (this.before) this.#list.append(el("li", { say: ["events_before", { number: this.before }] }));
    for (const event of this.#all.slice(left)) this.#append(event);
  }

  /** @param {AnswerEvent} event */
  #append({ kind, number, ...data }) {
    this.#list.append(el("li", {}, el("b", {}, `${number} ${kind}`), " ", JSON.stringify(data)));
  }
}

/** @param {import("./events.js").Terminal} end */
function stateOf(end) {
  if (end.kind === "finished") return end.complete ? "state_complete" : "state_cut";
  return end.kind === "failed" ? "state_failed" : "state_cancelled";
}

/**
 * Says something to a screen reader, in a region that is polite.
 * @param {string} key
 * @param {import("./words.js").Key} [otherwise] where there are no such words
 * @param {Record<string, string | number>} [values]
 */
export function announce(key, otherwise = "error_other", values = {}) {
  saying(byId("live"), isKey(key) ? key : otherwise, values);
}

/** @param {string} text @param {HTMLButtonElement} button that says that it was copied */
export async function copied(text, button) {
  const before = JSON.parse(button.getAttribute("data-say") ?? "{}")[""][0];
  const done = await navigator.clipboard.writeText(text).then(
    () => true,
    () => false, // the browser was told not to
  );
  saying(button, done ? "copied" : "not_copied");
  setTimeout(() => saying(button, before), 1500);
}
