/** The side of the page: whom to ask, and the conversations that are kept. */

import { byId, el, humanized, icon, labelled } from "./dom.js";
import { forEver } from "./kept.js";
import { LANGUAGES, language, saying, speak } from "./words.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {{ id: string, assistant: string, title: string }} Conversation */

const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 60rem)");

export class Side {
  #client;
  #access;
  #list = byId("conversations");

  /** @param {Client} client @param {import("./access.js").Access} access */
  constructor(client, access) {
    this.#client = client;
    this.#access = access;
    /** Called when the conversation that is open is deleted. @type {(id: string) => void} */
    this.ondeleted = () => {};
    this.current = "";
    this.#drawer();
    this.#preferences();
  }

  /** @param {{ name: string }[]} assistants */
  assistants(assistants) {
    byId("assistants").replaceChildren(
      ...assistants.map(({ name }) =>
        el(
          "li",
          {},
          el(
            "a",
            { href: `#/${encodeURIComponent(name)}`, "data-to": `#/${encodeURIComponent(name)}` },
            humanized(name),
          ),
        ),
      ),
    );
  }

  /** Marks where the page is. @param {string} assistant @param {string | null} conversation */
  here(assistant, conversation) {
    this.current = conversation ?? "";
    const to = conversation ? `#/${assistant}/${conversation}` : `#/${assistant}`;
    for (const link of document.querySelectorAll("#side a[data-to]")) {
      if (link.getAttribute("data-to") === to) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.close();
  }

  async refresh() {
    const { data } = await this.#access.with(() => this.#client.call("GET", "v1/conversations?limit=50"));
    if (this.#list.querySelector("form")) return; // somebody is writing a title there
    byId("no-conversations").hidden = data.length > 0;
    this.#list.replaceChildren(...data.map((/** @type {Conversation} */ one) => this.#row(one)));
  }

  /** @param {Conversation} conversation @returns {HTMLLIElement} */
  #row(conversation) {
    const { id, assistant, title } = conversation;
    const to = `#/${encodeURIComponent(assistant)}/${id}`;
    const named = title ? { title } : { title: "…" };
    const link = el("a", { href: to, "data-to": to }, title);
    if (!title) saying(link, "untitled");
    if (id === this.current) link.setAttribute("aria-current", "page");
    const rename = el(
      "button",
      { class: "bare", label: ["rename", named], click: () => this.#rename(row, conversation) },
      icon("pencil"),
    );
    const remove = el(
      "button",
      { class: "bare", label: ["remove", named], click: () => this.#remove(row, conversation) },
      icon("bin"),
    );
    const row = el("li", {}, link, el("span", { class: "tools" }, rename, remove));
    return row;
  }

  /** @param {HTMLLIElement} row @param {Conversation} conversation */
  #rename(row, conversation) {
    const input = el("input", {
      value: conversation.title,
      maxlength: 80,
      label: "title_of",
      required: true,
    });
    const done = () => row.replaceWith(this.#row(conversation));
    const form = el("form", { class: "renaming" }, input);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const title = input.value.trim();
      await this.#access.with(() =>
        this.#client.call("PATCH", `v1/conversations/${conversation.id}`, { title }),
      );
      form.remove();
      await this.refresh();
      this.#focus(conversation.id);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      done();
      this.#focus(conversation.id);
    });
    input.addEventListener("blur", () => form.isConnected && !form.matches(":focus-within") && done());
    row.replaceChildren(form);
    input.select();
    input.focus();
  }

  /** @param {HTMLLIElement} row @param {Conversation} conversation */
  #remove(row, conversation) {
    const keep = el("button", {
      class: "quiet",
      say: "keep",
      click: () => {
        row.replaceWith(this.#row(conversation));
        this.#focus(conversation.id);
      },
    });
    const remove = el("button", { class: "quiet danger", say: "yes_remove" });
    remove.addEventListener("click", async () => {
      await this.#access.with(() => this.#client.call("DELETE", `v1/conversations/${conversation.id}`));
      await this.refresh();
      byId("new").focus();
      if (conversation.id === this.current) this.ondeleted(conversation.id);
    });
    row.replaceChildren(el("div", { class: "sure" }, el("span", { say: "remove_sure" }), remove, keep));
    keep.focus();
  }

  /** @param {string} id */
  #focus(id) {
    /** @type {HTMLElement | null} */ (this.#list.querySelector(`a[href$="${id}"]`))?.focus();
  }

  /** On a narrow screen the side is a drawer over the page. */
  #drawer() {
    const menu = byId("menu");
    menu.addEventListener("click", () => this.open());
    byId("shade").addEventListener("click", () => this.close());
    byId("close").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !(event.target instanceof HTMLInputElement)) this.close();
    });
    narrow.addEventListener("change", () => this.close());
    this.close();
  }

  open() {
    document.body.dataset.side = "open";
    byId("main").inert = byId("bar").inert = true;
    byId("side").inert = false;
    byId("menu").setAttribute("aria-expanded", "true");
    byId("close").focus();
  }

  close() {
    const [was, menu] = [document.body.dataset.side === "open", byId("menu")];
    delete document.body.dataset.side;
    byId("main").inert = byId("bar").inert = false;
    byId("side").inert = narrow.matches;
    menu.setAttribute("aria-expanded", "false");
    if (was) menu.focus();
  }

  #preferences() {
    const root = document.documentElement;
    const button = byId("theme");
    const isDark = () => root.dataset.theme === "dark" || (root.dataset.theme !== "light" && dark.matches);
    const shown = () => {
      button.replaceChildren(icon(isDark() ? "sun" : "moon"));
      labelled(button, isDark() ? "light" : "dark");
    };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      forEver.set("theme", root.dataset.theme);
      shown();
    });
    dark.addEventListener("change", shown);
    shown();
    const languages = /** @type {HTMLSelectElement} */ (byId("language"));
    languages.append(
      ...Object.entries(LANGUAGES).map(([value, name]) => el("option", { value, lang: value }, name)),
    );
    languages.value = language();
    languages.addEventListener("change", () => speak(/** @type {any} */ (languages.value)));
    speak(language());
  }
}
