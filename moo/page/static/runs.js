// The list of runs, and a few of them compared.

import { chart, chartPlace, PALETTE, SYMBOLS } from "page/chart.js";
import { ask, el, fill, inAddress, lamp, table } from "page/dom.js";
import { cost, duration, percent, short, when } from "page/numbers.js";

export const TITLE = "Runs";
const AGAIN_MS = 5000, MOST = 4;
const error = (/** @type {any} */ f) =>
  f.best_error !== null && `${percent(f.best_error)} (${f.error_kind === "plain" ? "" : `${f.error_kind}, `}${f.error_source})`;
const networks = (/** @type {any} */ f) => f.points > 0 && (f.points === f.networks ? f.networks : `${f.networks} in ${f.points} points`);
const searched = (/** @type {any} */ f) => f.seconds !== null && duration(f.seconds);
const volume = (/** @type {any} */ f) => f.hypervolume !== null && f.hypervolume.toFixed(4);
const address = (/** @type {any} */ run) => `/runs/${inAddress(run.name)}/-/${["ended", undefined].includes(run.state) ? "front" : "live"}`;
const state = (/** @type {any} */ run) =>
  el("span", { class: "state" }, lamp(run.state), run.detail && el("span", { class: "soft" }, `: ${run.detail}`));

/** Heads, what rows are sorted by, and cells. @type {[string, (run: any) => any, (run: any) => any][]} */
const COLUMNS = [
  ["run", (run) => run.name, (run) => el("a", { href: address(run) }, run.name)],
  ["state", (run) => run.state, state],
  ["data set", (run) => run.figures.dataset, (run) => run.figures.dataset],
  ["space", (run) => run.figures.space, (run) => run.figures.space],
  ["board", (run) => run.figures.boards.join(), (run) => run.figures.boards.join(", ")],
  ["hypervolume", (run) => run.figures.hypervolume, (run) => volume(run.figures)],
  ["least error", (run) => run.figures.best_error, (run) => error(run.figures)],
  ["networks of the front", (run) => run.figures.networks, (run) => networks(run.figures)],
  ["searched for", (run) => run.figures.seconds, (run) => searched(run.figures)],
  ["started (UTC)", (run) => run.figures.started || "9", (run) => when(run.figures.started)],
];

/** @param {HTMLElement} content */
export async function show(content) {
  const compared = new URLSearchParams(location.search).getAll("run");
  if (compared.length) return compare(content, compared);
  const place = el("div"), hint = el("span", { class: "soft", role: "status" }), chosen = new Set();
  const address = () => `/?${[...chosen].map((name) => `run=${encodeURIComponent(name)}`).join("&")}`;
  const button = /** @type {HTMLButtonElement} */ (el("button", { onclick: () => location.assign(address()) }, "Compare"));
  let column = COLUMNS.length - 1, down = true, shown = "";

  function choose(/** @type {string} */ name) {
    if (!chosen.delete(name)) chosen.add(name);
    count();
  }
  function count() {
    button.disabled = chosen.size < 2 || chosen.size > MOST;
    fill(hint, ` ${chosen.size} chosen; 2 to ${MOST} can be compared. Hypervolumes compare on the same images, space and board.`);
  }
  /** @param {any[]} runs */
  function draw(runs) {
    const by = COLUMNS[column][1], sorted = [...runs].sort((a, b) => (down ? -1 : 1) * order(by(a), by(b)));
    const sort = (/** @type {number} */ number) => {
      [column, down] = [number, number === column && !down];
      draw(runs);
      /** @type {HTMLElement} */ (place.querySelectorAll("th button")[number]).focus();
    };
    const heads = COLUMNS.map(([head], number) =>
      el("button", { class: "head", onclick: () => sort(number) }, head, number === column && (down ? " ▾" : " ▴")));
    const box = (/** @type {any} */ run) => el("input", { type: "checkbox", "aria-label": `compare ${run.name}`,
      checked: chosen.has(run.name), disabled: !run.figures.points, onchange: () => choose(run.name) });
    fill(place, table(["compare", ...heads], sorted.map((run) => [box(run), ...COLUMNS.map(([, , cell]) => cell(run))]), TITLE));
    place.querySelectorAll("th")[column + 1].setAttribute("aria-sort", down ? "descending" : "ascending");
    count();
  }
  async function load() {
    const { runs } = await ask("/api/runs"), now = JSON.stringify(runs);
    if (now === shown) return;
    if (!runs.length) fill(content, el("h1", {}, TITLE), el("p", {}, "There is no run yet. ", el("a", { href: "/new" }, "Start one.")));
    else if (!place.isConnected) fill(content, el("h1", {}, TITLE), el("p", {}, button, hint), place);
    if (runs.length) draw(runs);
    shown = now;
  }
  await load();
  setInterval(() => document.hidden || place.contains(document.activeElement) || load().catch(() => undefined), AGAIN_MS);
}

/** What is not known comes first. @param {any} a @param {any} b */
const order = (a, b) => (a === b ? 0 : a === null || (b !== null && a < b) ? -1 : 1);

/** @param {HTMLElement} content @param {string[]} names */
async function compare(content, names) {
  /** @type {{runs: {name: string, front: any[], figures: any}[], settings: any[], why_not: string}} */
  const { runs, settings, why_not } = await ask(`/api/compare?${names.map((name) => `run=${encodeURIComponent(name)}`).join("&")}`);
  const drawing = chartPlace("Fronts of the runs"), axis = /** @type {HTMLSelectElement} */ (el("select", { onchange: () => draw() },
    el("option", { value: "latency" }, "latency"), el("option", { value: "energy" }, "energy")));
  const heads = () => ["", ...runs.map((run) => el("a", { href: address(run) }, run.name))];
  const row = (/** @type {string} */ word, /** @type {(figures: any) => any} */ cell) => [word, ...runs.map((run) => cell(run.figures))];
  const reference = ([error, ms, mj] = [NaN, NaN, NaN]) => `${percent(error)}, ${short(ms)} ms, ${short(mj)} mJ`;
  fill(content, el("h1", {}, "Runs compared"), el("p", {}, el("label", {}, "Error on the selection split against ", axis)), drawing,
    el("h2", {}, "What they found"),
    table(heads(), [row("networks of the front", (f) => networks(f) || "none"), row("least error", error), row("searched for", searched),
      ...(why_not ? [] : [row("hypervolume", volume)]), row("reference point", (f) => f.reference && reference(f.reference))], "Found"),
    why_not && el("p", { class: "soft" }, `Hypervolumes do not compare: ${why_not}.`),
    el("h2", {}, "Settings that differ"),
    settings.length ? table(heads(), settings.map((one) => [el("code", {}, one.option), ...one.values]), "Settings") : "None.");
  const draw = await chart(drawing, () => {
    const [unit, key, source] = axis.value === "energy" ? ["mJ", "energy_mj", "energy_source"] : ["ms", "latency_ms", "latency_source"];
    const hover = (/** @type {string} */ name, /** @type {any} */ p) => [name, `${p.id} ${p.configuration}`,
      `${percent(p.error)} (${p.error_source})`,
      cost(p.latency_ms, "ms", p.latency_source), cost(p.energy_mj, "mJ", p.energy_source)].map(escaped).join("<br>");
    const data = runs.map(({ name, front }, number) => ({
      name: escaped(name), mode: "markers", hoverinfo: "text", marker: { symbol: SYMBOLS[number], color: PALETTE[number], size: 9 },
      x: front.map((p) => p[key]), y: front.map((p) => 100 * p.error), text: front.map((p) => hover(name, p)) }));
    const sources = [...new Set(runs.flatMap((run) => run.front.map((p) => p[source])))].join(" and ");
    return { data, layout: { showlegend: true, yaxis: { title: { text: "error (%)" } },
      xaxis: { type: "log", title: { text: `${axis.value} (${unit}${sources && `, ${sources}`})` } } } };
  });
}

/** Plotly knows a few tags. @param {string} text */
const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
