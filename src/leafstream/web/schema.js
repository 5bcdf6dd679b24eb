/** What the page needs to know of a JSON Schema. */

/** @typedef {{ [keyword: string]: any }} Schema */

/**
 * A subschema without its wrappers: references followed, of "this or null" the this.
 * @param {Schema} root
 * @param {Schema | boolean | undefined} raw
 * @returns {Schema}
 */
export function plain(root, raw) {
  if (typeof raw !== "object") return {};
  if (raw.$ref) {
    const found = raw.$ref
      .split("/")
      .slice(1)
      .reduce((/** @type {any} */ at, /** @type {string} */ step) => at?.[step], root);
    return { ...plain(root, found), ...without(raw, "$ref") };
  }
  const options = (raw.anyOf ?? raw.oneOf)?.filter((/** @type {Schema} */ option) => option.type !== "null");
  if (options?.length === 1)
    return { ...plain(root, options[0]), ...without(raw, "anyOf", "oneOf"), nullable: true };
  if (raw.allOf?.length === 1) return { ...plain(root, raw.allOf[0]), ...without(raw, "allOf") };
  return raw;
}

/** @param {Schema} raw @param {...string} names */
const without = (raw, ...names) =>
  Object.fromEntries(Object.entries(raw).filter(([name]) => !names.includes(name)));

/**
 * What kind of thing a schema describes.
 * @param {Schema} schema plain
 * @returns {"choice" | "text" | "number" | "boolean" | "list" | "record" | "any"}
 */
export function kindOf(schema) {
  if (Array.isArray(schema.enum) || "const" in schema) return "choice";
  switch (schema.type) {
    case "string":
      return "text";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "array":
      return schema.items ? "list" : "any";
    case "object":
      return schema.properties ? "record" : "any";
    default:
      return schema.properties ? "record" : "any";
  }
}

/** @param {Schema} schema @returns {any[]} */
export const choices = (schema) => schema.enum ?? [schema.const];
