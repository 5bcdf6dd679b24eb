/** The form of an assistant, from its input schema. */

import { el, icon } from "./dom.js";
import { below } from "./fields.js";
import { plain } from "./schema.js";
import { saying } from "./words.js";

/** @typedef {import("./fields.js").Field} Field */

const OPTIONS = {
  properties: {
    max_tokens: { type: "integer", minimum: 1 },
    seed: { type: "integer", minimum: 0 },
  },
};

export class InputForm {
  /** @type {Map<string, Field>} */
  #fields = new Map();
  /** @type {Map<string, Field>} */
  #options = new Map();
  #button;

  /**
   * @param {{ name: string, input_schema: any, answer_schema: any }} assistant
   * @param {(input: any, options: any) => void} ask
   */
  constructor(assistant, ask) {
    this.schema = assistant.input_schema;
    this.isChat = isMessage(this.schema);
    this.#button = el(
      "button",
      { class: "primary" },
      icon(this.isChat ? "up" : "leaf"),
      el("span", { say: this.isChat ? "send" : "ask" }),
    );
    this.element = el("form", {
      id: "ask",
      class: this.isChat ? "composer" : "asking",
      novalidate: true,
      submit: (/** @type {Event} */ e) => this.#submitted(e, ask),
    });
    if (this.isChat) this.#compose();
    else this.#lay();
  }

  #compose() {
    const area = el("textarea", { id: "field-message", rows: 1, label: "message", required: true });
    saying(area, "message", {}, "placeholder");
    area.addEventListener("keydown", (event) => {
      // Enter also ends the composing of a syllable, which is no wish to send.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.element.requestSubmit();
    });
    this.element.append(area, this.#button);
    this.#fields.set("message", {
      element: area,
      focus: () => area.focus(),
      fill: (value) => {
        area.value = value ?? "";
      },
      complain: (key) => area.setAttribute("aria-invalid", String(Boolean(key))),
      read(problems) {
        if (!area.value.trim()) problems.push(this);
        return area.value;
      },
    });
  }

  #lay() {
    const place = { root: this.schema, schema: this.schema, name: "", path: "", required: true };
    const required = new Set(this.schema.required ?? []);
    for (const [key, raw] of Object.entries(this.schema.properties ?? {})) {
      const field = below(place, key, plain(this.schema, /** @type {any} */ (raw)), required.has(key));
      this.#fields.set(key, field);
      this.element.append(field.element);
    }
    this.element.append(this.#settings(), el("div", { class: "actions" }, this.#button));
  }

  #settings() {
    const place = { root: OPTIONS, schema: OPTIONS, name: "", path: ".options", required: true };
    for (const [key, raw] of Object.entries(OPTIONS.properties)) {
      const field = below(place, key, raw, false);
      const label = field.element.querySelector("label");
      if (label) label.replaceChildren(el("span", { say: key }));
      field.element.insertBefore(el("p", { class: "hint", say: `${key}_hint` }), label?.nextSibling ?? null);
      this.#options.set(key, field);
    }
    const fields = [...this.#options.values()].map((field) => field.element);
    return el(
      "details",
      { class: "settings" },
      el("summary", { say: "settings" }),
      el("div", { class: "row" }, ...fields),
    );
  }

  /** @param {Event} event @param {(input: any, options: any) => void} ask */
  #submitted(event, ask) {
    event.preventDefault();
    if (this.#button.disabled) return;
    /** @type {Field[]} */
    const problems = [];
    const input = read(this.#fields, problems);
    const options = read(this.#options, problems);
    if (problems.length) problems[0]?.focus();
    else ask(input, options);
  }

  /** While an answer is written there is nothing to ask. @param {boolean} busy */
  set busy(busy) {
    this.#button.disabled = busy;
  }

  /** @param {any} input */
  fill(input) {
    for (const [key, field] of this.#fields)
      field.fill(input?.[key] ?? this.schema.properties?.[key]?.default);
  }

  focus() {
    this.#fields.values().next().value?.focus();
  }

  /** Shows what the server says of a field. @param {string | null} param @returns {boolean} whether there is such a field */
  complain(param) {
    const field = this.#fields.get(String(param).split(".")[1] ?? "") ?? this.#options.get(String(param));
    field?.complain("error_invalid_request");
    field?.focus();
    return field !== undefined;
  }
}

/** @param {Map<string, Field>} fields @param {Field[]} problems */
function read(fields, problems) {
  const values = [...fields].map(([key, field]) => [key, field.read(problems)]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}

/** Whether the input is one message and no more. @param {any} schema */
const isMessage = (schema) =>
  Object.keys(schema.properties ?? {}).join() === "message" && !schema.properties.message.enum;
