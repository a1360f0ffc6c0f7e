// The boards of a run: predictions beside measurements, conditions over time, failures; or the table that stands for them.

import { ask, el, fill, inAddress, table } from "page/dom.js";
import { chart, chartPlace, literal, PALETTE, SYMBOLS } from "page/chart.js";
import { state } from "page/network.js";
import { cost, percent, short, when } from "page/numbers.js";

export const TITLE = "Board";
const WHY = "Predictions are those of the run's cost table as it was before these networks corrected it. On the line both are equal.";
const TABLE_HEADS = ["configuration", "board", "from", "latency", "energy", "idle power", "error over whole networks"];
const ROW_HEADS = ["date (UTC)", "network", "configuration", "latency", "temperature (°C)", "clock (MHz)", "idle power (W)", "state"];

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const found = await ask(`/api/runs/${inAddress(run)}/-/board`);
  if (found.nothing) return fill(content, el("h1", {}, TITLE), el("p", {}, found.nothing));
  /** @type {{board: any, tables: any[], compared: any[], errors: any[], conditions: any[], states: any[], failures: any[]}} */
  const { board, tables, compared, errors, conditions, states, failures } = found;
  const link = (/** @type {string} */ id) => el("a", { href: `/runs/${inAddress(run)}/-/network/${encodeURIComponent(id)}` }, id);
  const failed = failures.map((item) =>
    [when(item.date), item.kind, item.architecture ? link(item.architecture) : item.board, item.configuration, item.reason]);
  fill(content, el("h1", {}, TITLE), ...(board ? facts(board, conditions) : [withoutBoard(tables)]),
    compared.length > 0 && againstPredictions(compared, errors),
    conditions.length + states.length > 0 && overTime(conditions, states, link),
    failures.length > 0 && [el("h2", {}, "What failed"),
      table(["date (UTC)", "what", "network or board", "configuration", "reason"], failed, "Failures")],
    el("h2", {}, "Cost tables"), table(TABLE_HEADS, tables.map(tableRow), "Cost tables"),
    el("details", {}, el("summary", {}, "How they were made"), el("ul", {}, tables.map(({ configuration, method }) =>
      el("li", {}, `${configuration}: ${method}`)))));
}

/** @param {any[]} tables */
function withoutBoard(tables) {
  const [{ board, date, method }] = tables;
  return el("p", {}, "No board took part in this run: its latencies and energies are modelled, by ",
    `${tables.length > 1 ? "cost tables" : "a cost table"} of ${board}${date ? ` from ${when(date)}` : ""}: ${method}.`);
}

/** @param {any} board @param {any[]} conditions */
function facts(board, conditions) {
  const each = (/** @type {string} */ name) => [...new Set(conditions.map((item) => item[name]).filter((value) => value !== null))];
  const meters = each("meter"), idle = each("idle_w").sort((one, other) => one - other);
  const span = [...new Set([idle[0], idle[idle.length - 1]])].filter((value) => value !== undefined).map(short).join(" to ");
  const clocks = board.frequencies_mhz;
  return [table(["property", "value"], [
    ["board", each("board").join(", ") || board.label], ["system", each("os").join(", ") || board.os],
    ["runtime", each("runtime").join(", ") || board.runtime], ["cores", board.cores ?? "not told"],
    ["clocks that can be set", clocks.length ? `${clocks.join(", ")} MHz` : "none"],
    ["energy meter", meters.join(", ") || "none: energies are modelled"],
    ["idle power", span ? `${span} W${meters.length ? "" : " (modelled)"}` : "not known"],
  ], "Board"), ...board.notes.map((/** @type {string} */ note) => el("p", {}, note))];
}

/** @param {any[]} compared @param {any[]} errors */
function againstPredictions(compared, errors) {
  const of = (/** @type {number | null} */ error, /** @type {number} */ networks) =>
    (error === null ? "–" : `${percent(error)} over ${networks} network${networks === 1 ? "" : "s"}`);
  const rows = errors.map((item) => [item.configuration, of(item.latency, item.networks), of(item.energy, item.metered)]);
  return [el("h2", {}, "Predicted against measured"), el("p", {}, WHY),
    el("div", { class: "pair" }, scatter(compared, "latency", "ms"), scatter(compared, "energy above idle", "mJ")),
    table(["configuration", "mean error of predicted latency", "of predicted energy, where a meter read it"], rows, "Mean errors")];
}

/** @param {any[]} compared @param {string} what @param {"ms" | "mJ"} unit */
function scatter(compared, what, unit) {
  const [x, y, source] = unit === "ms" ? ["predicted_ms", "latency_ms", "latency_source"] : ["predicted_mj", "energy_mj", "energy_source"];
  const values = compared.flatMap((item) => [item[x], item[y]]), ends = [Math.min(...values), Math.max(...values)];
  const sources = [...new Set(compared.map((item) => item[source]))].join(" and "), place = chartPlace(`Predicted against actual ${what}`);
  const hover = (/** @type {any} */ item) => `${item.network}, ${item.configuration}<br>predicted ${cost(item[x], unit, "modelled")}<br>` +
    cost(item[y], unit, item[source]) + (item.reliable ? "" : "<br>spread too wide");
  const labels = [...new Set(compared.map((item) => item.configuration))];
  chart(place, (c) => ({
    data: [
      { x: ends, y: ends, mode: "lines", line: { color: c.soft, dash: "dot", width: 1 }, hoverinfo: "skip", showlegend: false },
      ...labels.map((label, index) => {
        const own = compared.filter((item) => item.configuration === label);
        const marker = { size: 9, color: PALETTE[index % PALETTE.length], symbol: SYMBOLS[index % SYMBOLS.length] };
        const [xs, ys] = [x, y].map((name) => own.map((item) => item[name]));
        return { mode: "markers", name: label, x: xs, y: ys, text: own.map(hover), hoverinfo: "text", marker };
      }),
    ],
    layout: {
      showlegend: labels.length > 1, xaxis: { title: { text: `predicted ${what} (${unit}, modelled)` } },
      yaxis: { title: { text: `${what} (${unit}, ${sources})` } },
    },
  }));
  return place;
}

/** @param {any[]} conditions @param {any[]} states @param {(id: string) => HTMLElement} link */
function overTime(conditions, states, link) {
  const all = [...states, ...conditions.flatMap(({ before, after }) => [before, after])];
  const told = (/** @type {string} */ name) => all.some((one) => (one[name] ?? null) !== null);
  const places = [["temperature_c", "temperature (°C)"], ["clock_mhz", "clock (MHz)"]].filter(([name]) => told(name))
    .map(([name, label]) => course(conditions, states, name, label));
  const both = (/** @type {any} */ item, /** @type {string} */ name) =>
    [item.before[name], item.after[name]].map((value) => (value === null ? "–" : short(value))).join(" → ");
  const slow = conditions.filter((item) => item.throttled).length, number = conditions.length;
  const rows = conditions.map((item) => [
    when(item.date), link(item.network), item.configuration, cost(item.latency_ms, "ms", item.latency_source),
    both(item, "temperature_c"), both(item, "clock_mhz"),
    item.idle_w === null ? "–" : short(item.idle_w), state(item),
  ]);
  return [el("h2", {}, "Conditions over time"),
    el("p", {}, slow ? `× marks ${slow} of ${number} measurements during which the board was throttled.`
      : `In none of ${number} measurements was throttling seen.`),
    places.length ? el("div", { class: places.length > 1 ? "pair" : "" }, places)
      : el("p", {}, "The board tells neither its temperature nor its clock."),
    el("details", {}, el("summary", {}, `All ${number} measurements`), table(ROW_HEADS, rows, "Measurements"))];
}

/** @param {any[]} conditions @param {any[]} states @param {string} name @param {string} label */
function course(conditions, states, name, label) {
  const place = chartPlace(`${label} over time`), devices = [...new Set(states.map(({ device }) => device))];
  const at = (/** @type {"before" | "after"} */ moment) => conditions.map((item) =>
    ({ date: item.date, value: item[moment][name], told: `${literal(item.network)}, ${item.configuration}`, throttled: item.throttled }));
  const between = (/** @type {any} */ wanted) => states.filter(({ device }) => device === wanted).map((state) =>
    ({ date: new Date(1000 * state.at).toISOString(), value: state[name], told: literal(`${wanted}`), throttled: state.throttled }));
  chart(place, (c) => {
    /** @type {[string, any[], string, string][]} */
    const series = [["before a measurement", at("before"), c.soft, "circle-open"], ["after it", at("after"), c.accent, "circle"]];
    devices.forEach((device, index) =>
      series.push([`${literal(`${device}`)}, at any time`, between(device), PALETTE[index + 1], "triangle-up"]));
    const data = series.filter(([, items]) => items.length).map(([title, items, colour, plain]) => ({
      mode: "lines+markers", name: title, line: { width: 1, color: colour }, x: items.map(({ date }) => date),
      y: items.map(({ value }) => value), text: items.map(({ told, throttled }) => `${told}${throttled ? "<br>throttled" : ""}`),
      marker: {
        size: items.map(({ throttled }) => (throttled ? 13 : 7)), color: items.map(({ throttled }) => (throttled ? c.bad : colour)),
        symbol: items.map(({ throttled }) => (throttled ? "x" : plain)),
      },
    }));
    return { data, layout: { showlegend: true, xaxis: { title: { text: "date (UTC)" } }, yaxis: { title: { text: label } } } };
  });
  return place;
}

/** @param {any} one */
const tableRow = (one) => [
  one.configuration, one.board, one.date ? when(one.date) : "–", one.latency_source,
  one.energy_source + (one.energy_error ? ` ± ${(100 * one.energy_error).toFixed(0)} %` : ""),
  one.idle_w === null ? "not known" : `${short(one.idle_w)} W`,
  one.error ? `${percent(one.error.mean_relative)} over ${one.error.networks}; ${percent(one.error.within_10_percent)} of them within 10 %`
    : "not known",
];
