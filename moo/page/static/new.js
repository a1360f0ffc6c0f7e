// A new search: the options of the command line as a form, and the command that it will run.

import { ask, el, fill, inAddress, problem, send } from "page/dom.js";

export const TITLE = "New search";
const PAUSE_MS = 400;

/** @typedef {{field: string, name: string, kind: string, text: string, default: string, choices: string[], is_list: boolean, may_be_none: boolean}} Option */
/** @typedef {{option: Option, row: HTMLElement, error: HTMLElement, value: () => any}} Field a value of undefined is the default */

/** @param {HTMLElement} content */
export async function show(content) {
  const { groups } = await ask("/api/form");
  if (!groups.length) return fill(content, el("h1", {}, TITLE), problem("This page shows runs, but cannot start any."));
  /** @type {Field[]} */
  const fields = [];
  const add = (/** @type {Option} */ option) => fields[fields.push(field(option)) - 1].row;
  const sections = groups.filter((/** @type {any} */ group) => group.common.length + group.more.length).map((/** @type {any} */ group) =>
    el("fieldset", {}, el("legend", {}, group.title), el("div", { class: "fields" }, group.common.map(add)),
      group.more.length > 0 && el("details", {}, el("summary", {}, group.common.length ? "more" : "options"), el("div", { class: "fields" }, group.more.map(add)))));
  const name = el("input", { id: "name", maxlength: 80, autocomplete: "off", "aria-describedby": "name-error name-text" });
  const nameError = el("p", { class: "problem", id: "name-error" });
  const general = el("div", { role: "alert" }), command = el("pre", { tabindex: 0, "aria-label": "command line" });
  const start = /** @type {HTMLButtonElement} */ (el("button", { class: "main", type: "submit" }, "Start"));
  const copy = el("button", { type: "button", onclick: () => navigator.clipboard.writeText(command.textContent || "").then(() => fill(copy, "Copied")) }, "Copy");

  function posted() {
    const settings = Object.fromEntries(fields.map((one) => [one.option.field, one.value()]).filter(([, value]) => value !== undefined));
    return { name: /** @type {HTMLInputElement} */ (name).value.trim(), settings };
  }
  /** The field that a message is about is the first whose option it names. @param {string} message */
  function tell(message) {
    for (const one of fields) fill(one.error);
    fill(nameError);
    fill(general);
    if (!message) return;
    const named = [...message.matchAll(/--(?:no-)?([a-z][a-z-]*)/g)].map((found) => found[1]);
    const about = named.map((option) => fields.find((one) => one.option.name === option)).find(Boolean);
    const place = about ? about.error : named.includes("out") ? nameError : general;
    const folded = about?.row.closest("details");
    if (folded) /** @type {HTMLDetailsElement} */ (folded).open = true;
    fill(place, place === general ? problem(message) : message);
  }
  let asked = 0;
  async function check() {
    const number = ++asked;
    try {
      const found = await send("/api/searches/check", posted());
      if (number !== asked) return;
      tell("");
      fill(command, found.command);
      start.disabled = false;
    } catch (error) {
      if (number !== asked) return;
      tell(/** @type {Error} */ (error).message);
      start.disabled = true;
    }
  }
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    start.disabled = true;
    try {
      const found = await send("/api/searches", posted());
      location.href = `/runs/${inAddress(found.name)}/-/live`;
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
      start.disabled = false;
    }
  }
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MS);
    fill(copy, "Copy");
  };
  fill(content, el("h1", {}, TITLE),
    el("form", { onsubmit: submit, oninput: soon, onchange: soon, novalidate: true }, sections,
      el("fieldset", {}, el("legend", {}, "run"),
        el("div", { class: "field" }, el("label", { for: "name" }, "name"), name,
          el("p", { class: "soft", id: "name-text" }, "Of its folder; by default of data set, space and date."), nameError)),
      general, el("h2", {}, "This will be run"), command, el("p", {}, start, " ", copy)));
  await check();
}

/** What stands between backticks is code. @param {string} text */
const marked = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));

/** @param {Option} option @returns {Field} */
function field(option) {
  const id = `option-${option.name}`, error = el("p", { class: "problem", id: `${id}-error` });
  const about = { "aria-describedby": `${id}-error ${id}-text` };
  const text = el("p", { class: "soft", id: `${id}-text` }, marked(option.text), option.default && !option.choices.length && ` (default: ${option.default})`);
  const label = (/** @type {string} */ tag, /** @type {object} */ more = {}) => el(tag, more, el("code", {}, `--${option.name}`));
  const row = (/** @type {Node[]} */ ...parts) => el("div", { class: "field" }, ...parts, text, error);
  if (option.is_list && option.choices.length) {
    const boxes = option.choices.map((choice) => /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", value: choice })));
    for (const box of boxes) box.checked = option.default.split(" ").includes(box.value);
    const values = () => boxes.filter((box) => box.checked).map((box) => box.value);
    const group = el("div", { role: "group", "aria-label": option.name, ...about }, boxes.map((box) => el("label", { class: "choice" }, box, ` ${box.value}`)));
    return { option, error, row: row(label("span"), group), value: () => (values().join(" ") === option.default ? undefined : values()) };
  }
  if (option.kind === "boolean" && !option.may_be_none) {
    const on = option.default === "yes";
    const box = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", id, checked: on, ...about }));
    return { option, error, row: row(el("label", { class: "choice" }, box, " ", label("span"))), value: () => (box.checked === on ? undefined : box.checked) };
  }
  const choices = option.kind === "boolean" ? ["yes", "no"] : option.choices;
  const named = label("label", { for: id });
  if (choices.length) {
    const none = option.may_be_none || !option.default ? [el("option", { value: "" }, "by itself")] : [];
    const select = /** @type {HTMLSelectElement} */ (el("select", { id, ...about }, none,
      choices.map((choice) => el("option", { value: choice, selected: choice === option.default }, choice))));
    const first = select.value;
    return { option, error, row: row(named, select), value: () => (select.value === first ? undefined : select.value) };
  }
  const input = /** @type {HTMLInputElement} */ (el("input", {
    id, placeholder: option.default || null, autocomplete: "off", inputmode: option.kind === "text" || option.is_list ? null : "decimal", ...about,
  }));
  return { option, error, row: row(named, input), value: () => input.value.trim() || undefined };
}
