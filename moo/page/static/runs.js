// The list of runs, and a few of them compared.

import { chart, chartPlace, PALETTE, SYMBOLS } from "page/chart.js";
import { ask, cell, el, fill, select, shown, table } from "page/dom.js";

export const TITLE = "Runs";
const AGAIN_MS = 5000, MOST = 4;
/** @typedef {{name: string, state: string, comparable: boolean, cells: import("page/dom.js").Cell[], keys: any[]}} Run */

/** @param {HTMLElement} content */
export async function show(content) {
  const compared = new URLSearchParams(location.search).getAll("run");
  if (compared.length) return compare(content, compared);
  const place = el("div"), hint = el("span", { class: "soft", role: "status" }), chosen = new Set();
  const address = () => `/?${[...chosen].map((name) => `run=${encodeURIComponent(name)}`).join("&")}`;
  const button = /** @type {HTMLButtonElement} */ (el("button", { onclick: () => location.assign(address()) }, "Compare"));
  let column = -1, down = true, before = "";

  function choose(/** @type {string} */ name) {
    if (!chosen.delete(name)) chosen.add(name);
    count();
  }
  function count() {
    button.disabled = chosen.size < 2 || chosen.size > MOST;
    fill(hint, ` ${chosen.size} chosen; 2 to ${MOST} can be compared. Hypervolumes compare on the same images, space and board.`);
  }
  /** @param {Run[]} runs @param {string[]} titles the last column is that by which they are sorted at first */
  function draw(runs, titles) {
    if (column < 0) column = titles.length - 1;
    const sorted = [...runs].sort((a, b) => (down ? -1 : 1) * order(a.keys[column], b.keys[column]));
    const sort = (/** @type {number} */ number) => {
      [column, down] = [number, number === column && !down];
      draw(runs, titles);
      /** @type {HTMLElement} */ (place.querySelectorAll("th button")[number]).focus();
    };
    const heads = titles.map((head, number) =>
      el("button", { class: "head", onclick: () => sort(number) }, head, number === column && (down ? " ▾" : " ▴")));
    const box = (/** @type {Run} */ run) => el("input", { type: "checkbox", "aria-label": `compare ${run.name}`,
      checked: chosen.has(run.name), disabled: !run.comparable, onchange: () => choose(run.name) });
    fill(place, table(["compare", ...heads], sorted.map((run) => [box(run), ...run.cells.map(cell)]), TITLE));
    place.querySelectorAll("th")[column + 1].setAttribute("aria-sort", down ? "descending" : "ascending");
    count();
  }
  async function load() {
    const { runs, heads } = await ask("/api/runs"), now = JSON.stringify(runs);
    if (now === before) return;
    if (!runs.length) fill(content, el("h1", {}, TITLE), el("p", {}, "There is no run yet. ", el("a", { href: "/new" }, "Start one.")));
    else if (!place.isConnected) fill(content, el("h1", {}, TITLE), el("p", {}, button, hint), place);
    if (runs.length) draw(runs, heads);
    before = now;
  }
  await load();
  setInterval(() => document.hidden || place.contains(document.activeElement) || load().catch(() => undefined), AGAIN_MS);
}

/** What is not known comes first. @param {any} a @param {any} b */
const order = (a, b) => (a === b ? 0 : a === null || (b !== null && a < b) ? -1 : 1);

/** @param {HTMLElement} content @param {string[]} names */
async function compare(content, names) {
  const query = new URLSearchParams(names.map((name) => ["run", name]));
  /** @type {{runs: {name: string, front: any[]}[], axes: any[], found: any, settings: any, why_not: string}} */
  const { runs, axes, found, settings, why_not } = await ask(`/api/compare?${query}`);
  let axis = axes[0];
  const drawing = chartPlace("Fronts of the runs");
  const change = (/** @type {string} */ name) => {
    axis = axes.find((one) => one.name === name);
    draw();
  };
  const against = select("Error on the selection split against", axes.map((one) => one.name), axis.name, change);
  fill(content, el("h1", {}, "Runs compared"), el("p", {}, against), drawing, el("h2", {}, "What they found"), shown(found),
    why_not && el("p", { class: "soft" }, `Hypervolumes do not compare: ${why_not}.`),
    el("h2", {}, "Settings that differ"), settings ? shown(settings) : "None.");
  const draw = await chart(drawing, () => {
    const data = runs.map(({ name, front }, number) => ({
      name, mode: "markers", hoverinfo: "text", marker: { symbol: SYMBOLS[number], color: PALETTE[number], size: 9 },
      x: front.map((point) => point[axis.figure]), y: front.map(({ error }) => 100 * error), text: front.map(({ told }) => told) }));
    return { data, layout: { showlegend: true, yaxis: { title: { text: "error (%)" } },
      xaxis: { type: "log", title: { text: axis.label } } } };
  });
}
