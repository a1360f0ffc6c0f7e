// Dials for loss coefficients: the surrogate answers each turn at once; `try it` searches them on the supernet.

import { ask, cell, el, fill, problem, select, send } from "page/dom.js";
import { drawing } from "page/network.js";
import { short } from "page/numbers.js";

const POSITIONS = 400, PAUSE_MS = 60, AGAIN_MS = 1000, MOST_MARKS = 200;
const WHAT = "At each turn the surrogate says which network these coefficients give. Ticks are trials of this run.";
const TRYING = " “Try it” searches them on the supernet.";

/** @param {any} found @param {string} place of the server's answers @param {any} chosen a trial */
export function dials({ dials: all, trials, configurations, no_dials: none, can_try: canTry }, place, chosen) {
  const title = el("h2", {}, "Turn them by hand");
  if (none) return el("section", {}, title, el("p", {}, none));
  const answer = el("div", { role: "status" }, el("p", {}, "Asking the surrogate …")), tried = el("div");
  const failed = (/** @type {unknown} */ error) => fill(tried, problem(error));
  /** @type {ReturnType<typeof range>[]} */
  const ranges = all.map((/** @type {any} */ dial) => range(dial, trials, chosen?.[dial.name], turned));
  let configuration = chosen?.configuration ?? configurations[0];
  const change = (/** @type {string} */ label) => { configuration = label; turned(); };
  const now = () => ({ ...Object.fromEntries(ranges.map((one) => [one.name, one.value()])), configuration });
  let asked = 0, waiting = 0;
  function turned() {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const number = ++asked, query = new URLSearchParams(/** @type {any} */ (now()));
      const content = await ask(`${place}/answer?${query}`).then(answered, problem);
      // The latest turn counts, whatever the order of answers.
      if (number === asked) fill(answer, content);
    }, PAUSE_MS);
  }
  const look = async () => {
    const { tries } = /** @type {{tries: any[]}} */ (await ask(`${place}/tries`));
    if (tries.length) fill(tried, el("h3", {}, "Tried on the supernet"), tries.map(attempt));
    if (tries.some(({ state }) => state === "searching")) setTimeout(() => tried.isConnected && look().catch(failed), AGAIN_MS);
  };
  const go = () => send(`${place}/tries`, now()).then(look).catch(failed);
  turned();
  if (canTry) look().catch(failed);
  return el("section", { "aria-label": "Dials" }, title, el("p", { class: "soft" }, WHAT, canTry && TRYING),
    el("div", { class: "dials" }, ranges.map((one) => one.place)),
    el("p", { class: "controls" }, configurations.length > 1 && select("Configuration", configurations, configuration, change),
      canTry && el("button", { type: "button", class: "main", onclick: go }, "Try it")), answer, tried);
}

/** @param {any} dial @param {any[]} trials @param {number | undefined} first @param {() => void} turned */
function range({ name, symbol, meaning, low, high, logarithmic }, trials, first, turned) {
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
  return { name, value: now, place: el("div", {}, el("label", { for: name }, `${symbol} ${name}, ${meaning} `), shown, input,
    el("datalist", { id: `${name}-marks` }, marks.map((mark) => el("option", { value: mark }))), el("small", { class: "soft" }, bounds)) };
}

/** @param {{network: string, image: any, said: import("page/dom.js").Cell[][]}} given */
const answered = ({ network, image, said }) => [...said.map((paragraph) => el("p", {}, paragraph.map(cell))), drawing(network, image)];

/** @param {any} one */
const attempt = ({ said, state, reason, networks = [] }) => el("p", { class: state === "failed" ? "problem" : "" }, said,
  reason ? `${state}: ${reason}` : state,
  networks.map((/** @type {import("page/dom.js").Cell[]} */ cells) => el("span", { class: "found" }, cells.map(cell))));
