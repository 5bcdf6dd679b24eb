/** A control for each kind of input; `fieldFor` chooses by the schema. */

import { el, humanized, icon } from "./dom.js";
import { choices, kindOf, plain } from "./schema.js";
import { saying } from "./words.js";

/** @typedef {import("./schema.js").Schema} Schema */

/**
 * @typedef {object} Field
 * @property {HTMLElement} element
 * @property {(problems: Field[]) => any} read its value, undefined where it is left empty; a field that
 *   cannot be sent as it is says why beside itself and adds itself to the problems
 * @property {(value: any) => void} fill
 * @property {() => void} focus
 * @property {(key: any, values?: Record<string, any>) => void} complain shows a sentence; none for null
 */

/** @typedef {{ root: Schema, schema: Schema, name: string, path: string, required: boolean }} Place */

const MAX_PILLS = 5;
const LONG_TEXT = 200;

/** @param {Place} place @returns {Field} */
export function fieldFor(place) {
  const makers = { choice, text, number, boolean, list, record, any };
  return makers[kindOf(place.schema)](place);
}

/** @param {Place} place @param {string} key @param {Schema | undefined} raw @param {boolean} required */
export function below(place, key, raw, required) {
  const schema = plain(place.root, raw);
  return fieldFor({
    root: place.root,
    schema,
    name: nameOf(key, schema),
    path: `${place.path}.${key}`,
    required,
  });
}

/** Its title where somebody wrote one; Pydantic's own is the name with capitals. @param {string} key @param {Schema} schema */
function nameOf(key, schema) {
  const own = schema.title && schema.title.toLowerCase() !== humanized(key).toLowerCase();
  return own && schema.type !== "object" ? schema.title : humanized(key);
}

/**
 * A control with its label, description and place for a complaint.
 * @param {Place} place
 * @param {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} control
 * @param {{ parse: (text: string) => [any, any?, any?], write?: (value: any) => string }} how `parse`
 *   gives the value, or undefined and a complaint with its values
 * @returns {Field}
 */
function labelled({ schema, name, path, required }, control, { parse, write = String }) {
  const id = `field${path.replaceAll(".", "-")}`;
  const error = el("p", { class: "complaint", id: `${id}-error`, hidden: true });
  const hint = schema.description ? el("p", { class: "hint", id: `${id}-hint` }, schema.description) : null;
  control.id = id;
  control.setAttribute("aria-describedby", [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" "));
  if (required) control.required = true;
  const label = el(
    "label",
    { for: id },
    name,
    required ? null : el("span", { class: "optional", say: "optional" }),
  );
  const element = el("div", { class: "field" }, label, hint, control, error);
  /** @type {Field} */
  const field = {
    element,
    focus: () => control.focus(),
    fill: (value) => {
      control.value = value === null || value === undefined ? "" : write(value);
    },
    complain(key, values) {
      error.hidden = !key;
      control.setAttribute("aria-invalid", String(Boolean(key)));
      if (key) saying(error, key, values);
    },
    read(problems) {
      field.complain(null);
      const text = control.value;
      const [value, key, values] = text.trim() === "" ? [undefined, required ? "need" : null] : parse(text);
      if (key) {
        field.complain(key, values);
        problems.push(field);
      }
      return value;
    },
  };
  control.addEventListener("input", () => field.complain(null));
  if (schema.default !== undefined && schema.default !== null) field.fill(schema.default);
  return field;
}

/** @param {Schema} schema @param {HTMLElement} control */
function exampled(schema, control) {
  const example = schema.examples?.[0];
  if (example !== undefined)
    saying(
      control,
      "example",
      { example: typeof example === "object" ? JSON.stringify(example) : example },
      "placeholder",
    );
}

/** @param {Place} place */
function text(place) {
  const { schema } = place;
  const types = /** @type {Record<string, string>} */ ({
    date: "date",
    email: "email",
    uri: "url",
    time: "time",
  });
  const long = (schema.maxLength ?? 0) > LONG_TEXT;
  const control = long
    ? el("textarea", { rows: 4 })
    : el("input", { type: types[schema.format] ?? "text", autocomplete: "off" });
  if (schema.maxLength) control.maxLength = schema.maxLength;
  exampled(schema, control);
  const least = schema.minLength ?? 0;
  return labelled(place, control, {
    parse: (given) => ([...given].length < least ? [undefined, "too_short", { least }] : [given]),
  });
}

/** @param {Place} place */
function number(place) {
  const { schema } = place;
  const whole = schema.type === "integer";
  const control = el("input", {
    type: "text",
    inputmode: whole ? "numeric" : "decimal",
    autocomplete: "off",
    class: "short",
  });
  exampled(schema, control);
  return labelled(place, control, { parse: (given) => numbered(given.trim(), schema, whole) });
}

/** @param {string} given @param {Schema} schema @param {boolean} whole @returns {[any, any?, any?]} */
function numbered(given, schema, whole) {
  const value = Number(given.replace(",", "."));
  if (Number.isNaN(value)) return [undefined, "not_a_number"];
  if (whole && !Number.isInteger(value)) return [undefined, "not_whole"];
  if (value < (schema.minimum ?? -Infinity)) return [undefined, "too_low", { least: schema.minimum }];
  if (value > (schema.maximum ?? Infinity)) return [undefined, "too_high", { most: schema.maximum }];
  return [value];
}

/** @param {Place} place */
function any(place) {
  const control = el("textarea", { rows: 4, class: "code", spellcheck: "false" });
  exampled(place.schema, control);
  const write = (/** @type {any} */ value) => JSON.stringify(value, null, 2);
  return labelled({ ...place, name: `${place.name} (JSON)` }, control, {
    write,
    parse: (given) => {
      try {
        return [JSON.parse(given)];
      } catch {
        return [undefined, "not_json"];
      }
    },
  });
}

/** @param {Place} place */
function choice(place) {
  const options = choices(place.schema);
  if (options.length <= MAX_PILLS) return pills(place, "radio", options);
  const control = el(
    "select",
    {},
    el("option", { value: "", say: "choose" }),
    ...options.map((o, i) => el("option", { value: i }, String(o))),
  );
  return labelled(place, control, {
    parse: (index) => [options[Number(index)]],
    write: (value) => String(options.indexOf(value)),
  });
}

/**
 * A few choices side by side: one of them, or any number.
 * @param {Place} place
 * @param {"radio" | "checkbox"} type
 * @param {any[]} options
 * @returns {Field}
 */
function pills({ schema, name, path, required }, type, options) {
  const id = `field${path.replaceAll(".", "-")}`;
  const inputs = options.map((_, i) => el("input", { type, name: id, value: i, id: `${id}-${i}` }));
  const labels = options.map((option, i) =>
    el(
      "label",
      { class: "pill", for: `${id}-${i}` },
      /** @type {Node} */ (inputs[i]),
      el("span", {}, String(option)),
    ),
  );
  const error = el("p", { class: "complaint", id: `${id}-error`, hidden: true });
  const legend = el("legend", {}, name, required ? null : el("span", { class: "optional", say: "optional" }));
  const hint = schema.description ? el("p", { class: "hint" }, schema.description) : null;
  const element = el(
    "fieldset",
    { class: "field", "aria-describedby": `${id}-error` },
    legend,
    hint,
    el("div", { class: "pills" }, ...labels),
    error,
  );
  /** @type {Field} */
  const field = {
    element,
    focus: () => inputs[0]?.focus(),
    fill(value) {
      const chosen = [value].flat();
      inputs.forEach((input, i) => {
        input.checked = chosen.includes(options[i]);
      });
    },
    complain(key, values) {
      error.hidden = !key;
      if (key) saying(error, key, values);
    },
    read(problems) {
      field.complain(null);
      const chosen = options.filter((_, i) => inputs[i]?.checked);
      if (!chosen.length && required && type === "radio") {
        field.complain("need_choice");
        problems.push(field);
      }
      return type === "checkbox" ? chosen : chosen[0];
    },
  };
  element.addEventListener("change", () => field.complain(null));
  if (schema.default !== undefined) field.fill(schema.default);
  return field;
}

/** @param {Place} place @returns {Field} */
function boolean({ schema, name, path }) {
  const id = `field${path.replaceAll(".", "-")}`;
  const control = el("input", { type: "checkbox", id, role: "switch" });
  const error = el("p", { class: "complaint", hidden: true });
  const about = el(
    "span",
    {},
    name,
    schema.description ? el("span", { class: "hint" }, schema.description) : null,
  );
  control.checked = schema.default === true;
  return {
    element: el("div", { class: "field" }, el("label", { class: "switch", for: id }, control, about), error),
    focus: () => control.focus(),
    fill: (value) => {
      control.checked = value === true;
    },
    read: () => control.checked,
    complain(key, values) {
      error.hidden = !key;
      if (key) saying(error, key, values);
    },
  };
}

/** @param {Place} place @returns {Field} */
function list(place) {
  const item = plain(place.root, place.schema.items);
  if (kindOf(item) === "choice") return pills(place, "checkbox", choices(item));
  /** @type {Field[]} */
  let fields = [];
  let made = 0;
  const items = el("div", { class: "items" });
  const error = el("p", { class: "complaint", hidden: true });
  const more = el(
    "button",
    { type: "button", class: "quiet", label: ["add", { name: place.name }], click: () => grown().focus() },
    icon("plus"),
    el("span", { say: "add_short" }),
  );
  const optional = place.required ? null : el("span", { class: "optional", say: "optional" });
  const hint = place.schema.description ? el("p", { class: "hint" }, place.schema.description) : null;
  const element = el(
    "fieldset",
    { class: "field many" },
    el("legend", {}, place.name, optional),
    hint,
    items,
    error,
    more,
  );
  const most = place.schema.maxItems ?? Infinity;
  const least = place.schema.minItems ?? 0;

  const grown = () => {
    made += 1;
    const field = fieldFor({
      ...place,
      schema: item,
      name: `${place.name} ${made}`,
      path: `${place.path}.${made}`,
      required: true,
    });
    const away = el(
      "button",
      { type: "button", class: "bare", label: ["take_away", { name: place.name, number: made }] },
      icon("cross"),
    );
    const row = el("div", { class: "item" }, field.element, away);
    away.addEventListener("click", () => {
      fields = fields.filter((other) => other !== field);
      row.remove();
      more.hidden = false;
      more.focus();
    });
    fields.push(field);
    items.append(row);
    more.hidden = fields.length >= most;
    return field;
  };
  /** @type {Field} */
  const field = {
    element,
    focus: () => (fields[0] ?? grown()).focus(),
    fill(values) {
      fields = [];
      items.replaceChildren();
      for (const value of values ?? []) grown().fill(value);
      while (fields.length < least) grown();
    },
    complain(key, values) {
      error.hidden = !key;
      if (key) saying(error, key, values);
    },
    read(problems) {
      const values = fields.map((one) => one.read(problems)).filter((value) => value !== undefined);
      return values.length || place.required ? values : undefined;
    },
  };
  field.fill(place.schema.default ?? []);
  return field;
}

/** @param {Place} place @returns {Field} */
export function record(place) {
  const required = new Set(place.schema.required ?? []);
  const error = el("p", { class: "complaint", hidden: true });
  const inner = Object.entries(place.schema.properties).map(
    ([key, raw]) => /** @type {[string, Field]} */ ([key, below(place, key, raw, required.has(key))]),
  );
  const optional = place.required ? null : el("span", { class: "optional", say: "optional" });
  const element = el(
    "fieldset",
    { class: "field record" },
    el("legend", {}, place.name, optional),
    ...inner.map(([, field]) => field.element),
    error,
  );
  return {
    element,
    focus: () => inner[0]?.[1].focus(),
    fill: (value) => inner.forEach(([key, field]) => field.fill(value?.[key])),
    complain(key, values) {
      error.hidden = !key;
      if (key) saying(error, key, values);
    },
    read(problems) {
      /** @type {Field[]} */
      const found = [];
      const values = inner
        .map(([key, field]) => [key, field.read(found)])
        .filter(([, value]) => value !== undefined);
      // An optional record that is left empty is not sent, so nothing in it is required.
      if (!values.length && !place.required) return inner.forEach(([, field]) => field.complain(null));
      problems.push(...found);
      return Object.fromEntries(values);
    },
  };
}
