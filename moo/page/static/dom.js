// Elements, and what is asked of the server. Text is always text: nothing that comes from a run becomes HTML.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. Attributes that are functions become listeners (`onclick`), `true` becomes an empty attribute.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  return /** @type {HTMLElement} */ (fill(made, ...children));
}

/**
 * @param {Element} parent
 * @param {...(Child | Child[])} children what it contains from now on
 */
export function fill(parent, ...children) {
  const kept = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  parent.replaceChildren(...kept.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return parent;
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no element ${id}`);
  return found;
}

/** What the server refused, in its one line. */
export class Refusal extends Error {}

/**
 * @param {string} place
 * @param {RequestInit} [options]
 * @returns {Promise<any>} content of the answer
 */
export async function ask(place, options = {}) {
  let answer;
  try {
    answer = await fetch(place, { credentials: "same-origin", ...options });
  } catch {
    throw new Refusal("The server does not answer: is pareto_page.py still running?");
  }
  const text = await answer.text();
  const content = answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : { error: text.trim() };
  if (!answer.ok) throw new Refusal(content.error || `the server answered ${answer.status}`);
  return content;
}

/**
 * @param {string} place
 * @param {any} content
 */
export const send = (place, content) =>
  ask(place, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) });

/** @param {string} name of a run, with its folders @returns {string} its part of an address */
export const inAddress = (name) => name.split("/").map(encodeURIComponent).join("/");

/** @param {unknown} error */
export const problem = (error) =>
  el("p", { class: "problem", role: "alert" }, error instanceof Error ? error.message : String(error));

/**
 * A table that scrolls sideways by itself where the window is narrow.
 * @param {Child[]} heads
 * @param {Child[][]} rows
 * @param {string} label
 */
export const table = (heads, rows, label) =>
  el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))));

/** Signs of states, which differ in shape as well as in colour. @type {Record<string, [string, string]>} */
const LAMPS = {
  running: ["●", "good"], starting: ["◌", "good"], ended: ["■", "soft"], interrupted: ["◧", "warn"], failed: ["▲", "bad"],
  unreadable: ["?", "bad"], answering: ["●", "good"], hot: ["◆", "warn"], throttled: ["▼", "warn"], gone: ["✕", "bad"],
};

/** @param {string} state @param {string} [detail] @returns {HTMLElement} its sign, the word, and more about it */
export function lamp(state, detail) {
  const [sign, colour] = LAMPS[state] || ["○", "soft"];
  const word = el("span", { class: "lamp" }, el("span", { class: colour, "aria-hidden": "true" }, sign), ` ${state}`);
  return el("span", { class: "state" }, word, detail && el("span", { class: "soft" }, `: ${detail}`));
}

/** @typedef {string | {text?: string, href?: string, code?: string, lamp?: string, detail?: string}} Cell as moo.page.cells makes it */

/** Addresses that do not begin with a slash are below that of the run. @param {Cell} given @returns {Child} */
export function cell(given) {
  if (typeof given === "string") return given;
  if (given.code !== undefined) return el("code", {}, given.code);
  if (given.lamp !== undefined) return lamp(given.lamp, given.detail);
  const { text, href = "" } = given, below = `${location.pathname.split("/-/")[0]}/-/`;
  return el("a", { href: href.startsWith("/") ? href : below + href }, text);
}

/** @param {{label: string, heads: Cell[], rows: Cell[][]}} given a table as moo.page.cells makes it */
export const shown = ({ label, heads, rows }) => table(heads.map(cell), rows.map((row) => row.map(cell)), label);

/** Options are texts, or values and their texts.
 * @param {string} label @param {(string | string[])[]} options @param {string} value @param {(value: string) => void} changed */
export const select = (label, options, value, changed) => el("label", {}, el("span", {}, label), " ",
  el("select", { onchange: (/** @type {any} */ event) => changed(event.target.value) },
    options.map((option) => (typeof option === "string" ? [option, option] : option)).map(([name, text]) =>
      el("option", { value: name, selected: name === value }, text))));
