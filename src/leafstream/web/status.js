/** What is told of an answer beside the answer: its state, its pace, its plan, and what to know of it. */

import { el, pathInWords } from "./dom.js";
import { inWords } from "./drawing.js";
import { isKey, say, saying } from "./words.js";

/** @typedef {import("./events.js").AnswerEvent} AnswerEvent */
/** @typedef {import("./events.js").Plan} Plan */

/** In English and in Korean alike, roughly. */
const BYTES_OF_A_TOKEN = 4;
const encoder = new TextEncoder();
const NOTICES_TOLD_AT_THE_END = new Set(["runaway_stopped"]);

export class Status {
  #state = el("p", { class: "state" });
  #figures = el("p", { class: "figures" });
  #notes = el("ul", { class: "notes" });
  #meter = el("div", { class: "meter", "aria-hidden": "true" });
  #budget = el("span");
  #cached = el("span");
  #plan = el("p", { class: "plan", hidden: true }, this.#budget, " ", this.#cached);
  /** @type {Plan | null} */
  #planned = null;
  #begun = Date.now();
  /** @type {number | null} */
  #first = null;
  #tokens = 0;

  constructor() {
    this.#meter.append(el("i", { class: "of-prompt" }), el("i", { class: "of-answer" }));
    this.#meter.hidden = true;
    const line = el("div", { class: "line" }, this.#state, this.#figures);
    this.element = el("div", { class: "told" }, line, this.#notes, this.#meter, this.#plan);
    this.say("starting");
  }

  /** @param {string} name @param {Record<string, string | number>} [values] */
  say(name, values) {
    this.element.dataset.state = name;
    saying(this.#state, /** @type {any} */ (`state_${name}`), values);
  }

  /** @param {import("./words.js").Key} key @param {Record<string, string | number>} [values] */
  note(key, values) {
    this.#notes.append(el("li", { say: [key, values] }));
  }

  /** A sentence of the server's own, beside ours. @param {string} text */
  quote(text) {
    this.#notes.append(el("li", { class: "quoted", lang: "en" }, text));
  }

  /** @param {AnswerEvent} event */
  take(event) {
    switch (event.kind) {
      case "started":
        this.say("reading");
        return this.#started(event);
      case "queued":
        return this.say("queued", { position: event.position });
      case "text":
        return this.#wrote(encoder.encode(event.text).length / BYTES_OF_A_TOKEN);
      case "value":
        return this.#wrote(1);
      case "notice":
        return this.#noticed(event);
      case "finished":
        return this.#finished(event);
      case "cancelled":
        return this.#cancelled(event.reason);
      default:
    }
  }

  /** While it is written, how long and about how fast. */
  tick() {
    if (this.#first === null) return;
    const seconds = (Date.now() - this.#first) / 1000;
    const speed =
      seconds > 1 ? ` · ${say("about_speed", { speed: Math.round(this.#tokens / seconds) })}` : "";
    const since = (Date.now() - this.#begun) / 1000;
    this.#figures.textContent = say("seconds", { seconds: Math.round(since) }) + speed;
    this.#filled(this.#tokens);
  }

  /** When it began, when its first token came (in milliseconds since 1970), and how many came since. */
  get pace() {
    return { begun: this.#begun, first: this.#first, tokens: this.#tokens };
  }

  set pace({ begun, first, tokens }) {
    [this.#begun, this.#first, this.#tokens] = [begun, first, tokens];
    if (first !== null) this.say("writing");
    this.tick();
  }

  /** @param {number} tokens about so many: an event is what came together, and does not say how many */
  #wrote(tokens) {
    this.#first ??= Date.now();
    this.#tokens += tokens;
    if (this.element.dataset.state !== "writing") this.say("writing");
  }

  /** @param {import("./events.js").Started} event */
  #started({ plan, sources = [] }) {
    this.#planned = plan;
    this.#plan.hidden = this.#meter.hidden = false;
    saying(this.#budget, "plan", {
      prompt: plan.prompt_tokens,
      room: plan.max_tokens,
      window: plan.context_window,
    });
    if (plan.clamped_from) this.note("plan_clamped", { wanted: plan.clamped_from, room: plan.max_tokens });
    if (plan.tightened) this.note("plan_tightened", { fields: tightened(plan.tightened) });
    if (sources.length) this.element.append(found(sources));
    this.#filled(0);
  }

  /** @param {number} tokens */
  #filled(tokens) {
    if (!this.#planned) return;
    const [prompt, answer] = /** @type {HTMLElement[]} */ ([...this.#meter.children]);
    const share = (/** @type {number} */ count) =>
      `${Math.max(0.5, (100 * count) / (this.#planned?.context_window ?? 1))}%`;
    prompt?.style.setProperty("width", share(this.#planned.prompt_tokens));
    answer?.style.setProperty("width", share(tokens));
  }

  /** @param {import("./events.js").Noticed} event */
  #noticed(event) {
    if (NOTICES_TOLD_AT_THE_END.has(event.code)) return;
    const key = `notice_${event.code}`;
    if (isKey(key)) this.note(key, { dropped: this.#planned?.dropped_turns ?? 0 });
    else this.quote(event.message);
  }

  /** @param {import("./events.js").Finished} event */
  #finished({ complete, finish, cut, missing, usage, timings }) {
    this.say(complete ? "complete" : "cut");
    const writing = timings.total - (timings.first_token ?? 0);
    const figures = [
      ["tokens", { tokens: usage.completion_tokens }],
      ["seconds", { seconds: round(timings.total) }],
      ["speed", { speed: Math.round(usage.completion_tokens / Math.max(writing, 0.001)) }],
      ["first_token", { seconds: round(timings.first_token ?? 0, 2) }],
    ];
    this.#figures.replaceChildren(...figures.map((figure) => el("span", { say: figure })));
    this.#filled(usage.completion_tokens);
    if (finish !== "stop" || !complete)
      this.note(/** @type {any} */ (`why_${finish}`), { max: this.#planned?.max_tokens ?? 0 });
    if (cut.length) this.note("cut_fields", { fields: inWords(cut, say("whole_answer")) });
    if (missing.length) this.note("missing_fields", { fields: inWords(missing, say("whole_answer")) });
    if (usage.cached_tokens) saying(this.#cached, "plan_cached", { cached: usage.cached_tokens });
  }

  /** @param {string} reason */
  #cancelled(reason) {
    this.say("cancelled");
    if (reason.startsWith("nobody read")) this.note("cancelled_unread");
    else if (reason.startsWith("the server")) this.note("cancelled_server");
    else if (reason !== "cancelled by the client") this.quote(reason);
  }

  /** @param {{ code: string, message: string, details?: any, retryAfter?: number | null }} error */
  failed({ code, message, details = {}, retryAfter }) {
    this.say("failed");
    const key = `error_${code}`;
    this.note(isKey(key) ? key : "error_other", {
      seconds: Math.ceil(retryAfter ?? 5),
      context_window: details.context_window ?? "",
    });
    if (code !== "unreachable") this.quote(message);
  }
}

/** The texts that went into the prompt, for who asks. @param {any[]} sources */
function found(sources) {
  const texts = sources.map((source) => (typeof source === "string" ? source : named(source)));
  const items = texts.map((text) => el("li", {}, text));
  return el("details", { class: "sources" }, el("summary", { say: "sources" }), el("ul", {}, ...items));
}

/** @param {any} source */
const named = (source) =>
  [source.title, source.text ?? source.description].filter(Boolean).join(": ") || JSON.stringify(source);

/** @param {Record<string, number>} bounds */
const tightened = (bounds) =>
  Object.keys(bounds)
    .map((path) => pathInWords(path.replaceAll("/*", "")))
    .join("; ");

/** @param {number} value @param {number} [digits] */
const round = (value, digits = 1) => Number(value.toFixed(digits));
