// One network, or two side by side: layers, costs, operating points, training, early exits, files, card.

import { ask, cell, el, fill, inAddress, problem, select, shown } from "page/dom.js";

/** @typedef {import("page/dom.js").Cell} Cell */
/** @typedef {{id: string, summary: string, said: Cell[][], sections: any[], files: any[], configurations: string[],
 *   problem?: string}} Network */
/** @typedef {[string, Record<string, string | number>, any[]]} Drawn an SVG element with what it contains */

export const TITLE = "Network";

/** @param {HTMLElement} content @param {string} run @param {string[]} rest */
export async function show(content, run, rest) {
  const place = `/api/runs/${inAddress(run)}/-/networks`;
  const read = (/** @type {string} */ id) => ask(`${place}/${encodeURIComponent(id)}`);
  const [known, ...networks] = await Promise.all([ask(place), ...rest.slice(0, 2).map(read)]);
  const { networks: all = [], nothing = "No network was evaluated yet." } = known;
  if (!all.length) return fill(content, el("h1", {}, TITLE), el("p", {}, nothing));
  if (!networks.length) networks.push(await read(all[0].id));
  const [one, other] = /** @type {Network[]} */ (networks);
  const go = (/** @type {string[]} */ ...ids) =>
    location.assign(`/runs/${inAddress(run)}/-/network/${ids.filter(Boolean).map(encodeURIComponent).join("/")}`);
  const options = all.map((/** @type {any} */ { id, kind }) => [id, kind === "evaluated" ? id : `${id} (${kind})`]);
  fill(content,
    el("h1", {}, `${TITLE} `, el("code", {}, one.id), other && [" and ", el("code", {}, other.id)]),
    el("p", { class: "controls" }, select("Network", options, one.id, (id) => go(id, other?.id)),
      select("beside", [["", "none"], ...options], other?.id ?? "", (id) => go(one.id, id))),
    layers(place, networks.filter((network) => network.configurations.length)),
    el("div", { class: other ? "pair" : "" }, networks.map((network) => facts(network, place, Boolean(other)))));
}

/** @param {string} place @param {Network[]} networks of the search space */
function layers(place, [one, other]) {
  if (!one) return el("p", { class: "soft" }, "A baseline is no network of the search space: its layers are not drawn.");
  const drawn = el("div"), { configurations: labels } = one;
  const draw = async (/** @type {string} */ configuration) => {
    const query = new URLSearchParams({ configuration, beside: other?.id ?? "" });
    const { networks, differing, table, legend } = await ask(`${place}/${encodeURIComponent(one.id)}/layers?${query}`);
    fill(drawn, differing && el("p", {}, differing),
      networks.flatMap((/** @type {any} */ { id, image, sums }) => [drawing(id, image), el("p", { class: "sums" }, sums)]),
      el("details", {}, el("summary", {}, "Layers as a table"), shown(table)), el("p", { class: "soft" }, legend));
  };
  const change = (/** @type {string} */ label) => draw(label).catch((error) => fill(drawn, problem(error)));
  change(labels[0]);
  return el("section", { "aria-label": "Layers" }, el("h2", {}, "Layers"),
    labels.length > 1 && el("p", {}, select("Costs in the configuration", labels, labels[0], change)), drawn);
}

/** @param {Drawn} drawn @returns {Element} */
function svg([tag, attributes, children]) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children.map((child) => (typeof child === "string" ? child : svg(child))));
  return made;
}

/** @param {string} id @param {Drawn} image as moo.page.network_drawing makes it */
export const drawing = (id, image) => el("figure", {}, el("figcaption", {}, el("code", {}, id)),
  el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Drawing of ${id}` }, svg(image)));

/** @param {Network} network @param {string} place @param {boolean} paired */
function facts({ id, summary, said, sections, files, problem: wrong }, place, paired) {
  const own = `${place}/${encodeURIComponent(id)}`;
  const link = (/** @type {string} */ name) => el("a", { href: `${own}/files/${inAddress(name)}`, download: true }, name);
  return el("section", { "aria-label": `Facts of ${id}` }, paired && el("h2", {}, el("code", {}, id)), el("p", {}, summary),
    said.map((paragraph) => el("p", {}, paragraph.map(cell))),
    sections.flatMap(({ title, note, ...table }) => [el("h2", {}, title), shown(table), note && el("p", { class: "soft" }, note)]),
    wrong && el("p", { class: "problem" }, wrong), el("h2", {}, "Files"),
    files.length ? el("ul", {}, files.map(({ name, what }) => el("li", {}, link(name), ` – ${what}`)))
      : el("p", {}, "None: networks of the front get theirs when a search ends, and when they are trained."),
    files.filter(({ name }) => name.endsWith("card.md")).map(({ name }) => card(name, id, own)));
}

/** @param {string} name @param {string} id @param {string} own the network's address */
function card(name, id, own) {
  const frame = el("iframe", { title: `${name} of ${id}`, sandbox: "allow-same-origin", class: "card" });
  const open = async (/** @type {{target: any}} */ event) => {
    if (!event.target.open || frame.hasAttribute("srcdoc")) return;
    frame.setAttribute("srcdoc", (await ask(`${own}/card?of=${encodeURIComponent(name)}`)).html);
  };
  return el("details", { ontoggle: open }, el("summary", {}, name), frame);
}
