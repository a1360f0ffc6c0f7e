// The boards of a run: predictions beside measurements, conditions over time, failures; or the table that stands for them.

import { ask, el, fill, inAddress, table } from "page/dom.js";
import { chart, chartPlace, PALETTE, SYMBOLS } from "page/chart.js";
import { percent, short, when } from "page/numbers.js";

export const TITLE = "Board";

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const found = await ask(`/api/runs/${inAddress(run)}/-/board`);
  const { board, compared, conditions, failures } = found;
  const link = (/** @type {string} */ id) => el("a", { href: `/runs/${inAddress(run)}/-/network/${encodeURIComponent(id)}` }, id);
  fill(content, el("h1", {}, TITLE), board ? boardFacts(board, conditions) : noBoard(found.tables),
    compared.length > 0 && againstPredictions(found), conditions.length > 0 && overTime(conditions, link),
    failures.length > 0 && [el("h2", {}, "What failed"), table(["date (UTC)", "what", "network or board", "configuration", "reason"],
      failures.map((/** @type {any} */ item) => [when(item.date), item.kind, item.architecture ? link(item.architecture) : item.board, item.configuration, item.reason]), "Failures")],
    el("h2", {}, board ? "Cost tables" : "The cost tables"), tables(found.tables));
}

/** @param {any[]} all */
function noBoard(all) {
  const one = all[0];
  return el("p", {}, `No board took part in this run: its latencies and energies are modelled, by ${all.length > 1 ? "cost tables" : "a cost table"} of ${one.board}${one.date ? ` of ${when(one.date)}` : ""}. ${one.method}.`);
}

/** @param {any} board @param {any[]} conditions */
function boardFacts(board, conditions) {
  const each = (/** @type {(item: any) => any} */ of) => [...new Set(conditions.map(of).filter((value) => value !== null && value !== undefined))];
  const meters = each((item) => item.meter), idle = each((item) => item.idle_w).sort((one, other) => one - other);
  const rows = [
    ["board", each((item) => item.board).join(", ") || board.label], ["system", each((item) => item.os).join(", ") || board.os],
    ["runtime", each((item) => item.runtime).join(", ") || board.runtime],
    ["cores", board.cores ?? "not told"], ["clocks that can be set", board.frequencies_mhz.length ? `${board.frequencies_mhz.join(", ")} MHz` : "none"],
    ["energy meter", meters.length ? meters.join(", ") : "none: energies are modelled"],
    ["idle power", idle.length ? `${[...new Set([idle[0], idle[idle.length - 1]].map(short))].join(" to ")} W${meters.length ? "" : " (modelled)"}` : "not known"],
    ["left to cool down above", `${board.max_temperature_c ?? 70} °C`],
  ];
  return [table(["", ""], rows, "Board"), board.notes.map((/** @type {string} */ note) => el("p", {}, note))].flat();
}

/** @param {any} found */
function againstPredictions({ compared, errors }) {
  const of = (/** @type {string} */ name, /** @type {any} */ error, /** @type {number} */ number) => (error === null ? "–" : `${percent(error)} of ${number} networks`);
  const latency = chartPlace("Predicted against measured latency"), energy = chartPlace("Predicted against measured energy");
  scatter(latency, compared, "predicted_ms", "latency_ms", "latency_source", "ms");
  scatter(energy, compared, "predicted_mj", "energy_mj", "energy_source", "mJ");
  return [el("h2", {}, "Predicted against measured"),
    el("p", {}, "Predictions are those of the run's cost table as it was before these networks corrected it. On the line both are equal."),
    el("div", { class: "pair" }, latency, energy),
    table(["configuration", "mean error of predicted latency", "mean error of predicted energy"],
      errors.map((/** @type {any} */ item) => [item.configuration, of("latency", item.latency, item.networks), of("energy", item.energy, item.metered)]), "Mean errors of predictions")];
}

/**
 * @param {HTMLElement} place
 * @param {any[]} compared
 * @param {string} predicted
 * @param {string} actual
 * @param {string} source
 * @param {string} unit
 */
function scatter(place, compared, predicted, actual, source, unit) {
  const labels = [...new Set(compared.map((item) => item.configuration))], what = unit === "ms" ? "latency" : "energy above idle";
  const values = compared.flatMap((item) => [item[predicted], item[actual]]), ends = [Math.min(...values), Math.max(...values)];
  const sources = [...new Set(compared.map((item) => item[source]))].join(" and ");
  chart(place, (c) => ({
    data: [{ x: ends, y: ends, mode: "lines", line: { color: c.soft, dash: "dot", width: 1 }, hoverinfo: "skip", showlegend: false },
      ...labels.map((label, index) => {
        const own = compared.filter((item) => item.configuration === label);
        return { type: "scatter", mode: "markers", name: label, x: own.map((item) => item[predicted]), y: own.map((item) => item[actual]),
          text: own.map((item) => `${item.network}, ${label}<br>predicted ${short(item[predicted])} ${unit} (modelled)<br>${short(item[actual])} ${unit} (${item[source]})${item.reliable ? "" : ", spread too wide"}`),
          hoverinfo: "text", marker: { size: 9, color: PALETTE[index % PALETTE.length], symbol: SYMBOLS[index % SYMBOLS.length], line: { color: c.page, width: 1 } } };
      })],
    layout: { showlegend: labels.length > 1, xaxis: { title: { text: `predicted ${what} (${unit}, modelled)` } }, yaxis: { title: { text: `${what} (${unit}, ${sources})` } } },
  }));
}

/** @param {any[]} conditions @param {(id: string) => HTMLElement} link */
function overTime(conditions, link) {
  const told = (/** @type {string} */ name) => conditions.some((item) => item.before[name] !== null || item.after[name] !== null);
  const shown = [["temperature_c", "temperature (°C)"], ["clock_mhz", "clock (MHz)"]].filter(([name]) => told(name));
  const places = shown.map(([name, label]) => {
    const place = chartPlace(`${label} over time`);
    chart(place, (c) => ({
      data: [["before", "circle-open"], ["after", "circle"]].map(([moment, symbol]) => ({
        type: "scatter", mode: "lines+markers", name: moment === "before" ? "before a measurement" : "after it", x: conditions.map((item) => item.date), y: conditions.map((item) => item[moment][name]),
        text: conditions.map((item) => `${item.network}, ${item.configuration}${item.throttled ? "<br>throttled" : ""}`), line: { width: 1, color: moment === "before" ? c.soft : c.accent },
        marker: { size: conditions.map((item) => (item.throttled ? 13 : 7)), color: conditions.map((item) => (item.throttled ? c.bad : moment === "before" ? c.soft : c.accent)), symbol: conditions.map((item) => (item.throttled ? "x" : symbol)) },
      })),
      layout: { showlegend: true, xaxis: { title: { text: "date (UTC)" } }, yaxis: { title: { text: label } } },
    }));
    return place;
  });
  const value = (/** @type {any} */ item, /** @type {string} */ name) => [item.before[name], item.after[name]].map((one) => (one === null ? "–" : short(one))).join(" → ");
  const slow = conditions.filter((item) => item.throttled).length;
  return [el("h2", {}, "Conditions over time"),
    el("p", {}, slow ? `× marks ${slow} of ${conditions.length} measurements during which the board was throttled.` : `In none of ${conditions.length} measurements a throttled board was seen.`),
    places.length ? el("div", { class: "pair" }, places) : el("p", {}, "The board tells neither its temperature nor its clock."),
    el("details", {}, el("summary", {}, `All ${conditions.length} measurements`),
      table(["date (UTC)", "network", "configuration", "latency (ms)", "temperature (°C)", "clock (MHz)", "idle power (W)", "state"],
        conditions.map((item) => [when(item.date), link(item.network), item.configuration, short(item.latency_ms), value(item, "temperature_c"), value(item, "clock_mhz"), item.idle_w === null ? "–" : short(item.idle_w),
          [item.throttled && "throttled", !item.reliable && "spread too wide", item.energy_note].filter(Boolean).join("; ") || "good"]), "Measurements"))];
}

/** @param {any[]} all */
const tables = (all) => table(["configuration", "board", "from", "latency", "energy", "idle power", "error of whole networks", "how it was made"],
  all.map((one) => [one.configuration, one.board, one.date ? when(one.date) : "–", one.latency_source, one.energy_source + (one.energy_error ? ` ± ${(100 * one.energy_error).toFixed(0)} %` : ""),
    one.idle_w === null ? "not known" : `${short(one.idle_w)} W`, one.error ? `${percent(one.error.mean_relative)} on average over ${one.error.networks} networks, ${percent(one.error.within_10_percent)} within 10 %` : "not known", el("span", { class: "wrap" }, one.method)]), "Cost tables");
