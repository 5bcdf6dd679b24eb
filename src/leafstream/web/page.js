/**
 * The page: what the address names is what it shows.
 *
 *     #/challenges                 an assistant
 *     #/challenges/ans_…           an answer of it, which is read from its beginning and followed
 *     #/chat/conv_…                a conversation
 *     #/chat/conv_…/ans_…          a conversation in which an answer is being written
 */

import { Access } from "./access.js";
import { Client, LeafstreamError } from "./client.js";
import { byId, el, humanized } from "./dom.js";
import { InputForm } from "./form.js";
import { forThisTab } from "./kept.js";
import { Side } from "./side.js";
import { Turn, announce, copied } from "./turn.js";
import { saying } from "./words.js";

const TINY = /^smollm2-135m/i;

/** @typedef {{ name: string, instructions: string, input_schema: any, answer_schema: any }} Assistant */
/** @typedef {{ assistant: string, conversation: string | null, answer: string | null }} Place */
/** @typedef {{ input: any, options: any }} Question */
/** @typedef {{ assistant: string | null, turns?: any[] }} Found */

class Page {
  #client = new Client(new URL("..", import.meta.url));
  #access = new Access(this.#client);
  #side = new Side(this.#client, this.#access);
  /** @type {Assistant[]} */
  #assistants = [];
  /** @type {Assistant | null} */
  #assistant = null;
  /** @type {InputForm | null} */
  #form = null;
  /** @type {Turn | null} */
  #turn = null;
  /** @type {string | null} */
  #conversation = null;
  #turns = byId("turns");

  async open() {
    try {
      const { data } = await this.#access.with(() => this.#client.call("GET", "v1/assistants"));
      this.#assistants = data;
      this.#side.assistants(data);
      await Promise.all([this.#side.refresh(), this.#readiness()]);
    } catch (error) {
      return this.#problem(error);
    }
    this.#side.ondeleted = () =>
      this.#go({ assistant: this.#assistant?.name ?? "", conversation: null, answer: null });
    byId("new").addEventListener("click", () => this.#begin());
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address names what is shown, not where the keyboard is
      byId("main").focus();
    });
    window.addEventListener("hashchange", () => this.#show(this.#place()));
    window.addEventListener("pagehide", () => this.#keep());
    await this.#show(this.#place());
    document.body.dataset.ready = "";
  }

  async #readiness() {
    const ready = await this.#access.with(() => this.#client.call("GET", "readyz"));
    saying(byId("serving"), "serving", { model: ready.model, window: ready.context_window });
    byId("tiny").hidden = !TINY.test(ready.model);
    const copy = /** @type {HTMLButtonElement} */ (byId("tiny-copy"));
    copy.hidden = !navigator.clipboard;
    copy.addEventListener("click", () => copied(byId("tiny-way").textContent ?? "", copy));
  }

  /** What the address names. @returns {Place} */
  #place() {
    const [assistant = "", ...ids] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
    return {
      assistant: assistant || (this.#assistants[0]?.name ?? ""),
      conversation: ids.find((id) => id.startsWith("conv_")) ?? null,
      answer: ids.find((id) => id.startsWith("ans_")) ?? null,
    };
  }

  /** Changes the address without showing it anew. @param {Place} place */
  #at(place) {
    const hash = ["#", encodeURIComponent(place.assistant), place.conversation, place.answer]
      .filter(Boolean)
      .join("/");
    history.replaceState(null, "", hash);
    this.#side.here(encodeURIComponent(place.assistant), place.conversation);
  }

  /** @param {Place} place */
  #go(place) {
    this.#at(place);
    return this.#show(place);
  }

  /** A new conversation, with whom one is held now or the first who answers in plain text. */
  #begin() {
    const chats = this.#assistants.filter((one) => one.answer_schema === null);
    const with_ = chats.find((one) => one === this.#assistant) ?? chats[0] ?? this.#assistant;
    if (with_)
      this.#go({ assistant: with_.name, conversation: null, answer: null }).then(() => this.#form?.focus());
  }

  /** @param {Place} place */
  async #show(place) {
    this.#keep();
    this.#turn?.leave();
    this.#turn = null;
    this.#conversation = place.conversation;
    const named = this.#one(place.assistant);
    if (named) this.#lay(named);
    this.#at(place);
    try {
      const found = await this.#found(place);
      this.#hold(found?.assistant ?? place.assistant, found !== null);
      this.#at({ ...place, assistant: this.#assistant?.name ?? "" });
      if (found?.turns) this.#recall(found.turns);
      const answer = place.answer ?? forThisTab.get(place.conversation ?? "");
      const known = found?.turns?.some((turn) => turn.answer === answer);
      if (answer && !known) await this.#resume(answer);
    } catch (error) {
      if (!named) this.#lay(/** @type {Assistant} */ (this.#assistants[0]));
      this.#problem(error);
    }
  }

  /** @param {string} name */
  #one(name) {
    return this.#assistants.find((one) => one.name === name);
  }

  /** The page of an assistant; `kept` is something of it that is there to be read. @param {string} name @param {boolean} kept */
  #hold(name, kept) {
    const served = this.#one(name);
    if (served && served !== this.#assistant) this.#lay(served);
    if (served) return;
    if (kept) return this.#close(name);
    this.#lay(/** @type {Assistant} */ (this.#assistants[0]));
    this.#say("no_assistant", { name });
  }

  /** The conversation or answer that a place names, which says whose it is. @param {Place} place @returns {Promise<Found | null>} */
  async #found({ assistant, conversation, answer }) {
    const path = conversation ? `v1/conversations/${conversation}` : `v1/answers/${answer}`;
    // An answer whose assistant is served says so itself, while it is read.
    if (!conversation && (!answer || this.#one(assistant))) return null;
    return this.#access.with(() => this.#client.call("GET", path));
  }

  /** @param {Assistant} assistant */
  #lay(assistant) {
    const form = new InputForm(assistant, (input, options) => this.#ask({ input, options }));
    this.#form = form;
    this.#head(assistant, form.element, form.isChat);
  }

  /** Of an assistant that is not served any more: nothing to ask, and why. @param {string} name */
  #close(name) {
    this.#form = null;
    const why = el("p", { id: "ask", class: "note", say: ["not_served", { name: humanized(name) }] });
    this.#head({ name, instructions: "", input_schema: {}, answer_schema: null }, why, true);
  }

  /** @param {Assistant} assistant @param {HTMLElement} asking what stands where one asks @param {boolean} isChat */
  #head(assistant, asking, isChat) {
    this.#assistant = assistant;
    document.title = `${humanized(assistant.name)} · leafstream`;
    byId("heading").textContent = humanized(assistant.name);
    byId("instructions").textContent = assistant.instructions;
    byId("problem").hidden = true;
    this.#turns.replaceChildren();
    byId("ask").replaceWith(asking);
    byId("main").dataset.kind = isChat ? "chat" : "form";
    if (isChat) byId("talk").append(this.#turns, asking);
    else byId("talk").append(asking, this.#turns);
  }

  /** Draws the turns of a conversation. @param {any[]} turns */
  #recall(turns) {
    let asked = null;
    for (const { role, content, value } of turns) {
      if (role === "user") asked = content;
      else this.#add(asked).show(value ?? content);
    }
    this.#turns.lastElementChild?.scrollIntoView({ block: "end" });
  }

  /** @param {string | null} asked */
  #add(asked) {
    const turn = new Turn(/** @type {Assistant} */ (this.#assistant), asked);
    this.#turns.append(turn.element);
    return turn;
  }

  /** @param {Question} question */
  async #ask(question) {
    const { input, options } = question;
    const assistant = /** @type {Assistant} */ (this.#assistant);
    const form = /** @type {InputForm} */ (this.#form);
    form.busy = true;
    byId("problem").hidden = true;
    try {
      if (form.isChat) await this.#inConversation(assistant);
      const conversation = this.#conversation ? { conversation: this.#conversation } : {};
      if (!this.#conversation) this.#turns.replaceChildren();
      const answer = this.#client.ask(assistant.name, input, { ...options, ...conversation });
      const turn = this.#add(form.isChat ? input.message : null);
      if (form.isChat) form.fill({});
      turn.onagain = () => this.#again(turn, question);
      const refused = await this.#follow(turn, answer, question);
      if (refused) await this.#refused(turn, refused, question);
    } catch (error) {
      this.#problem(error);
    } finally {
      form.busy = false;
    }
  }

  /** @param {Assistant} assistant */
  async #inConversation(assistant) {
    if (this.#conversation) return;
    const made = await this.#access.with(() =>
      this.#client.call("POST", "v1/conversations", { assistant: assistant.name }),
    );
    this.#conversation = made.id;
    this.#at({ assistant: assistant.name, conversation: made.id, answer: null });
    await this.#side.refresh();
  }

  /** @param {Turn} turn @param {Question} question */
  #again(turn, question) {
    turn.element.remove();
    return this.#ask(question);
  }

  /** Follows an answer that was begun before the page was loaded. @param {string} id */
  async #resume(id) {
    const form = this.#form;
    /** @type {Question | null} */
    const question = JSON.parse(forThisTab.get(id) ?? "null");
    /** @type {import("./turn.js").Read | null} */
    const read = JSON.parse(forThisTab.get(`${id}.read`) ?? "null");
    const turn = this.#add(form?.isChat ? (question?.input.message ?? null) : null);
    if (form && !form.isChat && question) form.fill(question.input);
    if (form) turn.onagain = () => (question ? this.#again(turn, question) : form.focus());
    if (form) form.busy = true;
    if (read) turn.recall(read);
    const refused = await this.#follow(turn, this.#client.follow(id, read?.number, read?.value), question);
    if (form) form.busy = false;
    if (refused?.status !== 404) return;
    turn.element.remove();
    this.#lost("gone_answer");
  }

  /** Keeps how far an answer was read, for when this tab comes back to it. */
  #keep() {
    const [id, read] = [this.#turn?.answer?.id, this.#turn?.read];
    if (id && read) forThisTab.set(`${id}.read`, JSON.stringify(read));
  }

  /** What the address names is not there any more. @param {"gone_answer" | "gone_conversation"} what */
  #lost(what) {
    if (what === "gone_conversation") this.#conversation = null;
    this.#at({ assistant: this.#assistant?.name ?? "", conversation: this.#conversation, answer: null });
    this.#say(what);
  }

  /**
   * @param {Turn} turn
   * @param {import("./client.js").Answer} answer
   * @param {Question | null} question
   * @returns {Promise<LeafstreamError | null>} why it was refused
   */
  async #follow(turn, answer, question) {
    this.#turn = turn;
    const place = { assistant: this.#assistant?.name ?? "", conversation: this.#conversation };
    const following = turn.follow(answer, (event) => {
      if (event.kind === "started" || event.kind === "queued") this.#began(answer.id, place, question);
      this.#keepInView(turn);
    });
    // By now it is drawn, with the ghosts of what is to come: all of it is to be seen while it fills in.
    turn.element.scrollIntoView({ block: this.#form?.isChat ? "nearest" : "start" });
    const refused = await following;
    this.#keepInView(turn);
    if (answer.end) forThisTab.drop(`${answer.id}.read`);
    if (place.conversation && answer.end) forThisTab.drop(place.conversation);
    if (place.conversation && !refused) await this.#side.refresh();
    return refused;
  }

  /** From here on a reload finds the answer. @param {string | null} id @param {{ assistant: string, conversation: string | null }} place @param {Question | null} question */
  #began(id, place, question) {
    if (!id || location.hash.endsWith(id)) return;
    if (question) forThisTab.set(id, JSON.stringify(question));
    if (place.conversation) forThisTab.set(place.conversation, id);
    this.#at({ ...place, answer: id });
  }

  /** A chat stays at its end while it grows, unless somebody scrolled up to read. @param {Turn} turn */
  #keepInView(turn) {
    const below = document.documentElement.scrollHeight - innerHeight - scrollY;
    if (this.#form?.isChat && below < 160) turn.element.scrollIntoView({ block: "end" });
  }

  /** @param {Turn} turn @param {LeafstreamError} error @param {Question} question */
  async #refused(turn, error, question) {
    if (error.status === 401) {
      await this.#access.asks();
      await this.#again(turn, question);
    } else if (error.param && this.#form?.complain(error.param)) {
      turn.element.remove();
      byId("problem").replaceChildren();
      this.#quote(error.message);
    }
  }

  /** @param {unknown} error */
  #problem(error) {
    const known = error instanceof LeafstreamError ? error : new LeafstreamError(String(error));
    const isLost = known.status === 404 && known.param !== "assistant";
    if (isLost) this.#lost(this.#conversation ? "gone_conversation" : "gone_answer");
    else if (known.code === "unreachable") this.#say("error_unreachable");
    else {
      this.#say("error_other");
      this.#quote(known.message);
    }
    if (!(error instanceof LeafstreamError)) throw error;
  }

  /** @param {import("./words.js").Key} key @param {Record<string, string>} [values] */
  #say(key, values = {}) {
    byId("problem").hidden = false;
    byId("problem").replaceChildren(el("span", { say: [key, values] }));
    announce(key, undefined, values);
  }

  /** @param {string} text */
  #quote(text) {
    byId("problem").hidden = false;
    byId("problem").append(el("span", { class: "quoted", lang: "en" }, text));
  }
}

await new Page().open();
