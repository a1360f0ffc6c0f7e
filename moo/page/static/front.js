// The front of a run among all that was evaluated: linked panes, limits, choices, a table, CSV.

import { QUANTITIES, bestWithin, excesses, nearestTo } from "page/choosing.js";
import { ask, byId, el, fill, inAddress, select } from "page/dom.js";
import { percent, short } from "page/numbers.js";
import { legend, lookOf, panes } from "page/panes.js";

/** @typedef {import("./choosing.js").Point} Point */
/** @typedef {{kind: string, title: string, latency_name: string, latency_ms: string, energy_mj: string,
 *   choices: Record<string, [string, number][]>}} Kind */
/** @typedef {{run: string, note: string, kinds: Kind[], told: string, error: string, guess: string, guessing: number | null,
 *   networks: number, heads: string[], columns: string[], rows: any[][], stamp?: string}} Content of moo.report.explored */

export const TITLE = "Front";
const [POLLS_APART_MS, ROWS, STEPS] = [2000, 100, 400];
const LATER_MS = 100; // The table follows a slider when that rests.
const FILTERS = [["runtime", "Runtime", ""],
  ["threads", "Threads", ""], ["frequency_mhz", "Clock", " MHz"], ["precision", "Precision", ""]];

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const place = `/api/runs/${inAddress(run)}/-/front`;
  import("page/plotly.js"); // While the server reads the run.
  let found = await ask(place);
  const page = frontPage(content, found, (id) => `/runs/${inAddress(run)}/-/network/${encodeURIComponent(id)}`);
  const look = async () => {
    if (!content.contains(page.list)) return;
    try {
      const now = document.hidden ? found : await ask(`${place}?since=${found.stamp}`);
      if (now.stamp !== found.stamp) page.update((found = now));
      fill(page.said);
    } catch (error) {
      fill(page.said, error instanceof Error ? error.message : String(error));
    }
    setTimeout(look, POLLS_APART_MS);
  };
  setTimeout(look, POLLS_APART_MS);
}

/** The page as a single file, with what the run had when it was written. */
export function explore() {
  const content = JSON.parse(byId("data").textContent ?? "");
  document.title = `${TITLE} · ${content.run}`;
  fill(byId("top"), el("strong", {}, content.run));
  frontPage(byId("content"), content, null);
}

/** @param {Content} content @returns {any[]} points */
const pointsOf = ({ columns, rows }) => rows.map((row) => Object.fromEntries(row.map((value, place) => [columns[place], value])));

/** @param {any} value @returns {string} a field that no spreadsheet takes for a formula */
export function csvField(value) {
  const text = value === null ? "" : Array.isArray(value) ? value.join(" in ") : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {HTMLElement} content @param {Content} data @param {((id: string) => string) | null} open address of a network's page */
function frontPage(content, data, open) {
  /** @type {{all: Point[], groups: import("./panes.js").Group[], chosen: Point[], marked: string | null,
   *   filters: Record<string, string>, due: number}} */
  const now = { all: pointsOf(data), groups: [], chosen: [], marked: null, filters: {}, due: 0 };
  const limits = /** @type {import("./choosing.js").Limits} */ ({ latency_ms: null, energy_mj: null, error: null });
  const wanted = { dominated: true, baselines: true, kind: "", rows: ROWS };
  const [said, controls, choices] = ["problem", "controls", "choices"].map((name) => el("div", { class: name, role: "status" }));
  const [summary, key, list] = [el("p"), el("p", { class: "keys" }), el("div")];
  const kind = () => data.kinds.find((one) => one.kind === (wanted.kind || data.told)) ?? data.kinds[0];
  const errorLabel = () => `${data.error} on the selection split (%)`;
  const opens = (/** @type {Point} */ point) => (open && point.kind !== "baseline" ? open(point.id) : null);
  const charts = panes(
    () => ({ ...now, limits, guessing: data.guessing, revision: kind().kind, labels: { ...kind(), error: errorLabel() } }),
    (point) => mark(point?.id ?? null), (point) => opens(point) && location.assign(String(opens(point))));
  const drawn = el("div", { class: "panes", "aria-busy": "true" }, charts.places);
  fill(content, el("h1", {}, TITLE), said, summary, controls, choices, key, drawn, list);

  /** All that is shown, limits apart. */
  const points = () => now.all.filter((point) =>
    (point.kind === kind().kind || (point.kind === "baseline" && wanted.baselines && kind().kind !== "inherited"))
    && (point.front || point.kind === "baseline" || wanted.dominated)
    && FILTERS.every(([name]) => !now.filters[name] || String(point[name]) === now.filters[name]));
  const within = () => points().filter((point) => !excesses(point, limits).length);

  /** @param {string | null} id */
  function mark(id) {
    if (id === now.marked) return;
    now.marked = id;
    charts.mark();
    for (const row of list.querySelectorAll("tbody tr")) row.classList.toggle("marked", row.getAttribute("data-network") === id);
  }

  /** All anew: points were added, or others are wanted. */
  function draw() {
    drawn.hidden = !data.rows.length;
    if (drawn.hidden) return fill(summary, "Nothing was evaluated yet: points appear here as trials end.");
    const shown = points();
    const front = shown.filter((point) => point.front);
    const labels = [...new Set(now.all.filter((point) => point.front).map((point) => point.configuration))].sort();
    now.groups = [
      { name: "dominated", symbol: "circle", colour: "#8a8a92", size: 5, many: true,
        points: shown.filter((one) => !one.front && one.kind !== "baseline") },
      { name: "on the front, not to be told apart from a cheaper one", symbol: "circle-open", colour: "#7a7a7a", size: 8,
        points: front.filter((one) => one.same_as) },
      ...labels.map((label, place) => ({ name: labels.length > 1 ? `on the front, ${label}` : "on the front", ...lookOf(place), size: 9,
        points: front.filter((one) => !one.same_as && one.configuration === label) })),
      { name: "baseline", colour: "#7a7a7a", symbol: "star", size: 12, points: shown.filter((one) => one.kind === "baseline") },
    ].filter((group) => group.points.length);
    fill(summary, `${data.networks} networks evaluated, ${new Set(front.map((one) => one.id)).size} of them on the front that is shown, in `
      + `${front.length} operating point${front.length === 1 ? "" : "s"}. ${data.note}`);
    fill(key, legend(now.groups), el("span", {}, "◌ chosen"),
      data.guessing !== null && el("span", {}, `┈ ${data.guess}: ${percent(data.guessing)}`));
    choose();
    charts.draw().then(() => drawn.removeAttribute("aria-busy"));
    listed();
  }

  /** The same as select_network.py. */
  function choose() {
    const front = points().filter((point) => point.front);
    now.chosen = [];
    if (!front.length) return fill(choices, "There is no front to choose from: ",
      kind().kind === "trained" ? "not all networks of the front are trained." : "none of its points is in this configuration.");
    const asked = FILTERS.map(([name]) => now.filters[name] ?? "").join("/");
    const three = kind().choices[asked].map(([name, place]) => ({ name, point: now.all[place] }));
    const [limited, best] = [QUANTITIES.some((one) => limits[one] !== null), bestWithin(front, limits)];
    const nearest = best ?? nearestTo(front, limits);
    const told = limited ? [{ name: best ? "most accurate within the limits" : "nearest", point: nearest }] : three;
    now.chosen = told.map((one) => one.point);
    fill(choices, !best && el("p", { class: "problem" }, `No point of ${front.length} is within the limits; the nearest, ${nearest.id} in `
      + `${nearest.configuration}, has ${excesses(nearest, limits).map(excessText).join(", ")}.`),
      el("ul", {}, [...told, ...(limited ? three : [])].map(({ name, point }) =>
        el("li", {}, el("strong", {}, name), ": ", link(point), ` in ${point.cells.slice(0, 5).filter(Boolean).join("; ")}`))),
      three[0].point.beats_guessing === false && `The best network is not better than ${data.guess}: too few images or too short.`);
  }

  /** @param {import("./choosing.js").Excess} one */
  function excessText({ quantity, value, limit, ratio }) {
    const unit = quantity === "latency_ms" ? "ms" : "mJ";
    const text = (/** @type {number} */ one) => (quantity === "error" ? percent(one) : `${short(one)} ${unit}`);
    const name = quantity === "latency_ms" ? kind().latency_name : quantity.split("_")[0];
    return `${name} ${text(value)} where ${text(limit)} is allowed (+${short(100 * ratio)} %)`;
  }
  const link = (/** @type {Point} */ point) => el(opens(point) ? "a" : "span",
    { href: opens(point), onfocus: () => mark(point.id), onblur: () => mark(null) }, point.id);

  function listed() {
    const found = within();
    const columns = [...data.heads.keys()].filter((place) => found.some((point) => point.cells[place]));
    const row = (/** @type {Point} */ point) => el("tr", { "data-network": point.id, class: point.id === now.marked && "marked",
      onmouseenter: () => mark(point.id), onmouseleave: () => mark(null) },
      el("td", {}, link(point)), columns.map((place) => el("td", {}, point.cells[place])));
    const heads = ["network", ...columns.map((place) => data.heads[place])].map((head) => el("th", { scope: "col" }, head));
    const more = () => { wanted.rows += ROWS; listed(); };
    const head = `${found.length} of ${points().length} points are within the limits.`;
    fill(list, el("h2", {}, "Networks"), el("p", { class: "keys" }, head, el("button", { onclick: download }, "Download CSV")),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Networks" },
        el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, found.slice(0, wanted.rows).map(row)))),
      found.length > wanted.rows && el("button", { onclick: more }, `Show ${ROWS} more`));
  }

  function download() {
    const names = data.columns.filter((name) => name !== "cells" && name !== "about");
    const lines = [names, ...within().map((point) => names.map((name) => point[name]))].map((line) => line.map(csvField).join(","));
    const place = URL.createObjectURL(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
    el("a", { href: place, download: `${data.run.replace(/[^\w.-]+/g, "_")}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(place), 10_000);
  }

  /** @param {typeof QUANTITIES[number]} quantity @param {string} label @param {number} unit a figure times it is shown */
  function slider(quantity, label, unit) {
    const [bar, box] = /** @type {HTMLInputElement[]} */ ([
      el("input", { type: "range", max: STEPS, value: STEPS, "aria-label": `${label}, at most, as a slider` }),
      el("input", { type: "number", min: 0, step: "any", placeholder: "no limit", "aria-label": `${label}, at most` }),
    ]);
    const changed = (/** @type {HTMLInputElement} */ by) => {
      const values = points().map((point) => unit * point[quantity]).filter((value) => value > 0);
      const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), 0)];
      const place = Number(bar.value) / STEPS;
      if (by === bar) box.value = place >= 1 || !high ? "" : String(Number(short(low * (high / low) ** place)));
      const typed = Number(box.value);
      if (by === box) bar.value = String(typed > 0 && high > low ? (STEPS * Math.log(typed / low)) / Math.log(high / low) : STEPS);
      limits[quantity] = typed > 0 ? typed / unit : null;
      choose();
      charts.limit();
      clearTimeout(now.due);
      now.due = window.setTimeout(listed, LATER_MS);
    };
    for (const input of [bar, box]) input.addEventListener("input", () => changed(input));
    return el("label", {}, el("span", {}, label), bar, box);
  }
  const sliders = [slider("latency_ms", "Latency (ms)", 1), slider("energy_mj", "Energy (mJ)", 1), slider("error", "Error (%)", 100)];

  const check = (/** @type {"dominated" | "baselines"} */ name, /** @type {string} */ label) => el("label", { class: "check" },
    el("input", { type: "checkbox", checked: wanted[name], onchange: () => { wanted[name] = !wanted[name]; draw(); } }), ` ${label}`);

  function control() {
    const filters = FILTERS.flatMap(([name, label, unit]) => {
      const values = [...new Set(now.all.map((point) => point[name]))].sort((a, b) => (a < b ? -1 : 1));
      const options = [["", "any"], ...values.map((value) => [String(value), value === null ? "the governor's" : `${value}${unit}`])];
      const filter = (/** @type {string} */ value) => { now.filters[name] = value; draw(); };
      return values.length > 1 ? [select(label, options, now.filters[name] ?? "", filter)] : [];
    });
    const choose = (/** @type {string} */ value) => { wanted.kind = value; draw(); };
    fill(controls, ...data.rows.length ? [
      data.kinds.length > 1 && select("Choose among", data.kinds.map((one) => [one.kind, one.title]), kind().kind, choose),
      ...filters, ...sliders, check("dominated", "dominated networks"),
      now.all.some((point) => point.kind === "baseline") && check("baselines", "baselines, beside trained networks")] : []);
  }

  draw();
  control();
  return { said, list, update: (/** @type {Content} */ found) => {
    const before = data.rows.length && data.kinds.length;
    [data, now.all] = [found, pointsOf(found)];
    draw();
    if (before !== data.kinds.length) control();
  } };
}
