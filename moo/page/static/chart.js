// Charts by plotly, in the colours of the page, which follow the colour scheme.

import { el } from "page/dom.js";

/** @typedef {{ink: string, soft: string, page: string, line: string, accent: string, bad: string, warn: string, good: string}} Colours */
/** @typedef {{data: any[], layout: any}} Drawing */

/** One a cost or configuration, with shapes that tell them apart without colour. */
export const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "x", "star", "hexagon"];
export const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#8A5AC2", "#7A7A7A"];
const dark = matchMedia("(prefers-color-scheme: dark)");
/** @type {Set<{place: HTMLElement, draw: () => void}>} */
const drawn = new Set();
dark.addEventListener("change", () => {
  for (const one of drawn) {
    if (one.place.isConnected) one.draw();
    else drawn.delete(one);
  }
});

/** @returns {Colours} */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "page", "line", "accent", "bad", "warn", "good"];
  return /** @type {Colours} */ (Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])));
}

/** @param {string} name of others, which plotly would obey as markup @returns {string} */
export const literal = (name) => name.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** @param {string} label what it shows, for those who do not see it @param {string} [kind] a class */
export const chartPlace = (label, kind = "chart") => el("div", { class: kind, role: "group", "aria-label": label });

/**
 * Draw a chart, again by what it returns, and whenever the colour scheme changes.
 * @param {HTMLElement} place
 * @param {(colours: Colours) => Drawing} make
 * @returns {Promise<() => void>}
 */
export async function chart(place, make) {
  await import("page/plotly.js");
  const draw = () => {
    const c = colours();
    const { data, layout } = make(c);
    const axis = { gridcolor: c.line, linecolor: c.line, zerolinecolor: c.line, automargin: true };
    const all = { ...layout };
    for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) {
      const title = { ...layout[name].title, ...(place.clientWidth < 400 && { font: { size: 11 } }) };
      all[name] = { ...axis, ...layout[name], title };
    }
    Plotly.react(place, data, {
      xaxis: axis, yaxis: axis, margin: { l: 55, r: 15, t: 15, b: 45 }, showlegend: false, separators: ".", hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: c.ink, family: "system-ui, sans-serif", size: 13 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hoverlabel: { bgcolor: c.page, font: { color: c.ink } }, ...all,
    }, { responsive: true, displayModeBar: false, displaylogo: false });
  };
  drawn.add({ place, draw });
  draw();
  return draw;
}
