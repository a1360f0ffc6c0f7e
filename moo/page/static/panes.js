// Three linked panes and a space of error, latency and energy. Limits and marks never draw the points anew.

import { PALETTE, SYMBOLS, chart, chartPlace } from "page/chart.js";
import { el, fill } from "page/dom.js";
import { excesses } from "page/choosing.js";

/** @typedef {import("./choosing.js").Point} Point */
/** @typedef {{name: string, symbol: string, colour: string, size: number, points: Point[]}} Group */
/** @typedef {{groups: Group[], limits: import("./choosing.js").Limits, marked: string | null, chosen: Point[], guessing: number | null, revision: string,
 *   labels: Record<string, string>, text: (point: Point) => string}} Shown */
/** @typedef {"error" | "latency_ms" | "energy_mj"} Quantity */

const GLYPHS = /** @type {Record<string, string>} */ ({ circle: "●", diamond: "◆", square: "■", "triangle-up": "▲", cross: "✚", x: "✖",
  star: "★", hexagon: "⬢", "circle-open": "○" });
/** @type {[Quantity, Quantity, string][]} */
const PLANES = [
  ["latency_ms", "error", "Error against latency"], ["energy_mj", "error", "Error against energy"], ["energy_mj", "latency_ms", "Latency against energy"],
];
/** Wider spans than this are shown on a logarithmic axis. */
const WIDE = 20;

/** @param {number} place @returns {{symbol: string, colour: string}} of the configuration of that place: no two are alike */
export const lookOf = (place) => ({ symbol: SYMBOLS[(place + Math.floor(place / 8)) % 8], colour: PALETTE[place % 8] });

/** @param {Group[]} groups what they look like, in words */
export const legend = (groups) =>
  groups.map((group) => el("span", {}, el("span", { style: `color:${group.colour}`, "aria-hidden": true }, GLYPHS[group.symbol]), ` ${group.name} (${group.points.length})`));

/** @param {Point} point @param {Quantity} quantity */
const valueOf = (point, quantity) => (quantity === "error" ? 100 * point.error : point[quantity]);

/** @param {string} text as plotly shows it: its own tags must not be others' */
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** @returns {boolean} */
function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

/** @param {Shown} shown @param {Quantity} quantity @returns {any} an axis that its points fill, limits or not */
function axis(shown, quantity) {
  const values = shown.groups.flatMap((group) => group.points.map((point) => valueOf(point, quantity)));
  let [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
  if (quantity === "error" && shown.guessing !== null && 100 * shown.guessing < 1.5 * high) high = Math.max(high, 100 * shown.guessing);
  const log = quantity !== "error" && low > 0 && high / low > WIDE;
  if (log) [low, high] = [Math.log10(low), Math.log10(high)];
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  const range = values.length ? [low - pad, high + pad] : [0, 1];
  return { title: { text: plain(shown.labels[quantity]) }, type: log ? "log" : "linear", range };
}

/**
 * The same, or where somebody has zoomed the range from which they did: plotly keeps theirs beside an unchanged one.
 * @param {any} plot @param {"xaxis" | "yaxis"} name @param {Shown} shown @param {Quantity} quantity
 */
function keptAxis(plot, name, shown, quantity) {
  const wanted = axis(shown, quantity);
  const [given, now] = [plot.given?.[name], plot.layout?.[name]?.range];
  if (given && given.revision === shown.revision && now && String(now) !== String(given.range)) wanted.range = [...given.range];
  plot.given = { ...plot.given, [name]: { range: [...wanted.range], revision: shown.revision } };
  return wanted;
}

/** @param {Shown} shown @param {Quantity} x @param {Quantity} y @param {any} c colours @returns {any[]} limits, guessing, what is marked */
function shapes(shown, x, y, c) {
  const line = (/** @type {"x" | "y"} */ on, /** @type {number} */ at, /** @type {any} */ look) => ({
    type: "line", [`${on}0`]: at, [`${on}1`]: at, ...(on === "x" ? { y0: 0, y1: 1, yref: "paper" } : { x0: 0, x1: 1, xref: "paper" }), line: look,
  });
  const limit = (/** @type {Quantity} */ quantity) => {
    const value = shown.limits[quantity];
    return value === null ? null : quantity === "error" ? 100 * value : value;
  };
  const ring = (/** @type {Point} */ point, /** @type {number} */ r, /** @type {any} */ look) => ({
    type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: valueOf(point, x), yanchor: valueOf(point, y), x0: -r, x1: r, y0: -r, y1: r, line: look,
  });
  const marked = shown.marked === null ? [] : shown.groups.flatMap((group) => group.points.filter((point) => point.id === shown.marked));
  const [atX, atY] = [limit(x), limit(y)];
  return [
    atX !== null && line("x", atX, { color: c.bad, width: 1.5 }), atY !== null && line("y", atY, { color: c.bad, width: 1.5 }),
    y === "error" && shown.guessing !== null && line("y", 100 * shown.guessing, { color: c.soft, width: 1, dash: "dot" }),
    ...shown.chosen.map((point) => ring(point, 9, { color: c.ink, width: 1.5, dash: "dot" })),
    ...marked.map((point) => ring(point, 12, { color: c.accent, width: 3 })),
  ].filter(Boolean);
}

/**
 * @param {() => Shown} shown what is to be seen now
 * @param {(point: Point | null) => void} hovered
 * @param {(point: Point) => void} clicked
 */
export function panes(shown, hovered, clicked) {
  const planes = PLANES.map(([x, y, label]) => ({ x, y, place: chartPlace(`${label}; the table below has the same points`, "chart pane"), colours: /** @type {any} */ (null) }));
  const space = chartPlace("Error, latency and energy in 3-D; the table below has the same points", "chart pane");
  const webgl = hasWebGL();
  /** @type {(() => void)[]} */
  let redraws = [];
  /** @type {(() => void) | null} */
  let redrawSpace = null;
  let due = 0;

  /** @param {HTMLElement} place */
  function listen(place) {
    const plot = /** @type {any} */ (place);
    const at = (/** @type {any} */ event) => shown().groups[event.points[0].curveNumber]?.points[event.points[0].pointNumber];
    plot.on("plotly_hover", (/** @type {any} */ event) => hovered(at(event) ?? null));
    plot.on("plotly_unhover", () => hovered(null));
    plot.on("plotly_click", (/** @type {any} */ event) => at(event) && clicked(at(event)));
  }

  function fade() {
    const { groups, limits } = shown();
    for (const { place } of planes) {
      place.querySelectorAll(".scatterlayer .trace").forEach((trace, number) => {
        const points = groups[number]?.points ?? [];
        trace.querySelectorAll("path.point").forEach((node, i) => node.classList.toggle("beyond", Boolean(points[i] && excesses(points[i], limits).length)));
      });
    }
  }

  /** @param {any} c colours */
  function spaceDrawing(c) {
    const now = shown();
    const trace = (/** @type {Group} */ group, /** @type {Point[]} */ points, /** @type {any} */ marker) => ({
      type: "scatter3d", mode: "markers", name: plain(group.name), hoverinfo: "text", hovertext: points.map((point) => plain(now.text(point)).replaceAll("\n", "<br>")),
      x: points.map((point) => point.latency_ms), y: points.map((point) => point.energy_mj), z: points.map((point) => valueOf(point, "error")), marker,
    });
    const data = now.groups.map((group) => trace(group, group.points.map((point) => (excesses(point, now.limits).length ? { ...point, error: NaN } : point)),
      { size: group.size * 0.6, color: group.colour, symbol: ["circle", "circle-open", "diamond", "square", "cross", "x"].includes(group.symbol) ? group.symbol : "circle" }));
    const marked = now.groups.flatMap((group) => group.points.filter((point) => point.id === now.marked));
    data.push({ ...trace({ ...now.groups[0], name: "marked" }, marked, { size: 9, color: c.accent, symbol: "circle-open", line: { width: 3, color: c.accent } }), hoverinfo: "skip" });
    const look = { gridcolor: c.line, zerolinecolor: c.line, color: c.ink, backgroundcolor: "rgba(0,0,0,0)" };
    const scene = { xaxis: { ...look, ...axis(now, "latency_ms") }, yaxis: { ...look, ...axis(now, "energy_mj") }, zaxis: { ...look, ...axis(now, "error") },
      aspectmode: "cube", camera: { eye: { x: 1.6, y: 1.6, z: 0.9 }, center: { x: 0, y: 0, z: -0.15 } } };
    return { data, layout: { scene, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: now.revision } };
  }

  async function draw() {
    if (redraws.length) redraws.forEach((redraw) => redraw());
    else {
      redraws = await Promise.all(planes.map(async (plane) => {
        const redraw = await chart(plane.place, (c) => {
          const now = shown();
          plane.colours = c;
          const data = now.groups.map((group) => ({
            type: "scatter", mode: "markers", name: plain(group.name), x: group.points.map((point) => valueOf(point, plane.x)), y: group.points.map((point) => valueOf(point, plane.y)),
            hoverinfo: "text", hovertext: group.points.map((point) => plain(now.text(point)).replaceAll("\n", "<br>")),
            marker: { size: group.size, color: group.colour, symbol: group.symbol },
          }));
          return { data, layout: { xaxis: keptAxis(plane.place, "xaxis", now, plane.x), yaxis: keptAxis(plane.place, "yaxis", now, plane.y),
            shapes: shapes(now, plane.x, plane.y, c), uirevision: now.revision } };
        });
        listen(plane.place);
        /** @type {any} */ (plane.place).on("plotly_afterplot", fade);
        return redraw;
      }));
    }
    fade();
    drawSpace();
  }

  /** A moment later, and once for many changes: drawing it takes long. */
  function drawSpace() {
    clearTimeout(due);
    if (webgl) due = window.setTimeout(async () => {
      if (redrawSpace) return redrawSpace();
      redrawSpace = await chart(space, spaceDrawing);
      listen(space);
    }, 120);
  }

  function mark() {
    const now = shown();
    for (const { x, y, place, colours } of planes) if (colours) Plotly.relayout(place, { shapes: shapes(now, x, y, colours) });
    drawSpace();
  }

  if (!webgl) {
    fill(space, el("p", { class: "soft" }, "3-D needs WebGL, which this browser does not offer: it may be switched off, or want a graphics driver. The three panes show the same points."));
  }
  return { places: [...planes.map((plane) => plane.place), space], draw, mark, limit: () => { fade(); mark(); } };
}
