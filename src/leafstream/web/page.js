/**
 * The page: what the address names is what it shows.
 *
 *     #/challenges                 an assistant
 *     #/challenges/ans_…           an answer of it, which is read from its beginning and followed
 *     #/chat/conv_…                a conversation
 *     #/chat/conv_…/ans_…          a conversation in which an answer is being written
 */

import { Access } from "./access.js";
import { LeafstreamError } from "./client.js";
import { Client } from "./client.js";
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
    window.addEventListener("hashchange", () => this.#show(this.#place()));
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
    this.#turn?.leave();
    this.#turn = null;
    const assistant = this.#assistants.find((one) => one.name === place.assistant) ?? this.#assistants[0];
    if (!assistant) return;
    this.#assistant = assistant;
    this.#conversation = place.conversation;
    this.#at({ ...place, assistant: assistant.name });
    this.#lay(assistant);
    try {
      const known = place.conversation ? await this.#recall(place.conversation) : new Set();
      const answer = place.answer ?? forThisTab.get(place.conversation ?? "");
      if (answer && !known.has(answer)) await this.#resume(answer);
    } catch (error) {
      this.#problem(error);
    }
  }

  /** @param {Assistant} assistant */
  #lay(assistant) {
    const form = new InputForm(assistant, (input, options) => this.#ask({ input, options }));
    this.#form = form;
    document.title = `${humanized(assistant.name)} · leafstream`;
    byId("heading").textContent = humanized(assistant.name);
    byId("instructions").textContent = assistant.instructions;
    byId("problem").hidden = true;
    this.#turns.replaceChildren();
    byId("ask").replaceWith(form.element);
    byId("main").dataset.kind = form.isChat ? "chat" : "form";
    if (form.isChat) byId("talk").append(this.#turns, form.element);
    else byId("talk").append(form.element, this.#turns);
  }

  /** Draws the turns of a conversation. @param {string} id @returns {Promise<Set<string>>} the answers in it */
  async #recall(id) {
    const found = await this.#access.with(() => this.#client.call("GET", `v1/conversations/${id}`));
    let asked = null;
    for (const { role, content, value } of found.turns) {
      if (role === "user") asked = content;
      else this.#add(asked).show(value ?? content);
    }
    this.#turns.lastElementChild?.scrollIntoView({ block: "end" });
    return new Set(found.turns.map((/** @type {any} */ turn) => turn.answer));
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
    const form = /** @type {InputForm} */ (this.#form);
    /** @type {Question | null} */
    const question = JSON.parse(forThisTab.get(id) ?? "null");
    const turn = this.#add(form.isChat ? (question?.input.message ?? null) : null);
    if (!form.isChat && question) form.fill(question.input);
    turn.onagain = () => (question ? this.#again(turn, question) : form.focus());
    form.busy = true;
    const refused = await this.#follow(turn, this.#client.follow(id), question);
    form.busy = false;
    if (refused?.status === 404) this.#gone(turn);
  }

  /** @param {Turn} turn */
  #gone(turn) {
    turn.element.remove();
    this.#at({ assistant: this.#assistant?.name ?? "", conversation: this.#conversation, answer: null });
    this.#say("gone_answer");
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
    turn.element.scrollIntoView({ block: "nearest", behavior: "auto" });
    const refused = await turn.follow(answer, (event) => {
      if (event.kind === "started" || event.kind === "queued") this.#began(answer.id, place, question);
      this.#keepInView(turn);
    });
    if (place.conversation && answer.end) forThisTab.set(place.conversation, "");
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
    const gone = known.status === 404 && this.#conversation;
    if (gone) this.#at({ assistant: this.#assistant?.name ?? "", conversation: null, answer: null });
    if (gone) this.#conversation = null;
    this.#say(
      gone ? "gone_conversation" : known.code === "unreachable" ? "error_unreachable" : "error_other",
    );
    if (!gone && known.code !== "unreachable") this.#quote(known.message);
    if (!(error instanceof LeafstreamError)) throw error;
  }

  /** @param {import("./words.js").Key} key */
  #say(key) {
    byId("problem").hidden = false;
    byId("problem").replaceChildren(el("span", { say: key }));
    announce(key);
  }

  /** @param {string} text */
  #quote(text) {
    byId("problem").hidden = false;
    byId("problem").append(el("span", { class: "quoted", lang: "en" }, text));
  }
}

await new Page().open();
