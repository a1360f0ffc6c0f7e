// One network, or two side by side: layers, costs, operating points, training, early exits, files, card.

import { ask, el, fill, inAddress, table } from "page/dom.js";
import { cost, percent, short, size, when } from "page/numbers.js";

export const TITLE = "Network";
const COLUMN = 46, LEFT = 62, BAR = 60;
/** @type {Record<string, string>} As in the pictures of the report. */
const COLOURS = {
  k3_e1: "#C6DCEF", k3_e1_g2: "#A9D8C9", k3_e3: "#5FA2CE", k3_e6: "#0B4F8A",
  k5_e1: "#FBD9B5", k5_e1_g2: "#F2E394", k5_e3: "#F08A3C", k5_e6: "#A23B06", skip: "#FFFFFF",
};
/** @type {Record<number, number>} Height of a box by expansion. */
const HEIGHTS = { 0: 14, 1: 16, 3: 26, 6: 38 };

/** @param {HTMLElement} content @param {string} run @param {string[]} rest */
export async function show(content, run, rest) {
  const place = `/api/runs/${inAddress(run)}/-/networks`;
  const [{ networks }, ...shown] = await Promise.all([ask(place), ...rest.slice(0, 2).map((id) => ask(`${place}/${encodeURIComponent(id)}`))]);
  if (!shown.length) {
    const first = networks[0];
    if (!first) return fill(content, el("h1", {}, TITLE), el("p", {}, "No network was evaluated yet."));
    shown.push(await ask(`${place}/${encodeURIComponent(first.id)}`));
  }
  const [one, other] = shown;
  const address = (/** @type {string[]} */ ...ids) => `/runs/${inAddress(run)}/-/network/${ids.map(encodeURIComponent).join("/")}`;
  const chooser = (/** @type {string} */ label, /** @type {string} */ chosen, /** @type {(id: string) => string} */ to, empty = false) =>
    el("label", {}, `${label} `, el("select", { onchange: (/** @type {any} */ event) => location.assign(to(event.target.value)) },
      empty && el("option", { value: "" }, "none"),
      networks.map((/** @type {any} */ item) => el("option", { value: item.id, selected: item.id === chosen },
        item.kind === "evaluated" ? item.id : `${item.id} (${item.kind})`))));
  fill(content,
    el("h1", {}, `${TITLE} `, el("code", {}, one.id), other && [" and ", el("code", {}, other.id)]),
    el("p", { class: "bar" }, chooser("Network", one.id, (id) => (other ? address(id, other.id) : address(id))),
      chooser("beside", other?.id ?? "", (id) => (id ? address(one.id, id) : address(one.id)), true)),
    drawings(one, other),
    el("div", { class: other ? "pair" : "" }, [one, other].filter(Boolean).map((network) => facts(network, run, place, Boolean(other)))));
}

/** @param {any} one @param {any} other */
function drawings(one, other) {
  const drawable = [one, other].filter((network) => network?.layers);
  if (!drawable.length) return el("p", { class: "soft" }, "A baseline is no network of the search space: its layers are not drawn.");
  const labels = [...new Set(drawable.flatMap((network) => Object.keys(network.costs)))];
  const place = el("div");
  const draw = (/** @type {string} */ label) => fill(place, drawable.map((network) => drawing(network, label, drawable.find((item) => item !== network))),
    drawable.map((network) => sums(network, label)), el("details", {}, el("summary", {}, "Layers as a table"), layerTable(drawable, label)));
  const select = el("select", { onchange: (/** @type {any} */ event) => draw(event.target.value) }, labels.map((label) => el("option", {}, label)));
  draw(labels[0]);
  const differing = drawable.length === 2 ? differences(drawable[0], drawable[1]) : null;
  return el("section", { "aria-label": "Layers" }, el("h2", {}, "Layers"),
    labels.length > 1 && el("p", {}, el("label", {}, "Costs in the configuration ", select)),
    differing && el("p", {}, differing.length ? `≠ and a thick frame: ${differing.length} of ${one.layers.length} layers differ (${differing.map((layer) => layer + 1).join(", ")}).` : "All layers are the same."),
    place,
    el("p", { class: "soft" }, "k: kernel, e: expansion (height of a box), g: groups, /2: stride 2; a line: skip, a white 1×1: skip where the shape changes. Under each layer stands what the cost table predicts for it."));
}

/** @param {any} one @param {any} other @returns {number[]} layers whose operators differ */
const differences = (one, other) => one.layers.map((/** @type {any} */ layer, /** @type {number} */ place) => (layer.operator === other.layers[place]?.operator ? -1 : place)).filter((/** @type {number} */ place) => place >= 0);

/**
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {...(Node | string | false | undefined)} children
 */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children.filter((child) => child !== false && child !== undefined).map((child) => /** @type {Node | string} */ (child)));
  return made;
}

/** @param {number} x @param {number} y @param {string} content @param {Record<string, any>} [more] */
const text = (x, y, content, more = {}) => svg("text", { x, y, "text-anchor": "middle", ...more }, content);

/** @param {any} layer */
export const letters = (layer) => (layer.kernel ? `k${layer.kernel}e${layer.expansion}${layer.groups > 1 ? `g${layer.groups}` : ""}` : layer.identity ? "" : "1×1");

/** @param {any} network @param {string} label of a configuration @param {any} other */
function drawing(network, label, other) {
  const { layers, stem, head } = network, costs = network.costs[label];
  const marked = new Set(other ? differences(network, other) : []);
  const x = (/** @type {number} */ column) => LEFT + COLUMN * (column + 0.5);
  const width = LEFT + COLUMN * (layers.length + 2) + 8, height = 108 + 2 * (BAR + 22);
  const parts = [svg("line", { x1: x(0), x2: x(layers.length + 1), y1: 70, y2: 70, class: "through" })];
  for (const column of ["stem", ...layers.keys(), "head"].entries()) {
    const [place, name] = column;
    parts.push(text(x(place), 44, typeof name === "number" ? `${name + 1}` : name, { class: "soft" }));
  }
  const box = (/** @type {number} */ column, /** @type {number} */ high, /** @type {string} */ fillColour, /** @type {string} */ content, /** @type {string} */ told, thick = false) => {
    const light = parseInt(fillColour.slice(1, 3), 16) * 0.3 + parseInt(fillColour.slice(3, 5), 16) * 0.59 + parseInt(fillColour.slice(5), 16) * 0.11 > 128;
    parts.push(svg("g", {}, svg("title", {}, told),
      svg("rect", { x: x(column) - 20, y: 70 - high / 2, width: 40, height: high, rx: 3, fill: fillColour, class: thick ? "box differs" : "box" }),
      text(x(column), 74, content, { fill: light ? "#222" : "#fff", class: content.length > 4 ? "small" : "" })));
  };
  box(0, 26, "#E3E3E3", "3×3", `stem: 3×3, ${stem.channels} channels, stride ${stem.stride}, from ${stem.size} px`);
  layers.forEach((/** @type {any} */ layer, /** @type {number} */ index) => {
    const shape = `${layer.in_channels} to ${layer.out_channels} channels, ${layer.size} px, stride ${layer.stride}`;
    if (!layer.identity) box(index + 1, HEIGHTS[layer.expansion] ?? 26, COLOURS[layer.operator] ?? "#E3E3E3", letters(layer), `layer ${index + 1}: ${layer.operator}, ${shape}`, marked.has(index));
    if (layer.stride > 1) parts.push(text(x(index + 1), 102, `/${layer.stride}`, { class: "soft" }));
    if (marked.has(index)) parts.push(text(x(index + 1) - (layer.stride > 1 ? 14 : 0), 102, "≠", { class: "unequal" }));
    const first = index === 0 || layers[index - 1].out_channels !== layer.out_channels || layer.stride > 1;
    if (first) parts.push(text(x(index + 1) - 20, 16, `${layer.out_channels} ch`, { "text-anchor": "start", class: "soft" }), text(x(index + 1) - 20, 29, `${layer.out_size} px`, { "text-anchor": "start", class: "soft" }));
  });
  box(layers.length + 1, 26, "#E3E3E3", "1×1 fc", `head: 1×1 to ${head.channels} channels, pooling, ${head.classes} classes`);
  let y = 112;
  for (const [name, key, unit] of [["latency", "latency_ms", "ms"], ["energy", "energy_mj", "mJ"]]) {
    const own = costs[key], most = Math.max(own.fixed, ...own.layers, 1e-12);
    parts.push(text(4, y + BAR - 14, name, { "text-anchor": "start", class: "soft" }), text(4, y + BAR, unit, { "text-anchor": "start", class: "soft" }));
    const bar = (/** @type {number} */ column, /** @type {number} */ value, /** @type {string} */ told) => {
      const high = Math.max(0, (value / most) * (BAR - 14));
      parts.push(svg("g", {}, svg("title", {}, `${told}: ${short(value)} ${unit} (modelled)`),
        svg("rect", { x: x(column) - 16, y: y + BAR - high, width: 32, height: high, class: `cost ${name}` }),
        text(x(column), y + BAR - high - 3, short(value), { class: "small" })));
    };
    bar(0, own.fixed, "stem and head (fixed)");
    own.layers.forEach((/** @type {number} */ value, /** @type {number} */ index) => bar(index + 1, value, `layer ${index + 1}`));
    parts.push(svg("line", { x1: LEFT, x2: width - 8, y1: y + BAR, y2: y + BAR, class: "axis" }));
    y += BAR + 22;
  }
  const told = `Network ${network.id}: ${layers.map((/** @type {any} */ layer) => layer.operator).join(", ")}`;
  return el("figure", {}, el("figcaption", {}, el("code", {}, network.id)), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Drawing of ${network.id}` },
    /** @type {any} */ (svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told, class: "layers" }, ...parts))));
}

/** @param {any} network @param {string} label */
function sums(network, label) {
  const costs = network.costs[label], by = costs.corrected ? "the cost table as boards corrected it" : "the cost table";
  const line = (/** @type {any} */ own, /** @type {string} */ unit) => `layers ${short(own.sum - own.fixed)} + fixed ${short(own.fixed)} = ${short(own.sum)} ${unit}`;
  return el("p", {}, `Predicted for `, el("code", {}, network.id), ` by ${by}: latency ${line(costs.latency_ms, "ms")}; ${network.energy} ${line(costs.energy_mj, "mJ")} (modelled).`);
}

/** @param {any[]} networks @param {string} label */
function layerTable(networks, label) {
  const marked = networks.length === 2 ? new Set(differences(networks[0], networks[1])) : new Set();
  const rows = networks[0].layers.map((/** @type {any} */ layer, /** @type {number} */ place) => [
    `${place + 1}${marked.has(place) ? " ≠" : ""}`, `${layer.in_channels} → ${layer.out_channels}`, `${layer.size} → ${layer.out_size} px`, layer.stride,
    ...networks.flatMap((network) => [network.layers[place].operator, short(network.costs[label].latency_ms.layers[place]), short(network.costs[label].energy_mj.layers[place]), network.layers[place].params.toLocaleString("en")]),
  ]);
  return table(["layer", "channels", "resolution", "stride", ...networks.flatMap(() => ["operator", "latency (ms, modelled)", "energy (mJ, modelled)", "parameters"])], rows, "Layers");
}

/** @param {any} network @param {string} run @param {string} place @param {boolean} paired */
function facts(network, run, place, paired) {
  const error = (/** @type {any} */ told) => (told ? percent(told.error, told.low, told.high) : "–");
  const { trial, trained } = network;
  const points = network.points.map((/** @type {any} */ point) => [
    point.configuration, point.weights, error(point.selection), error(point.test),
    "latency_ms" in point ? cost(point.latency_ms, "ms", point.latency_source) : "–",
    "energy_mj" in point ? cost(point.energy_mj, "mJ", point.energy_source) + (point.energy_error ? ` ± ${(100 * point.energy_error).toFixed(0)} %` : "") : "–",
    point.on_front ? "yes" : "no",
  ]);
  const conditions = network.points.filter((/** @type {any} */ point) => point.measurement).map((/** @type {any} */ point) => conditionsRow(point));
  const files = place + `/${encodeURIComponent(network.id)}/files/`;
  return el("section", { "aria-label": `Facts of ${network.id}` }, paired && el("h2", {}, el("code", {}, network.id)),
    el("p", {}, `${network.kind[0].toUpperCase()}${network.kind.slice(1)}; ${network.params.toLocaleString("en")} parameters, ${network.macs.toLocaleString("en")} multiply-accumulates.`),
    trial && found(trial, run),
    trained && el("p", {}, `Trained for ${short(trained.epochs)} epochs ${trained.fine_tuned ? "from inherited weights" : "from scratch"}: error ${error(trained.selection)} on the selection split, ${error(trained.test)} on the test split (PyTorch, fp32).`),
    el("h2", {}, "Operating points"),
    table(["configuration", "weights", "error, selection split", "error, test split", "latency", network.energy, "on the front"], points, `Operating points of ${network.id}`),
    el("p", { class: "soft" }, "In parentheses stands the 95 % interval, which the number of images leaves open."),
    conditions.length > 0 && [el("h2", {}, "Measurements"),
      table(["configuration", "date (UTC)", "median (IQR)", "runs", "temperature", "clock", "state", "idle power", "meter", "board"], conditions, `Measurements of ${network.id}`)],
    exits(network, error),
    el("h2", {}, "Files"),
    network.files.length ? el("ul", {}, network.files.map((/** @type {any} */ file) => el("li", {},
      el("a", { href: files + file.name.split("/").map(encodeURIComponent).join("/"), download: true }, file.name), ` – ${file.what}, ${size(file.bytes)}`)))
      : el("p", {}, "None: networks of the front get theirs when a search ends, and when they are trained."),
    network.files.some((/** @type {any} */ file) => file.name.endsWith("card.md")) && card(network, place));
}

/** @param {any} trial @param {string} run */
function found(trial, run) {
  const c = trial.coefficients;
  return el("p", {}, "Found by ", el("a", { href: `/runs/${inAddress(run)}/-/coefficients/${trial.id}` }, `trial ${trial.id}`),
    `${trial.generation > 0 ? ` of generation ${trial.generation}` : ""}, ${trial.where}${trial.mode ? " (mode of theta)" : ""}`,
    c ? `: alpha ${short(c.alpha)}, beta ${short(c.beta)}, gamma ${short(c.gamma)}, delta ${short(c.delta)}` : "", trial.configuration ? `, for ${trial.configuration}.` : ".");
}

/** @param {any} point */
function conditionsRow(point) {
  const m = point.measurement;
  const both = (/** @type {string} */ name, /** @type {string} */ unit) => {
    const values = [m.before[name], m.after[name]].filter((value) => value !== null).map(short);
    return values.length ? `${[...new Set(values)].join(" → ")} ${unit}` : "not told";
  };
  const state = [m.throttled && "throttled", !m.reliable && "spread too wide", m.energy_note].filter(Boolean).join("; ");
  return [`${point.configuration}, ${point.weights}`, when(m.date), `${short(m.median_ms)} ms (${short(m.iqr_ms)})`, m.runs, both("temperature_c", "°C"),
    both("clock_mhz", "MHz"), state || "good", m.idle_w === null ? "not known" : `${short(m.idle_w)} W`, m.meter ?? "none", `${m.board}; ${m.runtime}; ${m.os}`];
}

/** @param {any} network @param {(told: any) => string} error */
function exits(network, error) {
  if (network.adaptive_problem) return el("p", { class: "problem" }, network.adaptive_problem);
  if (!network.adaptive?.length) return null;
  const rows = network.adaptive.map((/** @type {any} */ point) => [
    point.configuration, point.exits.map((/** @type {any} */ exit) => `layer ${exit.layer} (${exit.head}) above ${short(exit.threshold)}`).join("; "),
    error(point.selection), error(point.test), cost(point.latency_ms, "ms", point.latency_source), `${short(point.worst_latency_ms)} ms`, cost(point.energy_mj, "mJ", point.energy_source),
    point.ways.map((/** @type {any} */ way) => `${percent(way.share)} in ${short(way.latency_ms)} ms`).join("; "),
    point.streamed ? `${short(point.streamed.mean_latency_ms)} ms, ${percent(point.streamed.error)} of ${point.streamed.images} images` : "–",
  ]);
  return [el("h2", {}, "Early exits"),
    table(["configuration", "leaves at, by the largest softmax", "error, selection split", "error, test split", "expected latency", "longest way", "expected energy", "ways", "streamed on the board"], rows, "Operating points with early exits")].flat();
}

/** @param {any} network @param {string} place */
function card(network, place) {
  const frame = el("iframe", { title: `Card of ${network.id}`, sandbox: "allow-same-origin", class: "card" });
  const open = async (/** @type {any} */ event) => {
    if (!event.target.open || frame.hasAttribute("srcdoc")) return;
    const { html } = await ask(`${place}/${encodeURIComponent(network.id)}/card`);
    frame.setAttribute("srcdoc", html);
  };
  return el("details", { ontoggle: open }, el("summary", {}, "Card"), frame);
}
