// A new search: the options of the command line as a form, and the command that it will run.

import { ask, el, fill, inAddress, problem, send } from "page/dom.js";

export const TITLE = "New search";
const PAUSE_MS = 400, UNKNOWN = "How long it takes is told as soon as it has begun.";

/** @typedef {{field: string, name: string, kind: string, text: string, default: string, choices: string[], is_list: boolean,
 *   may_be_none: boolean}} Option */
/** @typedef {{option: Option, row: HTMLElement, error: HTMLElement, value: () => any}} Field a value of undefined is the default */

/** @param {HTMLElement} content */
export async function show(content) {
  const from = new URLSearchParams(location.search).get("from") ?? "";
  const { groups } = await ask(`/api/form?from=${encodeURIComponent(from)}`);
  if (!groups.length) return fill(content, el("h1", {}, TITLE), problem("This page shows runs, but cannot start any."));
  /** @type {Field[]} */
  const fields = [];
  const rows = (/** @type {Option[]} */ options) =>
    el("div", { class: "fields" }, options.map((option) => fields[fields.push(field(option)) - 1].row));
  const section = (/** @type {any} */ { title, common, more }) => el("fieldset", {}, el("legend", {}, title), rows(common),
    more.length > 0 && el("details", {}, el("summary", {}, common.length ? "more" : "options"), rows(more)));
  const name = /** @type {HTMLInputElement} */ (
    el("input", { id: "name", maxlength: 80, autocomplete: "off", "aria-describedby": "name-error" }));
  const nameError = el("p", { class: "problem", id: "name-error" }), general = el("div", { role: "alert" });
  const command = el("pre", { tabindex: 0, "aria-label": "command line" }), copy = el("button", { type: "button", onclick: () =>
    navigator.clipboard.writeText(command.textContent || "").then(() => fill(copy, "Copied")) }, "Copy");
  const time = el("span", { class: "soft", role: "status" });
  const start = /** @type {HTMLButtonElement} */ (el("button", { class: "main", type: "submit" }, "Start"));

  /** At the first field whose option the message names. @param {string} message */
  function tell(message) {
    for (const place of [...fields.map((one) => one.error), nameError, general]) fill(place);
    const named = [...message.matchAll(/--(?:no-)?([a-z][a-z-]*)/g)].map((found) => found[1]);
    const about = named.map((option) => fields.find((one) => one.option.name === option)).find(Boolean);
    about?.row.closest("details")?.setAttribute("open", "");
    if (message) fill(about ? about.error : named.includes("out") ? nameError : general, about ? message : problem(message));
  }
  let asked = 0, timer = 0;
  async function post(/** @type {string} */ place) {
    const number = ++asked, given = fields.map((one) => [one.option.field, one.value()]).filter(([, value]) => value !== undefined);
    start.disabled = true;
    try {
      const found = await send(place, { name: name.value.trim(), settings: Object.fromEntries(given) });
      if (number !== asked) return;
      if (!found.command) return location.assign(`/runs/${inAddress(found.name)}/-/live`);
      fill(command, found.command);
      fill(time, found.estimate || UNKNOWN);
      tell("");
      start.disabled = false;
    } catch (error) {
      if (number === asked) tell(/** @type {Error} */ (error).message);
    }
  }
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => post("/api/searches/check"), PAUSE_MS);
    fill(copy, "Copy");
  };
  const submit = (/** @type {Event} */ event) => (event.preventDefault(), clearTimeout(timer), post("/api/searches"));
  const shown = groups.filter((/** @type {any} */ group) => group.common.length + group.more.length > 0);
  fill(content, el("h1", {}, TITLE), el("form", { onsubmit: submit, oninput: soon, novalidate: true }, shown.map(section),
    el("fieldset", {}, el("legend", {}, "run"), el("div", { class: "field" }, el("label", { for: "name" }, "name"), name,
      el("p", { class: "soft" }, "Of its folder; by default data set, space and date."), nameError)),
    el("h2", {}, "This will be run"), command, general,
    el("p", {}, start, " ", copy, " ", time)));
  await post("/api/searches/check");
}

/** What stands between backticks is code. @param {string} text */
const marked = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));

/** @param {Option} option @returns {Field} */
function field(option) {
  const id = `option-${option.name}`, error = el("p", { class: "problem", id: `${id}-error` }), code = el("code", {}, `--${option.name}`);
  const about = { "aria-describedby": `${id}-error ${id}-text` }, label = el("label", { for: id }, code);
  const text = el("p", { class: "soft", id: `${id}-text` }, marked(option.text));
  const made = (/** @type {Node[]} */ parts, /** @type {() => any} */ value) =>
    ({ option, error, row: el("div", { class: "field" }, parts, error, text), value });
  if (option.is_list && option.choices.length) {
    const boxes = option.choices.map((value) => /** @type {HTMLInputElement} */ (
      el("input", { type: "checkbox", value, checked: option.default.split(" ").includes(value) })));
    const values = () => boxes.filter((box) => box.checked).map((box) => box.value);
    const group = el("div", { role: "group", "aria-label": option.name, ...about },
      boxes.map((box) => el("label", { class: "choice" }, box, ` ${box.value}`)));
    return made([el("span", {}, code), group], () => (values().join(" ") === option.default ? undefined : values()));
  }
  if (option.kind === "boolean" && !option.may_be_none) {
    const on = option.default === "yes";
    const box = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", id, checked: on, ...about }));
    return made([el("label", { class: "choice" }, box, " ", code)], () => (box.checked === on ? undefined : box.checked));
  }
  const choices = option.kind === "boolean" ? ["yes", "no"] : option.choices;
  if (choices.length) {
    // A run to start from changes what all others are by default.
    const run = option.field === "from_run", words = option.default && !run ? choices : ["", ...choices];
    const anew = () => location.assign(`/new?from=${encodeURIComponent(select.value)}`);
    const select = /** @type {HTMLSelectElement} */ (el("select", { id, ...about, onchange: run && anew }, words.map((value) =>
      el("option", { value, selected: value === option.default }, value || (run ? "none" : "automatic")))));
    return made([label, select], () => (select.value === option.default && !run ? undefined : select.value || undefined));
  }
  const more = { placeholder: option.default, inputmode: option.kind === "text" || option.is_list ? null : "decimal" };
  const input = /** @type {HTMLInputElement} */ (el("input", { id, autocomplete: "off", ...more, ...about }));
  return made([label, input], () => input.value.trim() || undefined);
}
