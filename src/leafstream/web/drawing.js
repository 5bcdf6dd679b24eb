/**
 * An answer as a person reads it, drawn by its schema while it grows.
 *
 * `draw` compares the value with what is on the page and touches only what differs, so it may be called
 * for every frame. What the schema promises and the model has not reached yet is drawn as a ghost.
 */

import { el, humanized, pathInWords } from "./dom.js";
import { choices, kindOf, plain } from "./schema.js";
import { saying } from "./words.js";

/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {{ growing: string | null, ended: boolean, marks: Map<string, "cut" | "missing"> }} Look */
/** @typedef {{ shape: string, element: HTMLElement, parts: Map<string | number, Part>, text?: string }} Part */

const HEADINGS = new Set(["title", "name", "headline", "heading"]);
const MAX_GHOSTS = 6;

export class Drawing {
  /** @type {Part | null} */
  #part = null;

  /** @param {Schema | null} schema of the answer; null for plain text */
  constructor(schema) {
    this.schema = schema ?? { type: "string" };
    this.element = el("div", { class: "drawing" });
  }

  /** @param {any} value @param {Look} look */
  draw(value, look) {
    const drawn = this.#place(this.#part, this.schema, value ?? undefined, "", look);
    if (drawn && drawn !== this.#part) this.element.replaceChildren(drawn.element);
    this.#part = drawn;
  }

  /**
   * The part for a value (or for its ghost), the one there was where its shape is the same.
   * @param {Part | null | undefined} part
   * @param {Schema} raw
   * @param {any} value
   * @param {string} path
   * @param {Look} look
   * @returns {Part}
   */
  #place(part, raw, value, path, look) {
    const schema = plain(this.schema, raw);
    const shape = shapeOf(value, schema);
    const drawn = part?.shape === shape ? part : made(shape);
    if (shape === "record") this.#record(drawn, schema, value ?? {}, path, look);
    else if (shape === "list") this.#list(drawn, schema, value ?? [], path, look);
    else if (value !== undefined) write(drawn, value, path === look.growing && !look.ended);
    drawn.element.classList.toggle("ghost", value === undefined);
    mark(drawn.element, look.marks.get(path));
    return drawn;
  }

  /** @param {Part} part @param {Schema} schema @param {any} value @param {string} path @param {Look} look */
  #record(part, schema, value, path, look) {
    const promised = look.ended ? [] : (schema.required ?? []);
    const declared = Object.keys(schema.properties ?? {});
    const names = [
      ...declared.filter((name) => name in value || promised.includes(name)),
      ...Object.keys(value).filter((name) => !declared.includes(name)),
    ];
    const rows = names
      .filter((name) => value[name] !== null || !look.ended)
      .map((name) => {
        const known = part.parts.get(name);
        const inner = this.#place(
          known,
          schema.properties?.[name] ?? {},
          own(value, name),
          `${path}/${escaped(name)}`,
          look,
        );
        part.parts.set(name, inner);
        return row(known, inner, name);
      });
    arranged(part.element, rows);
  }

  /** @param {Part} part @param {Schema} schema @param {any[]} values @param {string} path @param {Look} look */
  #list(part, schema, values, path, look) {
    const ghosts = look.ended ? 0 : Math.min(schema.minItems ?? 0, MAX_GHOSTS);
    const items = [];
    for (let i = 0; i < Math.max(values.length, ghosts); i++) {
      const known = part.parts.get(i);
      const inner = this.#place(
        known,
        schema.prefixItems?.[i] ?? schema.items ?? {},
        values[i],
        `${path}/${i}`,
        look,
      );
      part.parts.set(i, inner);
      items.push(
        known === inner
          ? /** @type {HTMLElement} */ (inner.element.parentElement)
          : el("li", {}, inner.element),
      );
    }
    part.element.classList.toggle("cards", part.parts.get(0)?.shape === "record");
    arranged(part.element, items);
  }
}

/** @param {any} value @param {Schema} schema */
function shapeOf(value, schema) {
  if (value === undefined) {
    const kind = kindOf(schema);
    if (kind === "choice") return typeof choices(schema)[0] === "string" ? "chip" : "fact";
    return { text: "prose", number: "fact", boolean: "fact", list: "list", record: "record", any: "prose" }[
      kind
    ];
  }
  if (Array.isArray(value)) return "list";
  if (value === null) return "fact";
  if (typeof value === "object") return "record";
  if (typeof value !== "string") return "fact";
  return kindOf(schema) === "choice" ? "chip" : "prose";
}

/** @type {Record<string, "dl" | "ol" | "p" | "span">} */
const TAGS = { record: "dl", list: "ol", prose: "p", chip: "span", fact: "span" };

/** @param {string} shape @returns {Part} */
function made(shape) {
  return { shape, element: el(TAGS[shape] ?? "span", { class: shape }), parts: new Map() };
}

/** @param {Part} part @param {any} value @param {boolean} growing */
function write(part, value, growing) {
  part.element.classList.toggle("growing", growing);
  if (typeof value === "boolean" || value === null) {
    if (part.text !== String(value)) saying(part.element, /** @type {any} */ (String(value)));
    part.text = String(value);
    return;
  }
  const text = typeof value === "number" ? String(value) : value;
  if (part.text === text) return;
  const held = part.element.firstChild;
  // Growing text is appended to, so that a selection in it lasts.
  if (held instanceof Text && part.text !== undefined && text.startsWith(part.text))
    held.appendData(text.slice(part.text.length));
  else part.element.replaceChildren(new Text(text));
  part.text = text;
}

/** The row of a member: its name and what it holds. @param {Part | undefined} known @param {Part} inner @param {string} name */
function row(known, inner, name) {
  if (known === inner) return /** @type {HTMLElement} */ (inner.element.parentElement?.parentElement);
  const heading = HEADINGS.has(name.toLowerCase()) && inner.shape === "prose";
  return el(
    "div",
    { class: heading ? "part heading" : `part of-${inner.shape}` },
    el("dt", {}, humanized(name)),
    el("dd", {}, inner.element),
  );
}

/** Puts the children in order, touching only those that are not there yet. @param {HTMLElement} parent @param {HTMLElement[]} children */
function arranged(parent, children) {
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild?.remove();
}

/** @param {HTMLElement} element @param {"cut" | "missing" | undefined} kind */
function mark(element, kind) {
  element.classList.toggle("was-cut", kind === "cut");
  element.classList.toggle("was-missing", kind === "missing");
}

/** @param {any} value @param {string} name */
const own = (value, name) => (Object.hasOwn(value, name) ? value[name] : undefined);

/** @param {string} name */
const escaped = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");

/** Paths as a person reads them, for a sentence. @param {string[]} paths @param {string} whole what the root is called */
export const inWords = (paths, whole) => paths.map((path) => pathInWords(path) || whole).join("; ");
