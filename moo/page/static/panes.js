// Three linked panes and a space of error, latency and energy. Limits and marks never draw the points anew.

import { PALETTE, SYMBOLS, chart, chartPlace } from "page/chart.js";
import { el, fill } from "page/dom.js";
import { excesses } from "page/choosing.js";

/** @typedef {import("./choosing.js").Point} Point */
/** @typedef {"error" | "latency_ms" | "energy_mj"} Quantity */
/** @typedef {{name: string, symbol: string, colour: string, size: number, points: Point[], many?: boolean}} Group as one path if many */
/** @typedef {{groups: Group[], limits: import("./choosing.js").Limits, marked: string | null, chosen: Point[], guessing: number | null,
 *   revision: string, labels: Record<Quantity, string>}} Shown zoom and camera stay as long as its `revision` does */

const GLYPHS = /** @type {Record<string, string>} */ ({
  circle: "●", diamond: "◆", square: "■", "triangle-up": "▲", cross: "✚", x: "✖", star: "★", hexagon: "⬢", "circle-open": "○" });
const IN_SPACE = ["circle", "circle-open", "diamond", "square", "cross", "x"];
/** @type {[Quantity, Quantity, string][]} */
const PLANES = [["latency_ms", "error", "Error against latency"], ["energy_mj", "error", "Error against energy"],
  ["energy_mj", "latency_ms", "Latency against energy"]];
const WIDE = 20; // Spans beyond it are shown on a logarithmic axis.

/** @param {number} place @returns {{symbol: string, colour: string}} of the configuration of that place: no two are alike */
export const lookOf = (place) => ({ symbol: SYMBOLS[(place + Math.floor(place / 8)) % 8], colour: PALETTE[place % 8] });
/** @param {Group[]} groups what they look like, in words */
export const legend = (groups) => groups.map((group) =>
  el("span", {}, el("span", { style: `color:${group.colour}` }, GLYPHS[group.symbol]), ` ${group.name} (${group.points.length})`));
/** @param {Point} point @param {Quantity} quantity */
const valueOf = (point, quantity) => (quantity === "error" ? 100 * point.error : point[quantity]);
/** @param {string} text as plotly shows it: its own tags must not be others' */
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("\n", "<br>");
/** @param {Shown} shown @returns {Point[]} all of the network that is marked */
const markedOf = (shown) => shown.groups.flatMap((group) => group.points.filter((point) => point.id === shown.marked));

/** @param {Shown} shown @param {Quantity} quantity @returns {any} an axis that its points fill, limits or not */
function axis(shown, quantity) {
  const values = shown.groups.flatMap((group) => group.points.map((point) => valueOf(point, quantity)));
  let [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const guessing = 100 * (shown.guessing ?? 0);
  if (quantity === "error" && guessing < 1.5 * high) high = Math.max(high, guessing);
  const log = quantity !== "error" && low > 0 && high / low > WIDE;
  if (log) [low, high] = [Math.log10(low), Math.log10(high)];
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  const range = values.length ? [low - pad, high + pad] : [0, 1];
  return { title: { text: plain(shown.labels[quantity]) }, type: log ? "log" : "linear", range, automargin: false };
}

// The same, or where somebody has zoomed the range from which they did: plotly keeps theirs beside an unchanged one.
/** @param {any} plot @param {"xaxis" | "yaxis"} name @param {Shown} shown @param {Quantity} quantity */
function keptAxis(plot, name, shown, quantity) {
  const [wanted, given, now] = [axis(shown, quantity), plot.given?.[name], plot.layout?.[name]?.range];
  if (given?.revision === shown.revision && now && String(now) !== String(given.range)) wanted.range = [...given.range];
  plot.given = { ...plot.given, [name]: { range: [...wanted.range], revision: shown.revision } };
  return wanted;
}

/** @param {Shown} shown @param {Quantity} x @param {Quantity} y @param {any} c colours @returns {any[]} limits, guessing, rings */
function shapes(shown, x, y, c) {
  const upright = (/** @type {number} */ at, /** @type {any} */ line) =>
    ({ type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line });
  const level = (/** @type {number} */ at, /** @type {any} */ line) =>
    ({ type: "line", y0: at, y1: at, x0: 0, x1: 1, xref: "paper", line });
  const ring = (/** @type {Point} */ point, /** @type {number} */ r, /** @type {any} */ line) => ({
    type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: valueOf(point, x), yanchor: valueOf(point, y),
    x0: -r, x1: r, y0: -r, y1: r, line });
  const [atX, atY] = [x, y].map((quantity) => shown.limits[quantity] && shown.limits[quantity] * (quantity === "error" ? 100 : 1));
  return [
    atX && upright(atX, { color: c.bad, width: 1.5 }), atY && level(atY, { color: c.bad, width: 1.5 }),
    y === "error" && shown.guessing !== null && level(100 * shown.guessing, { color: c.soft, width: 1, dash: "dot" }),
    ...shown.chosen.map((point) => ring(point, 9, { color: c.ink, width: 1.5, dash: "dot" })),
    ...markedOf(shown).map((point) => ring(point, 12, { color: c.accent, width: 3 })),
  ].filter(Boolean);
}

/** @param {Shown} shown @param {any} c colours */
function spaceDrawing(shown, c) {
  const trace = (/** @type {Point[]} */ points, /** @type {any} */ marker, /** @type {string} */ hoverinfo) => ({
    type: "scatter3d", mode: "markers", hoverinfo, hovertext: points.map((point) => plain(point.about)), marker,
    x: points.map((point) => point.latency_ms), y: points.map((point) => point.energy_mj),
    z: points.map((point) => (excesses(point, shown.limits).length ? null : valueOf(point, "error"))),
  });
  const data = shown.groups.map(({ points, size, colour, symbol }) =>
    trace(points, { size: size * 0.6, color: colour, symbol: IN_SPACE.includes(symbol) ? symbol : "circle" }, "text"));
  data.push(trace(markedOf(shown), { size: 9, color: c.accent, symbol: "circle-open", line: { width: 3, color: c.accent } }, "skip"));
  const title = { latency_ms: "latency (ms)", energy_mj: "energy (mJ)", error: "error (%)" };
  const look = (/** @type {Quantity} */ quantity) => ({
    gridcolor: c.line, zerolinecolor: c.line, color: c.ink, backgroundcolor: "rgba(0,0,0,0)", ...axis(shown, quantity),
    title: { text: title[quantity] },
  });
  const far = innerWidth < 400 ? 2.2 : 1.6, camera = { eye: { x: far, y: far, z: far - 0.7 }, center: { x: 0, y: 0, z: -0.15 } };
  const scene = { xaxis: look("latency_ms"), yaxis: look("energy_mj"), zaxis: look("error"), aspectmode: "cube", camera };
  return { data, layout: { scene, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: shown.revision } };
}

/** @param {() => Shown} shown now @param {(point: Point | null) => void} hovered @param {(point: Point) => void} clicked */
export function panes(shown, hovered, clicked) {
  const place = (/** @type {string} */ label) => chartPlace(`${label}; the table below has the same points`, "chart pane");
  const planes = PLANES.map(([x, y, label]) => ({ x, y, place: place(label), colours: /** @type {any} */ (null) }));
  let [space, webgl] = [place("Error, latency and energy in 3-D"), /** @type {boolean | null} */ (null)];
  let [redraws, redrawSpace, due] = [/** @type {(() => void)[]} */ ([]), /** @type {(() => void) | null} */ (null), 0];

  /** @param {any} plot */
  function listen(plot) {
    const at = (/** @type {any} */ event) => shown().groups[event.points[0].curveNumber]?.points[event.points[0].pointNumber] ?? null;
    plot.on("plotly_hover", (/** @type {any} */ event) => hovered(at(event)));
    plot.on("plotly_unhover", () => hovered(null));
    plot.on("plotly_click", (/** @type {any} */ event) => at(event) && clicked(at(event)));
  }

  /** Points beyond the limits are faint. @param {typeof planes} [wanted] */
  function fade(wanted = planes) {
    const { groups, limits } = shown();
    const beyond = groups.map((group) => group.points.map((point) => excesses(point, limits).length > 0));
    for (const { place, x, y } of wanted) place.querySelectorAll(".scatterlayer .trace").forEach((trace, number) => {
      trace.querySelectorAll("path.point").forEach((node, i) => node.classList.toggle("beyond", Boolean(beyond[number]?.[i])));
      trace.querySelectorAll(".dots").forEach((node) => node.remove());
      const { points, many } = groups[number] ?? {}, { xaxis, yaxis } = /** @type {any} */ (place)._fullLayout;
      const at = (/** @type {Point} */ point) => `M${xaxis.d2p(valueOf(point, x)).toFixed(1)},${yaxis.d2p(valueOf(point, y)).toFixed(1)}h0`;
      for (const faint of many ? [true, false] : []) {
        const path = trace.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
        path.setAttribute("class", faint ? "dots beyond" : "dots");
        path.setAttribute("d", points.map((point, i) => (beyond[number][i] === faint ? at(point) : "")).join(""));
      }
    });
  }

  /** A moment later, and once for many changes: drawing it takes long. */
  function drawSpace() {
    clearTimeout(due);
    due = window.setTimeout(async () => {
      webgl ??= ["webgl2", "webgl"].some((kind) => document.createElement("canvas").getContext(kind));
      if (!webgl) return fill(space, el("p", { class: "soft" }, "3-D needs WebGL, which this browser does not offer: ",
        "it may be switched off, or want a graphics driver. The three panes show the same points."));
      if (redrawSpace) return redrawSpace();
      redrawSpace = await chart(space, (c) => spaceDrawing(shown(), c));
      listen(space);
    }, 120);
  }

  /** @param {typeof planes[number]} plane */
  async function begin(plane) {
    const redraw = await chart(plane.place, (c) => {
      const now = shown();
      plane.colours = c;
      const data = now.groups.map(({ points, size, symbol, colour, many }) => ({
        type: "scatter", mode: many ? "none" : "markers", hoverinfo: "text", hovertext: points.map((point) => plain(point.about)),
        x: points.map((point) => valueOf(point, plane.x)), y: points.map((point) => valueOf(point, plane.y)),
        marker: { size, symbol, color: colour } }));
      const [xaxis, yaxis] = [keptAxis(plane.place, "xaxis", now, plane.x), keptAxis(plane.place, "yaxis", now, plane.y)];
      return { data, layout: { xaxis, yaxis, shapes: shapes(now, plane.x, plane.y, c), uirevision: now.revision } };
    });
    listen(plane.place);
    fade([plane]); // What comes after a plot is listened to from now on.
    /** @type {any} */ (plane.place).on("plotly_afterplot", () => fade([plane]));
    return redraw;
  }

  async function draw() {
    if (redraws.length) redraws.forEach((redraw) => redraw());
    else redraws = await Promise.all(planes.map(begin));
    drawSpace();
  }

  function mark() {
    for (const { x, y, place: plot, colours } of planes.filter((plane) => plane.colours))
      Plotly.relayout(plot, { shapes: shapes(shown(), x, y, colours) });
    drawSpace();
  }

  return { places: [...planes.map((plane) => plane.place), space], draw, mark, limit: () => { fade(); mark(); } };
}
