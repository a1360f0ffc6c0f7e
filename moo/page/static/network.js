// One network, or two side by side: layers, costs, operating points, training, early exits, files, card.

import { ask, el, fill, inAddress, table } from "page/dom.js";
import { cost, percent, short, size, when } from "page/numbers.js";

/** @typedef {{id: string, layers: any[], points: any[], files: any[], adaptive?: any[], [name: string]: any}} Network */
/** @typedef {{target: any}} Happened */

export const TITLE = "Network";
const COLUMN = 46, LEFT = 62, BAR = 60, GREY = "#E3E3E3";
/** @type {Record<string, string>} As in the pictures of the report. */
const COLOURS = {
  k3_e1: "#C6DCEF", k3_e1_g2: "#A9D8C9", k3_e3: "#5FA2CE", k3_e6: "#0B4F8A",
  k5_e1: "#FBD9B5", k5_e1_g2: "#F2E394", k5_e3: "#F08A3C", k5_e6: "#A23B06", skip: "#FFFFFF",
};
/** @type {Record<number, number>} Height of a box by expansion. */
const HEIGHTS = { 0: 14, 1: 16, 3: 26, 6: 38 };
const LEGEND = "k: kernel, e: expansion (height of a box), g: groups, /2: stride 2; a line alone: skip; a white 1×1: skip where the " +
  "shape changes. Under each layer stands what the cost table predicts for it.";
const POINT_HEADS = ["configuration", "weights", "error, selection split", "error, test split", "latency"];
const CONDITION_HEADS = [
  "configuration", "date (UTC)", "median (IQR)", "runs", "temperature", "clock", "state", "idle power", "meter", "board",
];
const EXIT_HEADS = [
  "configuration", "leaves at, by the largest softmax", "error, selection split", "error, test split", "expected latency", "longest way",
  "expected energy", "ways (as the expected latency)", "streamed on the board",
];

/** @param {HTMLElement} content @param {string} run @param {string[]} rest */
export async function show(content, run, rest) {
  const place = `/api/runs/${inAddress(run)}/-/networks`;
  const read = (/** @type {string} */ id) => ask(`${place}/${encodeURIComponent(id)}`);
  const [known, ...shown] = await Promise.all([ask(place), ...rest.slice(0, 2).map(read)]);
  const { networks = [], nothing = "No network was evaluated yet." } = known;
  if (!networks.length) return fill(content, el("h1", {}, TITLE), el("p", {}, nothing));
  if (!shown.length) shown.push(await read(networks[0].id));
  const [one, other] = /** @type {Network[]} */ (shown);
  const address = (/** @type {string[]} */ ...ids) => `/runs/${inAddress(run)}/-/network/${ids.map(encodeURIComponent).join("/")}`;
  fill(content,
    el("h1", {}, `${TITLE} `, el("code", {}, one.id), other && [" and ", el("code", {}, other.id)]),
    el("p", { class: "controls" },
      chooser("Network", networks, one.id, (id) => (other ? address(id, other.id) : address(id))),
      chooser("beside", [{ id: "", kind: "none" }, ...networks], other?.id ?? "", (id) => (id ? address(one.id, id) : address(one.id)))),
    drawings(one, other),
    el("div", { class: other ? "pair" : "" }, shown.map((network) => facts(network, run, place, Boolean(other)))));
}

/** @param {string} label @param {any[]} networks @param {string} chosen @param {(id: string) => string} address */
const chooser = (label, networks, chosen, address) =>
  el("label", {}, `${label} `, el("select", { onchange: (/** @type {Happened} */ event) => location.assign(address(event.target.value)) },
    networks.map(({ id, kind }) => el("option", { value: id, selected: id === chosen }, kind === "evaluated" ? id : `${id} (${kind})`))));

/** @param {Network} one @param {Network | undefined} other */
function drawings(one, other) {
  const drawable = [one, ...(other ? [other] : [])].filter((network) => network.layers);
  if (!drawable.length) return el("p", { class: "soft" }, "A baseline is no network of the search space: its layers are not drawn.");
  const labels = Object.keys(drawable[0].costs), place = el("div");
  const marked = drawable.length === 2 ? differences(drawable[0], drawable[1]) : [];
  const draw = (/** @type {string} */ label) => fill(place,
    drawable.map((network) => [drawing(network, label, marked), sums(network, label)]).flat(),
    el("details", {}, el("summary", {}, "Layers as a table"), layerTable(drawable, label, marked)));
  draw(labels[0]);
  const numbers = marked.map((layer) => layer + 1).join(", ");
  const told = `≠ and a thick frame: ${marked.length} of ${drawable[0].layers.length} layers differ (${numbers}).`;
  const chosen = (/** @type {Happened} */ event) => draw(event.target.value);
  const choose = el("select", { onchange: chosen }, labels.map((label) => el("option", {}, label)));
  return el("section", { "aria-label": "Layers" }, el("h2", {}, "Layers"),
    labels.length > 1 && el("p", {}, el("label", {}, "Costs in the configuration ", choose)),
    drawable.length === 2 && el("p", {}, marked.length ? told : "All layers are the same."),
    place, el("p", { class: "soft" }, LEGEND));
}

/** @param {Network} one @param {Network} other @returns {number[]} layers whose operators differ */
const differences = (one, other) =>
  one.layers.map((layer, place) => (layer.operator === other.layers[place]?.operator ? -1 : place)).filter((place) => place >= 0);

/** @param {string} tag @param {Record<string, any>} attributes @param {...(Node | string)} children */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** @param {number} x @param {number} y @param {string} content @param {string} [kind] @param {Record<string, any>} [more] */
const text = (x, y, content, kind = "", more = {}) => svg("text", { x, y, class: kind, "text-anchor": "middle", ...more }, content);
const START = { "text-anchor": "start" };

/** @param {any} layer @returns {string} */
const letters = ({ kernel, expansion, groups }) => (kernel ? `k${kernel}e${expansion}${groups > 1 ? `g${groups}` : ""}` : "1×1");

/** @param {Network} network @param {string} label of a configuration @param {number[]} marked */
export function drawing(network, label, marked) {
  const { layers, stem, head } = network, last = layers.length + 1;
  const x = (/** @type {number} */ column) => LEFT + COLUMN * (column + 0.5);
  const width = LEFT + COLUMN * (last + 1) + 8, height = 108 + 2 * (BAR + 22);
  const parts = [svg("line", { x1: x(0), x2: x(last), y1: 70, y2: 70, class: "through" })];
  ["stem", ...layers.map((_, index) => `${index + 1}`), "head"].forEach((name, column) => parts.push(text(x(column), 44, name, "soft")));
  /** @type {(column: number, high: number, colour: string, content: string, told: string, differs?: boolean) => void} */
  const box = (column, high, colour, content, told, differs = false) => {
    const [red, green, blue] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
    const ink = 0.3 * red + 0.59 * green + 0.11 * blue > 128 ? "#222" : "#fff", kind = differs ? "box differs" : "box";
    parts.push(svg("g", {}, svg("title", {}, told),
      svg("rect", { x: x(column) - 20, y: 70 - high / 2, width: 40, height: high, rx: 3, fill: colour, class: kind }),
      text(x(column), 74, content, content.length > 4 ? "small" : "", { style: `fill: ${ink}` })));
  };
  box(0, 26, GREY, "3×3", `stem: 3×3, ${stem.channels} channels, stride ${stem.stride}, from ${stem.size} px`);
  box(last, 26, GREY, "1×1 fc", `head: 1×1 to ${head.channels} channels, pooling, ${head.classes} classes`);
  layers.forEach((layer, index) => {
    const column = index + 1, differs = marked.includes(index);
    const shape = `${layer.in_channels} to ${layer.out_channels} channels, ${layer.size} to ${layer.out_size} px, stride ${layer.stride}`;
    const told = `layer ${column}: ${layer.operator}, ${shape}`;
    if (!layer.identity) box(column, HEIGHTS[layer.expansion] ?? 26, COLOURS[layer.operator] ?? GREY, letters(layer), told, differs);
    if (layer.stride > 1) parts.push(text(x(column) + 8, 104, `/${layer.stride}`, "soft"));
    if (differs) parts.push(text(x(column) - 8, 104, "≠", "unequal"));
    if (index === 0 || layers[index - 1].out_channels !== layer.out_channels || layer.stride > 1) {
      const over = [`${layer.out_channels} ch`, `${layer.out_size} px`];
      parts.push(...over.map((content, row) => text(x(column) - 20, 16 + 13 * row, content, "soft", START)));
    }
  });
  ["latency_ms", "energy_mj"].forEach((key, row) => {
    const own = network.costs[label][key], most = Math.max(own.fixed, ...own.layers, 1e-12);
    const y = 112 + row * (BAR + 22) + BAR;
    const [name, unit] = row ? ["energy", "mJ"] : ["latency", "ms"];
    parts.push(text(4, y - 14, name, "soft", START), text(4, y, unit, "soft", START));
    [own.fixed, ...own.layers].forEach((value, column) => {
      const high = (value / most) * (BAR - 14), where = column ? `layer ${column}` : "stem and head (fixed)";
      parts.push(svg("g", {}, svg("title", {}, `${where}: ${cost(value, unit, "modelled")}`),
        svg("rect", { x: x(column) - 16, y: y - high, width: 32, height: high, class: name }),
        text(x(column), y - high - 3, short(value), "small")));
    });
    parts.push(svg("line", { x1: LEFT, x2: width - 8, y1: y, y2: y, class: "axis" }), text(x(0), y + 12, "fixed", "small soft"));
  });
  const told = `Network ${network.id}: ${layers.map((layer) => layer.operator).join(", ")}`;
  const image = svg("svg", { width, height, role: "img", "aria-label": told, class: "layers" }, ...parts);
  return el("figure", {}, el("figcaption", {}, el("code", {}, network.id)),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Drawing of ${network.id}` }, image));
}

/** @param {Network} network @param {string} label */
function sums(network, label) {
  const costs = network.costs[label], by = costs.corrected ? "the cost table as boards corrected it" : "the cost table";
  const line = (/** @type {any} */ own, /** @type {string} */ unit) =>
    `layers ${short(own.sum - own.fixed)} + fixed ${short(own.fixed)} = ${short(own.sum)} ${unit}`;
  return el("p", { class: "sums" }, `Predicted by ${by}: latency ${line(costs.latency_ms, "ms")}; `,
    `${network.energy} ${line(costs.energy_mj, "mJ")} (modelled).`);
}

/** @param {Network[]} networks @param {string} label @param {number[]} marked */
function layerTable(networks, label, marked) {
  const own = (/** @type {Network} */ { layers, costs }, /** @type {number} */ place) => [
    layers[place].operator, short(costs[label].latency_ms.layers[place]), short(costs[label].energy_mj.layers[place]),
    layers[place].params.toLocaleString("en"),
  ];
  const heads = networks.flatMap(() => ["operator", "latency (ms, modelled)", "energy (mJ, modelled)", "parameters"]);
  return table(["layer", "channels", "resolution", "stride", ...heads], networks[0].layers.map((layer, place) => [
    `${place + 1}${marked.includes(place) ? " ≠" : ""}`, `${layer.in_channels} → ${layer.out_channels}`,
    `${layer.size} → ${layer.out_size} px`, layer.stride, ...networks.flatMap((network) => own(network, place)),
  ]), "Layers as a table");
}

/** @param {any} told an error with its interval @returns {string} */
const error = (told) => (told ? percent(told.error, told.low, told.high) : "–");

/** @param {Network} network @param {string} run @param {string} place @param {boolean} paired */
function facts(network, run, place, paired) {
  const { id, kind, trial, trained, files, points, adaptive = [] } = network, own = `${place}/${encodeURIComponent(id)}`;
  const rows = points.map((point) => [
    point.configuration, point.weights, error(point.selection), error(point.test),
    point.latency_ms === undefined ? "–" : cost(point.latency_ms, "ms", point.latency_source),
    point.energy_mj === undefined ? "–" : cost(point.energy_mj, "mJ", point.energy_source) + within(point.energy_error),
    point.on_front ? "yes" : "no",
  ]);
  const conditions = points.filter((point) => point.measurement).map(condition);
  const link = (/** @type {any} */ file) =>
    el("a", { href: `${own}/files/${file.name.split("/").map(encodeURIComponent).join("/")}`, download: true }, file.name);
  return el("section", { "aria-label": `Facts of ${id}` }, paired && el("h2", {}, el("code", {}, id)),
    el("p", {}, `${kind[0].toUpperCase()}${kind.slice(1)}; ${network.params.toLocaleString("en")} parameters, `,
      `${network.macs.toLocaleString("en")} multiply-accumulates.`),
    trial && origin(trial, run),
    trained && el("p", {}, `Trained for ${short(trained.epochs)} epochs from ${trained.fine_tuned ? "inherited weights" : "scratch"}: `,
      `error ${error(trained.selection)} on the selection split, ${error(trained.test)} on the test split (PyTorch, fp32).`),
    el("h2", {}, "Operating points"), table([...POINT_HEADS, network.energy, "on the front"], rows, `Operating points of ${id}`),
    el("p", { class: "soft" }, "In parentheses stands the 95 % interval, which the number of images leaves open."),
    conditions.length > 0 && [el("h2", {}, "Measurements"), table(CONDITION_HEADS, conditions, `Measurements of ${id}`)],
    network.adaptive_problem && el("p", { class: "problem" }, network.adaptive_problem),
    adaptive.length > 0 && [el("h2", {}, "Early exits"), table(EXIT_HEADS, adaptive.map(policy), `Early exits of ${id}`)],
    el("h2", {}, "Files"),
    files.length ? el("ul", {}, files.map((file) => el("li", {}, link(file), ` – ${file.what}, ${size(file.bytes)}`)))
      : el("p", {}, "None: networks of the front get theirs when a search ends, and when they are trained."),
    files.filter((file) => file.name.endsWith("card.md")).map((file) => card(file.name, id, own)));
}

/** @param {number | null} share */
const within = (share) => (share ? ` ± ${(100 * share).toFixed(0)} %` : "");

/** @param {any} trial @param {string} run */
function origin(trial, run) {
  const c = trial.coefficients, generation = trial.generation > 0 ? ` of generation ${trial.generation}` : "";
  return el("p", {}, "Found by ", el("a", { href: `/runs/${inAddress(run)}/-/coefficients/${trial.id}` }, `trial ${trial.id}`),
    `${generation}, ${trial.where}${trial.mode ? " (mode of theta)" : ""}`,
    c ? `: alpha ${short(c.alpha)}, beta ${short(c.beta)}, gamma ${short(c.gamma)}, delta ${short(c.delta)}` : "",
    trial.configuration ? `, for ${trial.configuration}.` : ".");
}

/** @param {any} point */
function condition({ configuration, weights, measurement: m }) {
  const both = (/** @type {string} */ name, /** @type {string} */ unit) => {
    const values = [m.before[name], m.after[name]].filter((value) => value !== null).map(short);
    return values.length ? `${[...new Set(values)].join(" → ")} ${unit}` : "not told";
  };
  return [`${configuration}, ${weights}`, when(m.date), `${short(m.median_ms)} ms (${short(m.iqr_ms)})`, m.runs,
    both("temperature_c", "°C"), both("clock_mhz", "MHz"), state(m), m.idle_w === null ? "not known" : `${short(m.idle_w)} W`,
    m.meter ?? "none", `${m.board}; ${m.runtime}; ${m.os}`];
}

/** @param {any} measurement @returns {string} */
export const state = ({ throttled, reliable, energy_note: note }) =>
  [throttled && "throttled", !reliable && "spread too wide", note].filter(Boolean).join("; ") || "good";

/** @param {any} point */
const policy = (point) => [
  point.configuration,
  point.exits.map((/** @type {any} */ exit) => `layer ${exit.layer} (${exit.head}) above ${short(exit.threshold)}`).join("; "),
  error(point.selection), error(point.test), cost(point.latency_ms, "ms", point.latency_source),
  cost(point.worst_latency_ms, "ms", point.latency_source), cost(point.energy_mj, "mJ", point.energy_source),
  point.ways.map((/** @type {any} */ way) => `${percent(way.share)} in ${short(way.latency_ms)} ms`).join("; "),
  point.streamed ? `${short(point.streamed.mean_latency_ms)} ms, ${percent(point.streamed.error)} of ${point.streamed.images} images` : "–",
];

/** @param {string} name @param {string} id @param {string} own the network's address */
function card(name, id, own) {
  const frame = el("iframe", { title: `${name} of ${id}`, sandbox: "allow-same-origin", class: "card" });
  const open = async (/** @type {Happened} */ event) => {
    if (!event.target.open || frame.hasAttribute("srcdoc")) return;
    frame.setAttribute("srcdoc", (await ask(`${own}/card?of=${encodeURIComponent(name)}`)).html);
  };
  return el("details", { ontoggle: open }, el("summary", {}, name), frame);
}
