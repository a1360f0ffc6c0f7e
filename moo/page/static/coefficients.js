// Loss coefficients: dials, what each trial's gave, and the course of an inner search as a film.

import { ask, el, fill, inAddress, problem, select, shown } from "page/dom.js";
import { chart, chartPlace } from "page/chart.js";
import { dials } from "page/dials.js";

export const TITLE = "Coefficients";
const FRAME_MS = 90, MANY = 150;
const BUBBLES = "A bubble is a trial that ended well: the larger, the more accurate its network; the lighter, the slower; a circle was " +
  "searched on the supernet, a diamond on the surrogate; a thick frame: on the front. Errors: inherited weights, selection split.";
/** @type {Record<string, [string, (trial: any) => number]>} */
const OUTCOMES = { error: ["error (%)", (one) => 100 * one.error], latency: ["latency (ms)", (one) => one.latency_ms],
  energy: ["energy (mJ)", (one) => one.energy_mj] };

/** @param {HTMLElement} content @param {string} run @param {string[]} rest */
export async function show(content, run, rest) {
  const place = `/api/runs/${inAddress(run)}/-/coefficients`, found = await ask(place);
  if (found.nothing) return fill(content, el("h1", {}, TITLE), el("p", {}, found.nothing));
  const { trials, failed } = /** @type {{trials: any[], failed: any[]}} */ (found);
  const chosen = trials.find((trial) => String(trial.id) === rest[0]) ?? trials[0];
  const open = (/** @type {string} */ id) => location.assign(`/runs/${inAddress(run)}/-/network/${encodeURIComponent(id)}`);
  const reasons = failed.map((trial) => el("li", {}, `trial ${trial.id} (${trial.tuple}): ${trial.reason}`));
  fill(content, el("h1", {}, TITLE), dials(found, place, chosen),
    ...(trials.length ? bubbles(found, open) : [el("p", {}, "No trial has ended well yet.")]),
    failed.length > 0 && [el("h2", {}, "Failed trials"), el("ul", {}, reasons)],
    ...film(trials.filter((trial) => trial.on_supernet), place, rest[0]));
}

/** @param {{trials: any[], dials: any[], title: string, table: any}} found @param {(id: string) => void} open */
function bubbles({ trials, dials: coefficients, title: summary, table }, open) {
  const place = chartPlace("Coefficients of each trial against what they gave", "bubbles");
  const errors = trials.map(({ error }) => error), least = Math.min(...errors), most = Math.max(...errors);
  const ranks = [...new Set(trials.map((trial) => trial.latency_ms))].sort((one, other) => one - other);
  const text = trials.map(({ told }) => told);
  const shrink = Math.min(1, Math.sqrt(MANY / trials.length) + 0.1);
  let outcome = "error";
  const drawn = chart(place, (c) => {
    const wide = place.clientWidth > 640, [y, of] = OUTCOMES[outcome];
    const grid = { rows: wide ? 2 : 4, columns: wide ? 2 : 1, pattern: "independent", ygap: wide ? 0.28 : 0.4 };
    /** @type {any} */
    const layout = { margin: { l: 60, r: 15, t: 10, b: 45 }, grid };
    const marker = {
      size: errors.map((error) => shrink * (7 + 17 * (most > least ? (most - error) / (most - least) : 0.5))),
      colorscale: "Viridis", opacity: 0.8,
      symbol: trials.map((trial) => (trial.on_supernet ? "circle" : "diamond")),
      color: trials.map((trial) => ranks.indexOf(trial.latency_ms)),
      line: { color: c.ink, width: trials.map((trial) => (trial.on_front ? 2.5 : 0.5)) },
    };
    const data = coefficients.map(({ name, symbol, meaning }, panel) => {
      const axis = panel ? panel + 1 : "", x = trials.map((trial) => trial[name]), logarithmic = panel % 2 === 0 && Math.min(...x) > 0;
      const dtick = wide || Math.max(...x) < 100 * Math.min(...x) ? "D2" : 1;
      const title = { text: `${symbol}, ${meaning}`, standoff: 4 };
      layout[`xaxis${axis}`] = logarithmic ? { title, type: "log", dtick } : { title };
      layout[`yaxis${axis}`] = { title: { text: y } };
      return { mode: "markers", x, y: trials.map(of), xaxis: `x${axis}`, yaxis: `y${axis}`, text, hoverinfo: "text", marker };
    });
    return { data, layout };
  });
  drawn.then(() => /** @type {any} */ (place).on("plotly_click", (/** @type {any} */ event) => {
    open(trials[event.points[0].pointIndex].network);
  }));
  const change = async (/** @type {string} */ name) => { outcome = name; (await drawn)(); };
  return [el("h2", {}, "What coefficients gave"), el("p", { class: "soft" }, BUBBLES),
    el("p", {}, select("Against", Object.keys(OUTCOMES), outcome, change)), place,
    el("details", {}, el("summary", {}, summary), shown(table))];
}

/** @param {any[]} trials @param {string} place @param {string | undefined} first */
function film(trials, place, first) {
  if (!trials.length) return [];
  const heat = chartPlace("Probability of each operator in each layer"), curves = chartPlace("Loss and expected costs"), note = el("p");
  /** @type {any} */
  let course = null;
  let frame = 0, timer = 0;
  /** @type {(() => void)[]} */
  let redraw = [];
  const scrubbed = () => { pause(); turn(Number(scrub.value)); };
  const scrub = /** @type {HTMLInputElement} */ (el("input", { type: "range", min: 0, value: 0, oninput: scrubbed }));
  const play = el("button", { type: "button", onclick: () => (timer ? pause() : start()) }, "Play");
  const pause = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const start = () => {
    if (frame === course.steps.length - 1) turn(0);
    play.textContent = "Pause";
    timer = setInterval(() => (!heat.isConnected || frame === course.steps.length - 1 ? pause() : turn(frame + 1)), FRAME_MS);
  };
  const turn = (/** @type {number} */ next) => {
    frame = next;
    scrub.value = String(frame);
    note.textContent = course.told[frame];
    redraw.forEach((draw) => draw());
  };
  const load = async (/** @type {string} */ id) => {
    pause();
    course = await ask(`${place}/courses/${id}`);
    frame = course.steps.length - 1;
    scrub.max = String(frame);
    const charts = () => [chart(heat, () => layers(course, frame)), chart(curves, (c) => figures(course, frame, c))];
    if (!redraw.length) redraw = await Promise.all(charts());
    turn(frame);
  };
  const own = String(trials.find(({ id }) => String(id) === first)?.id ?? trials[0].id);
  const told = (/** @type {unknown} */ error) => fill(note, problem(error));
  const options = trials.map((trial) => [String(trial.id), `${trial.id} (${trial.tuple})`]);
  const choose = select("Inner search of trial", options, own, (id) => load(id).catch(told));
  load(own).catch(told);
  return [el("h2", {}, "How theta settled"),
    el("p", { class: "controls" }, choose, play, el("label", {}, "Step ", scrub)), note,
    el("div", { class: "pair" }, heat, curves)];
}

/** @param {any} course @param {number} frame */
function layers(course, frame) {
  const z = /** @type {number[][]} */ (course.probabilities[frame]), y = z.map((_, layer) => `${layer + 1}`);
  const text = z.map((row) => row.map((share) => (share === Math.max(...row) ? "●" : "")));
  return {
    data: [{
      type: "heatmap", z, x: course.operators, y, text, texttemplate: "%{text}", zmin: 0, zmax: 1, colorscale: "Viridis", xgap: 1, ygap: 1,
      hovertemplate: "layer %{y}, %{x}: %{z:.2f}<extra></extra>", colorbar: { title: { text: "probability" }, thickness: 12 },
    }],
    layout: { xaxis: { tickangle: -45 }, yaxis: { title: { text: "layer (●: most likely)" }, autorange: "reversed", type: "category" } },
  };
}

/** @param {any} course @param {number} frame @param {import("page/chart.js").Colours} c */
function figures(course, frame, c) {
  /** @type {any} */
  const layout = { grid: { rows: 3, columns: 1, pattern: "coupled" }, xaxis: { title: { text: "step" } } }, at = course.steps[frame];
  const data = [["loss", "loss"], ["latency_ms", "latency (ms)"], ["energy_mj", "energy (mJ)"]].map(([name, title], row) => {
    const axis = row ? row + 1 : "", y = /** @type {any[]} */ (course.records).map((record) => record[name]);
    layout[`yaxis${axis}`] = { title: { text: title, font: { size: 12 } } };
    return { mode: "lines", x: course.steps, y, yaxis: `y${axis}`, xaxis: "x", line: { color: c.accent } };
  });
  layout.shapes = [{ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: c.ink, width: 1, dash: "dot" } }];
  return { data, layout };
}
