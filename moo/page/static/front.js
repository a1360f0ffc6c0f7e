// The front of a run among all that was evaluated: linked panes, limits, choices, a table, CSV.

import { NO_LIMITS, QUANTITIES, bestWithin, excesses, knee, nearestTo, threeChoices } from "page/choosing.js";
import { ask, byId, el, fill, inAddress } from "page/dom.js";
import { cost, percent, short } from "page/numbers.js";
import { legend, lookOf, panes } from "page/panes.js";

/** @typedef {import("./choosing.js").Point} Point */
/** @typedef {{run: string, note: string, kinds: string[], told: string, error: string, guess: string, guessing: number | null, energy: string,
 *   exits_energy: string | null, networks: number, columns: string[], rows: any[][], stamp?: string}} Content */

export const TITLE = "Front";
const POLLS_APART_MS = 2000;
const ROWS = 100;
const STEPS = 400;
/** What is chosen among: names of `--adaptive` and `--worst-case`, too. */
const AMONG = /** @type {Record<string, string>} */ ({ inherited: "inherited weights", trained: "trained networks", exits: "early exits, expected latency", worst: "early exits, longest way" });
const FILTERS = /** @type {const} */ ([["threads", "Threads", ""], ["frequency_mhz", "Clock", " MHz"], ["precision", "Precision", ""]]);
const FIELDS = ["kind", "weights", "id", "configuration", "threads", "frequency_mhz", "precision", "number", "error", "error_low", "error_high", "test_error",
  "test_error_low", "test_error_high", "beats_guessing", "latency_ms", "worst_latency_ms", "latency_source", "energy_mj", "energy_source", "energy_error",
  "energy_kind", "params", "front", "same_as", "exits"];

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const place = `/api/runs/${inAddress(run)}/-/front`;
  let found = await ask(place);
  const page = frontPage(content, found, (id) => `/runs/${inAddress(run)}/-/network/${encodeURIComponent(id)}`);
  const look = async () => {
    if (!page.isConnected()) return;
    if (!document.hidden) {
      try {
        const now = await ask(`${place}?since=${found.stamp}`);
        if (now.stamp !== found.stamp) page.update((found = now));
        page.say("");
      } catch (error) {
        page.say(error instanceof Error ? error.message : String(error));
      }
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

/** @param {Content} content @returns {Point[]} */
const pointsOf = (content) => content.rows.map((row) => /** @type {any} */ (Object.fromEntries(row.map((value, place) => [content.columns[place], value]))));

/** @param {Point} point */
const errorText = (point) => `${percent(point.error, point.error_low, point.error_high)} selection, ${point.weights}`;
/** @param {Point} point */
const testText = (point) => (point.test_error === null ? "" : `${percent(point.test_error, point.test_error_low, point.test_error_high)} test`);
/** @param {Point} point */
const energyText = (point) => cost(point.energy_mj, "mJ", point.energy_source) + (point.energy_error === null ? "" : ` ± ${(100 * point.energy_error).toFixed(0)} %`);
/** @param {Point} point */
const latencyText = (point) => cost(point.latency_ms, "ms", point.latency_source);

/** @param {any} value @returns {string} a field that no spreadsheet takes for a formula */
export function csvField(value) {
  const text = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(" in ") : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * @param {HTMLElement} content
 * @param {Content} first
 * @param {((id: string) => string) | null} open address of a network's page; null where there is none
 */
function frontPage(content, first, open) {
  let data = first;
  let all = pointsOf(data);
  let rows = ROWS;
  const state = { among: "", filters: /** @type {Record<string, string>} */ ({}), limits: { ...NO_LIMITS }, dominated: true, baselines: true, marked: /** @type {string | null} */ (null) };
  /** @type {import("./panes.js").Group[]} */
  let groups = [];
  /** @type {Point[]} */
  let chosen = [];
  const [said, summary, controls, choices, key, list] = [el("p", { class: "problem", role: "status" }), el("p"), el("div", { class: "controls" }),
    el("div", { role: "status", class: "choices" }), el("p", { class: "bar" }), el("div")];
  const go = (/** @type {Point} */ point) => open && point.kind !== "baseline" && location.assign(open(point.id));
  const charts = panes(() => ({ groups, limits: state.limits, marked: state.marked, chosen, guessing: data.guessing, revision: state.among, text: hoverText, labels: labels() }), (point) => mark(point?.id ?? null), go);
  fill(content, el("h1", {}, TITLE), said, summary, controls, choices, key, el("div", { class: "panes" }, charts.places), list);

  const kindOf = () => (state.among === "worst" ? "exits" : state.among);
  const among = () => [...data.kinds, ...(data.kinds.includes("exits") ? ["worst"] : [])];
  const admitted = (/** @type {Point} */ point) => FILTERS.every(([name]) => !state.filters[name] || String(point[name]) === state.filters[name]);
  const points = () => {
    const kinds = [kindOf(), ...(state.baselines && kindOf() !== "inherited" ? ["baseline"] : [])];
    const found = all.filter((point) => kinds.includes(point.kind) && admitted(point) && (point.front || point.kind === "baseline" || state.dominated));
    return state.among === "worst" ? found.map((point) => ({ ...point, latency_ms: point.worst_latency_ms ?? point.latency_ms })) : found;
  };
  const energyName = () => (kindOf() === "exits" && data.exits_energy) || data.energy;

  /** Of axes: what is shown, and where it comes from. @returns {Record<string, string>} */
  function labels() {
    const sources = (/** @type {"latency_source" | "energy_source"} */ of) => [...new Set(groups.flatMap((group) => group.points.map((point) => point[of])))].join(" and ");
    const latency = kindOf() === "exits" ? `${state.among === "worst" ? "latency of the longest way" : "expected latency"}` : "latency";
    return { error: `${data.error} on the selection split (%)`, latency_ms: `${latency} (ms, ${sources("latency_source")})`, energy_mj: `${energyName()} (mJ, ${sources("energy_source")})` };
  }

  /** @param {Point} point */
  function hoverText(point) {
    const facts = [point.kind === "baseline" ? `baseline ${point.id}` : `network ${point.id}`, point.configuration, `${data.error} ${errorText(point)}`, testText(point),
      `latency ${latencyText(point)}`, `energy ${energyText(point)}`, point.params !== null && `${point.params.toLocaleString("en")} parameters`,
      point.exits && `exits ${point.exits}`, point.same_as && `not significantly below ${point.same_as[0]}, which costs less`,
      point.beats_guessing === false && `not better than ${data.guess}`];
    return facts.filter(Boolean).join("\n");
  }

  /** @param {string | null} id */
  function mark(id) {
    if (id === state.marked) return;
    state.marked = id;
    charts.mark();
    for (const row of list.querySelectorAll("tbody tr")) row.classList.toggle("marked", /** @type {HTMLElement} */ (row).dataset.network === id);
  }

  /** Points were added, or others are wanted. */
  function draw() {
    if (!data.kinds.includes(kindOf())) state.among = data.kinds.includes(data.told) ? data.told : (data.kinds[0] ?? "");
    const shown = points();
    const labelled = [...new Set(all.filter((point) => point.kind !== "baseline" && point.front).map((point) => point.configuration))].sort();
    const several = labelled.length > 1;
    const is = (/** @type {(point: Point) => boolean} */ wanted) => shown.filter(wanted);
    groups = [
      { name: "dominated", symbol: "circle", colour: "#8a8a92", size: 5, points: is((point) => !point.front && point.kind !== "baseline") },
      { name: "on the front, not to be told apart from a cheaper one", symbol: "circle-open", colour: "#7a7a7a", size: 8, points: is((point) => point.front && point.same_as !== null) },
      ...labelled.map((label, place) => ({ name: several ? `on the front, ${label}` : "on the front", ...lookOf(place), size: 9,
        points: is((point) => point.front && point.same_as === null && point.configuration === label) })),
      { name: "baseline", ...lookOf(7), symbol: "star", size: 12, points: is((point) => point.kind === "baseline") },
    ].filter((group) => group.points.length);
    fill(summary, data.rows.length ? `${data.networks} networks evaluated; ${new Set(is((point) => point.front).map((point) => point.id)).size} of these in ${is((point) => point.front).length} operating points on the front shown here.` : "Nothing was evaluated yet: points appear here as trials end.", data.note && ` ${data.note}`);
    fill(key, legend(groups), el("span", {}, "◌ chosen"), data.guessing !== null && el("span", {}, `┈ ${data.guess}: ${percent(data.guessing)}`));
    chart();
  }

  function chart() {
    choose();
    if (groups.length) charts.draw();
    listed();
  }

  /** The same as select_network.py. */
  function choose() {
    const front = points().filter((point) => point.front);
    if (!front.length) {
      chosen = [];
      return fill(choices, data.rows.length > 0 && el("p", {}, kindOf() === "trained" ? "There is a front to choose from when all networks of the front are trained." : "No point of the front is in this configuration."));
    }
    const limited = QUANTITIES.some((quantity) => state.limits[quantity] !== null);
    const best = bestWithin(front, state.limits);
    const three = threeChoices(front);
    const nearest = best ? null : nearestTo(front, state.limits);
    chosen = limited ? [best ?? /** @type {Point} */ (nearest)] : three.map((one) => one.point);
    const told = limited ? (best ? [{ name: "most accurate within the limits", point: best }] : [{ name: "nearest", point: /** @type {Point} */ (nearest) }]) : three;
    fill(choices,
      nearest && el("p", { class: "problem" }, `No point of ${front.length} is within the limits; the nearest, ${nearest.id} in ${nearest.configuration}, has ${excesses(nearest, state.limits).map(excessText).join(", ")}.`),
      el("ul", {}, (limited && best ? [...told, { name: "knee, whatever the limits", point: knee(front) }] : told).map(({ name, point }) => el("li", {}, el("strong", {}, name), ": ", link(point), ` ${facts(point)}`))),
      !limited && three[0].point.beats_guessing === false && el("p", {}, `The best network is not better than ${data.guess}: too few images or too short.`));
  }

  /** @param {Point} point */
  const facts = (point) => `in ${point.configuration}: ${data.error} ${errorText(point)}${testText(point) && `, ${testText(point)}`}; ${latencyText(point)}; ${energyText(point)}`;
  /** @param {import("./choosing.js").Excess} one */
  const excessText = (one) => {
    const text = (/** @type {number} */ value) => (one.quantity === "error" ? percent(value) : `${short(value)} ${one.quantity === "latency_ms" ? "ms" : "mJ"}`);
    const name = one.quantity === "latency_ms" && kindOf() === "exits" ? (state.among === "worst" ? "worst-case latency" : "expected latency") : one.quantity.split("_")[0];
    return `${name} ${text(one.value)} where ${text(one.limit)} is allowed (+${short(100 * one.ratio)} %)`;
  };
  /** @param {Point} point */
  const link = (point) => (open && point.kind !== "baseline" ? el("a", { href: open(point.id), onfocus: () => mark(point.id), onblur: () => mark(null) }, point.id) : el("span", {}, point.id));

  const within = () => points().filter((point) => !excesses(point, state.limits).length);

  function listed() {
    const found = within();
    const tested = found.some((point) => point.test_error !== null);
    const heads = ["network", "configuration", data.error, ...(tested ? ["on the test split"] : []), kindOf() === "exits" ? labels().latency_ms.split(" (")[0] : "latency", energyName(), "parameters", "place", ...(kindOf() === "exits" ? ["exits"] : [])];
    const cells = (/** @type {Point} */ point) => [link(point), point.configuration, errorText(point), ...(tested ? [testText(point)] : []), latencyText(point), energyText(point), point.params?.toLocaleString("en") ?? "",
      point.kind === "baseline" ? "baseline" : point.same_as ? `front, like ${point.same_as[0]}` : point.front ? "front" : "dominated", ...(kindOf() === "exits" ? [point.exits ?? ""] : [])];
    fill(list, el("h2", {}, "Networks"),
      el("p", { class: "bar" }, `${found.length} of ${points().length} points are within the limits.`, el("button", { type: "button", onclick: download }, "Download CSV")),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Networks" }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, found.slice(0, rows).map((point) => el("tr", { "data-network": point.id, class: point.id === state.marked && "marked", onmouseenter: () => mark(point.id), onmouseleave: () => mark(null) },
          cells(point).map((cell) => el("td", {}, cell))))))),
      found.length > rows && el("button", { type: "button", onclick: () => { rows += ROWS; listed(); } }, `Show ${Math.min(ROWS, found.length - rows)} more`));
  }

  function download() {
    const lines = [FIELDS, ...within().map((point) => FIELDS.map((name) => /** @type {any} */ (point)[name]))].map((line) => line.map(csvField).join(","));
    const place = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    el("a", { href: place, download: `${data.run.replace(/[^\w.-]+/g, "_")}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(place), 10_000);
  }

  function limited() {
    choose();
    charts.limit();
    listed();
  }

  /** @param {import("./choosing.js").Excess["quantity"]} quantity @param {string} label @param {number} unit how many of what is typed a point's figure is */
  function slider(quantity, label, unit) {
    const range = () => {
      const values = points().map((point) => unit * point[quantity]).filter((value) => value > 0);
      return values.length ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [1, 1];
    };
    const bar = /** @type {HTMLInputElement} */ (el("input", { type: "range", min: 0, max: STEPS, value: STEPS, "aria-label": `${label}, at most, as a slider` }));
    const box = /** @type {HTMLInputElement} */ (el("input", { type: "number", min: 0, step: "any", placeholder: "no limit", "aria-label": `${label}, at most` }));
    const set = () => {
      state.limits[quantity] = Number(box.value) > 0 ? Number(box.value) / unit : null;
      limited();
    };
    bar.addEventListener("input", () => {
      const [low, high] = range();
      box.value = Number(bar.value) >= STEPS ? "" : String(Number(short(low * (high / low) ** (Number(bar.value) / STEPS))));
      set();
    });
    box.addEventListener("input", () => {
      const [low, high] = range();
      bar.value = Number(box.value) > 0 ? String(Math.round((STEPS * Math.log(Number(box.value) / low)) / (Math.log(high / low) || 1))) : String(STEPS);
      set();
    });
    return el("label", {}, el("span", {}, label), bar, box);
  }

  /** @param {string} label @param {[string, string][]} options @param {string} value @param {(value: string) => void} chosen */
  const select = (label, options, value, chosen) =>
    el("label", {}, el("span", {}, label), el("select", { onchange: (/** @type {any} */ event) => { chosen(event.target.value); draw(); } },
      options.map(([name, text]) => el("option", { value: name, selected: name === value }, text))));
  /** @param {"dominated" | "baselines"} name @param {string} label */
  const box = (name, label) => el("label", { class: "check" }, el("input", { type: "checkbox", checked: state[name], onchange: () => { state[name] = !state[name]; draw(); } }), ` ${label}`);

  const limits = [slider("latency_ms", "Latency (ms)", 1), slider("energy_mj", "Energy (mJ)", 1), slider("error", "Error (%)", 100)];

  function control() {
    const kinds = among();
    const parts = FILTERS.map(([name, label, unit]) => ({ name, label, unit, values: [...new Set(all.map((point) => point[name]))].sort((a, b) => (a === null || b === null ? 0 : a < b ? -1 : 1)) }));
    fill(controls, kinds.length > 1 && select("Choose among", kinds.map((kind) => [kind, AMONG[kind]]), state.among, (value) => (state.among = value)),
      parts.filter((part) => part.values.length > 1).map((part) => select(part.label, [["", "any"], ...part.values.map((value) => /** @type {[string, string]} */ ([String(value), value === null ? "the governor's" : `${value}${part.unit}`]))],
        state.filters[part.name] ?? "", (value) => (state.filters[part.name] = value))),
      limits, box("dominated", "dominated networks"), all.some((point) => point.kind === "baseline") && box("baselines", "baselines, beside trained networks"));
  }

  /** @param {Content} found */
  function update(found) {
    const choicesBefore = `${among()} ${all.length > 0}`;
    data = found;
    all = pointsOf(found);
    draw();
    if (choicesBefore !== `${among()} ${all.length > 0}`) control();
  }

  draw();
  control();
  return { update, say: (/** @type {string} */ text) => fill(said, text), isConnected: () => list.isConnected };
}
