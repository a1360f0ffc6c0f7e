// The list of runs, and a few of them compared.

import { chart, chartPlace, PALETTE, SYMBOLS } from "page/chart.js";
import { ask, el, fill, inAddress, lamp, problem, table } from "page/dom.js";
import { cost, duration, percent, short, when } from "page/numbers.js";

export const TITLE = "Runs";
const AGAIN_MS = 5000;
const MOST = 4;

/** @type {[string, (run: any) => any][]} heads, and what rows are sorted by */
const COLUMNS = [
  ["run", (run) => run.name],
  ["state", (run) => run.state],
  ["data set", (run) => run.figures.dataset],
  ["space", (run) => run.figures.space],
  ["board", (run) => run.figures.boards.join(", ")],
  ["hypervolume", (run) => run.figures.hypervolume],
  ["least error", (run) => run.figures.best_error],
  ["networks on the front", (run) => run.figures.networks],
  ["searched for", (run) => run.figures.seconds],
  ["started (UTC)", (run) => run.figures.started || "9"],
];

/** @param {HTMLElement} content */
export async function show(content) {
  const compared = new URLSearchParams(location.search).getAll("run");
  if (compared.length) return compare(content, compared);
  let sorted = { column: COLUMNS.length - 1, down: true };
  /** @type {Set<string>} */
  const chosen = new Set();
  const place = el("div"), button = el("button", { onclick: () => open() }, "Compare");
  const hint = el("span", { class: "soft" });
  let shown = "";

  function open() {
    location.href = `/?${[...chosen].map((name) => `run=${encodeURIComponent(name)}`).join("&")}`;
  }
  function count() {
    /** @type {HTMLButtonElement} */ (button).disabled = chosen.size < 2 || chosen.size > MOST;
    fill(hint, ` ${chosen.size} chosen; 2 to ${MOST} can be compared.`);
  }
  /** @param {any[]} runs */
  function draw(runs) {
    const by = COLUMNS[sorted.column][1];
    const rows = [...runs].sort((a, b) => (sorted.down ? -1 : 1) * order(by(a), by(b)));
    const heads = COLUMNS.map(([head], number) => el("button", {
      class: "head",
      onclick: () => {
        sorted = { column: number, down: sorted.column === number && !sorted.down };
        draw(runs);
        /** @type {HTMLElement} */ (place.querySelectorAll("th button")[number]).focus();
      },
    }, head, sorted.column === number && (sorted.down ? " ▾" : " ▴")));
    fill(place, table([el("span", { class: "soft" }, "compare"), ...heads], rows.map((run) => [box(run), ...cells(run)]), "Runs"));
    place.querySelectorAll("th")[sorted.column + 1].setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    count();
  }
  /** @param {any} run */
  const box = (run) => el("input", {
    type: "checkbox", "aria-label": `compare ${run.name}`, checked: chosen.has(run.name), disabled: !run.figures.points,
    onchange: (/** @type {Event} */ event) => {
      if (/** @type {HTMLInputElement} */ (event.target).checked) chosen.add(run.name);
      else chosen.delete(run.name);
      count();
    },
  });
  async function load() {
    const { runs } = await ask("/api/runs");
    const now = JSON.stringify(runs);
    if (now === shown) return;
    if (!runs.length) fill(content, el("h1", {}, TITLE), el("p", {}, "There is no run yet. ", el("a", { href: "/new" }, "Start one."), " "));
    else if (!shown || !place.isConnected) fill(content, el("h1", {}, TITLE), el("p", {}, button, hint), place);
    if (runs.length) draw(runs);
    shown = now;
  }
  await load();
  const timer = setInterval(() => {
    if (!content.isConnected) clearInterval(timer);
    else if (!document.hidden && !place.contains(document.activeElement)) load().catch(() => undefined);
  }, AGAIN_MS);
}

/** @param {any} a @param {any} b */
const order = (a, b) => (a === null ? 1 : b === null ? -1 : a < b ? -1 : a > b ? 1 : 0);

/** @param {any} run */
function cells(run) {
  const f = run.figures, place = `/runs/${inAddress(run.name)}/-/`;
  const known = run.state !== "unreadable";
  return [
    el("a", { href: `${place}${run.state === "ended" ? "front" : "live"}` }, run.name),
    el("span", { class: "state" }, lamp(run.state), el("span", { class: "soft" }, run.detail && `: ${run.detail}`)),
    f.dataset, f.space, known && f.boards.join(", "),
    f.hypervolume === null ? "" : f.hypervolume.toFixed(4),
    f.best_error === null ? "" : `${percent(f.best_error)} (${f.error_kind === "plain" ? "" : `${f.error_kind}, `}${f.error_source})`,
    f.points ? `${f.networks} in ${f.points} points` : "",
    f.seconds === null ? "" : duration(f.seconds), when(f.started),
  ];
}

/** @param {HTMLElement} content @param {string[]} names */
async function compare(content, names) {
  const found = await ask(`/api/compare?${names.map((name) => `run=${encodeURIComponent(name)}`).join("&")}`);
  const drawing = chartPlace("Fronts of the runs"), cost_of = el("select", { "aria-label": "cost", onchange: () => draw() },
    el("option", { value: "latency_ms" }, "latency"), el("option", { value: "energy_mj" }, "energy"));
  const heads = ["", ...found.runs.map((/** @type {any} */ run) => el("a", { href: `/runs/${inAddress(run.name)}/-/front` }, run.name))];
  /** @param {string} word @param {(figures: any) => any} cell */
  const row = (word, cell) => [word, ...found.runs.map((/** @type {any} */ run) => cell(run.figures))];
  fill(content, el("h1", {}, "Runs compared"), el("p", {}, el("a", { href: "/" }, "All runs")),
    el("p", {}, el("label", {}, "Error against ", cost_of)), drawing,
    el("h2", {}, "What they found"),
    table(heads, [
      row("least error", (f) => (f.best_error === null ? "" : `${percent(f.best_error)} (${f.error_source}, selection split)`)),
      row("networks on the front", (f) => `${f.networks} in ${f.points} points`),
      row("searched for", (f) => (f.seconds === null ? "" : duration(f.seconds))),
      !found.why_not && row("hypervolume", (f) => (f.hypervolume === null ? "" : f.hypervolume.toFixed(4))),
      row("reference point", (f) => f.reference && `${percent(f.reference[0])}, ${short(f.reference[1])} ms, ${short(f.reference[2])} mJ`),
    ].filter(Boolean), "What they found"),
    found.why_not && el("p", { class: "soft" }, `Hypervolumes are left out, as ${found.why_not}.`),
    el("h2", {}, "Settings that differ"),
    found.settings.length
      ? table(heads, found.settings.map((/** @type {any} */ one) => [el("code", {}, one.option), ...one.values]), "Settings that differ")
      : el("p", {}, "None."));
  const draw = await chart(drawing, () => {
    const key = /** @type {HTMLSelectElement} */ (cost_of).value, energy = key === "energy_mj";
    const data = found.runs.map((/** @type {any} */ run, /** @type {number} */ number) => ({
      name: run.name, mode: "markers", type: "scatter", x: run.front.map((/** @type {any} */ p) => p[key]),
      y: run.front.map((/** @type {any} */ p) => 100 * p.error), hoverinfo: "text", marker: { symbol: SYMBOLS[number], color: PALETTE[number], size: 9 },
      text: run.front.map((/** @type {any} */ p) => `${escaped(run.name)}<br>${escaped(p.id)} ${escaped(p.configuration)}<br>${percent(p.error)} (${escaped(p.error_source)})<br>` +
        `${cost(p.latency_ms, "ms", p.latency_source)}<br>${cost(p.energy_mj, "mJ", p.energy_source)}`),
    }));
    const sources = [...new Set(found.runs.flatMap((/** @type {any} */ run) => run.front.map((/** @type {any} */ p) => (energy ? p.energy_source : p.latency_source))))];
    return { data: data.map((/** @type {any} */ one) => ({ ...one, name: escaped(one.name) })), layout: {
      showlegend: true, xaxis: { title: { text: energy ? `energy (mJ, ${sources.join(" and ")})` : `latency (ms, ${sources.join(" and ")})` }, type: "log" },
      yaxis: { title: { text: "error (%)" } },
    } };
  });
  if (found.runs.some((/** @type {any} */ run) => !run.front.length)) drawing.after(problem("One of the runs has no front yet."));
}

/** @param {string} text @returns {string} as plotly, which knows a few tags, shows it as it is */
const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
