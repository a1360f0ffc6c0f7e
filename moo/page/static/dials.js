// Dials for loss coefficients: the surrogate answers each turn at once; `try it` searches them on the supernet.

import { ask, el, fill, problem, send } from "page/dom.js";
import { drawing } from "page/network.js";
import { cost, percent, short } from "page/numbers.js";

/** @typedef {(id: string) => string} Link */

export const NAMES = ["alpha", "beta", "gamma", "delta"], SYMBOL = ["α", "β", "γ", "δ"];
export const MEANING = ["weight of latency", "exponent of latency", "weight of energy", "exponent of energy"];
const POSITIONS = 400, PAUSE_MS = 60, AGAIN_MS = 1000, MOST_MARKS = 200;
const WHAT = "At each turn the surrogate says which network these coefficients give. Ticks are trials of this run.";
const TRYING = " “Try it” searches them on the supernet.";

/** @param {any} trial or anything with coefficients */
export const tuple = (trial) => NAMES.map((name, index) => `${SYMBOL[index]} ${short(trial[name])}`).join(", ");

/** @param {any} found @param {string} place of the server's answers @param {any} chosen a trial @param {Link} link */
export function dials({ dials: all, trials, configurations, no_dials: none, can_try: canTry }, place, chosen, link) {
  const title = el("h2", {}, "Turn them by hand");
  if (none) return el("section", {}, title, el("p", {}, none));
  const answer = el("div", { role: "status" }, el("p", {}, "Asking the surrogate …")), tried = el("div");
  const failed = (/** @type {unknown} */ error) => fill(tried, problem(error));
  /** @type {ReturnType<typeof range>[]} */
  const ranges = all.map((/** @type {any} */ dial, /** @type {number} */ index) => range(dial, index, trials, chosen?.[dial.name], turned));
  const option = (/** @type {string} */ label) => el("option", { selected: label === chosen?.configuration }, label);
  const choose = /** @type {HTMLSelectElement} */ (el("select", { onchange: turned }, configurations.map(option)));
  const now = () => ({ ...Object.fromEntries(ranges.map((one) => [one.name, one.value()])), configuration: choose.value });
  let asked = 0, waiting = 0;
  function turned() {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const number = ++asked, query = new URLSearchParams(/** @type {any} */ (now()));
      const content = await ask(`${place}/answer?${query}`).then((given) => answered(given, link), problem);
      // The latest turn counts, whatever the order of answers.
      if (number === asked) fill(answer, content);
    }, PAUSE_MS);
  }
  const look = async () => {
    const { tries } = /** @type {{tries: any[]}} */ (await ask(`${place}/tries`));
    if (tries.length) fill(tried, el("h3", {}, "Tried on the supernet"), tries.map((one) => attempt(one, link)));
    if (tries.some(({ state }) => state === "searching")) setTimeout(() => tried.isConnected && look().catch(failed), AGAIN_MS);
  };
  const go = () => send(`${place}/tries`, now()).then(look).catch(failed);
  turned();
  if (canTry) look().catch(failed);
  return el("section", { "aria-label": "Dials" }, title, el("p", { class: "soft" }, WHAT, canTry && TRYING),
    el("div", { class: "dials" }, ranges.map((one) => one.place)),
    el("p", { class: "controls" }, configurations.length > 1 && el("label", {}, "Configuration ", choose),
      canTry && el("button", { type: "button", class: "main", onclick: go }, "Try it")), answer, tried);
}

/** @param {any} dial @param {number} index @param {any[]} trials @param {number | undefined} first @param {() => void} turned */
function range({ name, low, high, logarithmic }, index, trials, first, turned) {
  const scaled = (/** @type {number} */ value) => (logarithmic ? Math.log10(value) : value), from = scaled(low), to = scaled(high);
  const value = (/** @type {number} */ position) => {
    const along = from + (position / POSITIONS) * (to - from);
    if (position === 0 || low === high) return low;
    return position === POSITIONS ? high : logarithmic ? 10 ** along : along;
  };
  const position = (/** @type {number} */ of) => (low === high ? 0 : Math.round(((scaled(of) - from) / (to - from)) * POSITIONS));
  const marks = [...new Set(trials.map((trial) => position(trial[name])))].slice(0, MOST_MARKS), shown = el("output", { for: name });
  // A trial's value stays as exact as it is until the dial is turned.
  let exact = first;
  const input = /** @type {HTMLInputElement} */ (el("input", {
    type: "range", id: name, min: 0, max: POSITIONS, value: position(first ?? value(POSITIONS / 2)), list: `${name}-marks`,
    disabled: low === high, oninput: () => { exact = undefined; say(); turned(); },
  }));
  const now = () => exact ?? value(Number(input.value));
  const say = () => { shown.textContent = short(now()); input.setAttribute("aria-valuetext", short(now())); };
  say();
  const bounds = low === high ? "fixed" : `${short(low)} to ${short(high)}${logarithmic ? ", logarithmic" : ""}`;
  return { name, value: now, place: el("div", {}, el("label", { for: name }, `${SYMBOL[index]} ${name}, ${MEANING[index]} `), shown, input,
    el("datalist", { id: `${name}-marks` }, marks.map((mark) => el("option", { value: mark }))), el("small", { class: "soft" }, bounds)) };
}

/** @param {any} given @param {Link} link */
function answered(given, link) {
  const { network, configuration, error, error_source: source, deviation } = given, evaluated = source === "evaluated";
  const told = evaluated ? percent(error, given.low, given.high) : `${percent(error)} ± ${percent(deviation)}`;
  const known = evaluated ? [" (", el("a", { href: link(network.id) }, "evaluated"), ")"] : [" (not evaluated yet)"];
  return [el("p", {}, "These coefficients give ", el("code", {}, network.id), ...known, `, in ${configuration}.`),
    el("p", {}, `Error ${told} (${source}, inherited weights, fp32), ${costs(given).join(", ")}.`), drawing(network, configuration, [])];
}

/** @param {any} of @returns {string[]} latency and energy, with their sources */
export const costs = (of) => [cost(of.latency_ms, "ms", of.latency_source), cost(of.energy_mj, "mJ", of.energy_source)];

/** @param {any} one @param {Link} link */
function attempt(one, link) {
  const networks = (one.networks ?? []).map((/** @type {any} */ found) => el("span", { class: "found" },
    found.evaluated ? el("a", { href: link(found.id) }, found.id) : el("code", {}, found.id),
    `: error ${percent(found.error)}, ${costs(found).join(", ")}`));
  return el("p", { class: one.state === "failed" ? "problem" : "" }, `${tuple(one)}, ${one.configuration}: `,
    one.reason ? `${one.state}: ${one.reason}` : one.state, networks);
}
