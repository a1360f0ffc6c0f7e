// The boards of a run: predictions beside measurements, conditions over time, failures; or the table that stands for them.

import { ask, el, fill, inAddress, shown } from "page/dom.js";
import { chart, chartPlace, PALETTE, SYMBOLS } from "page/chart.js";

export const TITLE = "Board";
const WHY = "Predictions are those of the run's cost table as it was before these networks corrected it. On the line both are equal.";
/** @typedef {{title: string, x: string[], y: any[], told: string[], throttled: boolean[]}} Series */

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const found = await ask(`/api/runs/${inAddress(run)}/-/board`);
  if (found.nothing) return fill(content, el("h1", {}, TITLE), el("p", {}, found.nothing));
  const { board, compared, errors, conditions, courses, failures, tables } = found;
  const paragraphs = (/** @type {string[]} */ texts) => texts.map((text) => el("p", {}, text));
  fill(content, el("h1", {}, TITLE), board && shown(board), paragraphs(found.said),
    errors && [el("h2", {}, "Predicted against measured"), el("p", {}, WHY),
      el("div", { class: "pair" }, scatter(compared, "latency", "ms"), scatter(compared, "energy above idle", "mJ")), shown(errors)],
    conditions && [el("h2", {}, "Conditions over time"), el("p", {}, conditions.told),
      courses.length ? el("div", { class: courses.length > 1 ? "pair" : "" }, courses.map(course))
        : el("p", {}, "The board tells neither its temperature nor its clock."),
      el("details", {}, el("summary", {}, conditions.title), shown(conditions.table))],
    failures && [el("h2", {}, "What failed"), shown(failures)],
    el("h2", {}, "Cost tables"), shown(tables),
    el("details", {}, el("summary", {}, "How they were made"),
      el("ul", {}, found.methods.map((/** @type {string} */ method) => el("li", {}, method)))));
}

/** @param {any[]} compared @param {string} what @param {"ms" | "mJ"} unit */
function scatter(compared, what, unit) {
  const [x, y, source, told] = unit === "ms" ? ["predicted_ms", "latency_ms", "latency_source", "told_ms"]
    : ["predicted_mj", "energy_mj", "energy_source", "told_mj"];
  const values = compared.flatMap((item) => [item[x], item[y]]), ends = [Math.min(...values), Math.max(...values)];
  const sources = [...new Set(compared.map((item) => item[source]))].join(" and "), place = chartPlace(`Predicted against actual ${what}`);
  const labels = [...new Set(compared.map((item) => item.configuration))];
  chart(place, (c) => ({
    data: [
      { x: ends, y: ends, mode: "lines", line: { color: c.soft, dash: "dot", width: 1 }, hoverinfo: "skip", showlegend: false },
      ...labels.map((label, index) => {
        const own = compared.filter((item) => item.configuration === label);
        const marker = { size: 9, color: PALETTE[index % PALETTE.length], symbol: SYMBOLS[index % SYMBOLS.length] };
        const [xs, ys, text] = [x, y, told].map((name) => own.map((item) => item[name]));
        return { mode: "markers", name: label, x: xs, y: ys, text, hoverinfo: "text", marker };
      }),
    ],
    layout: {
      showlegend: labels.length > 1, xaxis: { title: { text: `predicted ${what} (${unit}, modelled)` } },
      yaxis: { title: { text: `${what} (${unit}, ${sources})` } },
    },
  }));
  return place;
}

/** @param {{label: string, series: Series[]}} course before measurements, after them, and by each device at any time */
function course({ label, series }) {
  const place = chartPlace(`${label} over time`);
  chart(place, (c) => {
    const data = series.map(({ title, x, y, told, throttled }, index) => {
      const colour = [c.soft, c.accent][index] ?? PALETTE[index - 1], plain = ["circle-open", "circle"][index] ?? "triangle-up";
      const marker = { size: throttled.map((is) => (is ? 13 : 7)), color: throttled.map((is) => (is ? c.bad : colour)),
        symbol: throttled.map((is) => (is ? "x" : plain)) };
      return { mode: "lines+markers", name: title, line: { width: 1, color: colour }, x, y, text: told, marker };
    });
    return { data: data.filter(({ x }) => x.length),
      layout: { showlegend: true, xaxis: { title: { text: "date (UTC)" } }, yaxis: { title: { text: label } } } };
  });
  return place;
}
