/** Elements made in one line, and the few icons. */

import { saying } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  leaf: "M4 20C3 10.5 9 4 20 4c.5 10.5-6 17-16 16Zm0 0L13 11",
  menu: "M4 7h16M4 12h16M4 17h10",
  plus: "M12 5v14M5 12h14",
  pencil: "M4 20l1-4L16 5l3 3L8 19l-4 1Z",
  bin: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 3v1M12 20v1M3 12h1M20 12h1M5.6 5.6l.7.7M17.7 17.7l.7.7M5.6 18.4l.7-.7M17.7 6.3l.7-.7",
  moon: "M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5Z",
  cross: "M6 6l12 12M18 6L6 18",
  up: "M12 19V5M6 11l6-6 6 6",
};

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [about] attributes; `say` is a key of words.js for the text and `label`
 *   one for the accessible name (or [key, values]), functions listen to the event of their name
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, about = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name === "say") saying(element, .../** @type {[any]} */ ([value].flat()));
    else if (name === "label") labelled(element, value);
    else if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** @param {HTMLElement} element @param {any} label a key, or [key, values] */
export function labelled(element, label) {
  const [key, values] = [label].flat();
  saying(element, key, values, "aria-label");
  saying(element, key, values, "title");
}

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  // A size of its own, for a page whose style sheets did not come.
  const size = { width: "20", height: "20", viewBox: "0 0 24 24" };
  for (const [key, value] of Object.entries({ ...size, "aria-hidden": "true", class: "icon" })) {
    svg.setAttribute(key, value);
  }
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** The name of a member as a person writes it. @param {string} name */
export function humanized(name) {
  const words = name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/[_-]+/g, " ")
    .trim()
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A path as a person reads it: "Challenges 2, title". @param {string} path */
export function pathInWords(path) {
  const steps = path
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const words = steps.map((step) =>
    /^\d+$/.test(step) ? ` ${Number(step) + 1}` : `, ${humanized(step).toLowerCase()}`,
  );
  const joined = words.join("").replace(/^, /, "");
  return joined.charAt(0).toUpperCase() + joined.slice(1);
}
