// A run while it goes on: stages, workers, boards, hypervolume, failures, log; stop and resume.

import { chart, chartPlace } from "page/chart.js";
import { ask, el, fill, inAddress, lamp, problem, send, table } from "page/dom.js";
import { cost, duration, percent, short } from "page/numbers.js";
import { follow, now } from "page/stream.js";

export const TITLE = "Live";
const HOT_C = 80, WINDOW_SECONDS = 900, MOST_BARS = 300, DRAW_MS = 300, CHART_MS = 2000, LOG_MS = 3000;

/** @typedef {import("page/stream.js").RunEvent} RunEvent */
/** @typedef {{name: string, what: string, since: number}} Job */
/** @typedef {{lane: number, begin: number, end: number, failed: boolean, name: string}} Bar */
/** @typedef {{state: string, reason: string, temperature: number | null, clock: number | null, at: number}} Board */

/** What its events tell of a run. */
function nothing() {
  return {
    started: /** @type {RunEvent | null} */ (null), command: "", begun: 0, ended: 0, expected: /** @type {number | null} */ (null),
    stages: /** @type {Map<string, {done: number, total: number | null, detail: string}>} */ (new Map()),
    left: /** @type {{seconds: number, at: number} | null} */ (null), trials: 0, failed: 0, measured: 0, waiting: 0,
    lanes: /** @type {(Job | null)[]} */ ([]), bars: /** @type {Bar[]} */ ([]), boards: /** @type {Map<string, Board>} */ (new Map()),
    volumes: /** @type {[number, number][]} */ ([]), front: /** @type {RunEvent | null} */ (null),
    failures: /** @type {{at: number, text: string, trace: string}[]} */ ([]),
  };
}
/** @typedef {ReturnType<typeof nothing>} Told */

/** @param {Told} told @param {RunEvent} event */
function take(told, event) {
  const stage = (/** @type {string} */ name, /** @type {number} */ done, /** @type {number | null} */ total, detail = "") =>
    told.stages.set(name, { done, total, detail });
  const search = (detail = told.stages.get("search")?.detail) => stage("search", told.trials, told.expected, detail);
  const fail = (/** @type {string} */ text, trace = "") => told.failures.push({ at: event.at, text, trace });
  const board = (/** @type {string} */ name, /** @type {Partial<Board>} */ news) => {
    const known = told.boards.get(name) || { state: "answering", reason: "", temperature: null, clock: null, at: 0 };
    told.boards.set(name, { ...known, ...news, at: event.at });
  };
  const begin = (/** @type {string} */ name, what = "") => {
    const lane = told.lanes.findIndex((job) => job?.name === name), free = told.lanes.indexOf(null);
    const place = lane >= 0 ? lane : free >= 0 ? free : told.lanes.length;
    told.lanes[place] = { name, what, since: told.lanes[place]?.since || event.at };
  };
  const end = (/** @type {string} */ name, failed = false) => {
    const lane = told.lanes.findIndex((job) => job?.name === name);
    if (lane < 0) return;
    told.bars.push({ lane, begin: /** @type {Job} */ (told.lanes[lane]).since, end: event.at, failed, name });
    if (told.bars.length > MOST_BARS) told.bars.shift();
    told.lanes[lane] = null;
  };
  switch (event.kind) {
    case "command_started":
      Object.assign(told, { ...nothing(), volumes: told.volumes, failures: told.failures, front: told.front });
      told.command = event.command;
      told.begun = event.at;
      break;
    case "run_started":
      told.started = event;
      told.expected = event.trials;
      if (event.pretrain_epochs) stage("pre-training", 0, event.pretrain_epochs);
      break;
    case "command_ended":
      told.ended = event.at;
      told.lanes = told.lanes.map(() => null);
      told.left = null;
      if (event.ending === "failed") fail(`The command failed: ${event.reason}`, event.traceback || "");
      break;
    case "stage_progress": stage(event.stage, event.done, event.total, event.detail); break;
    case "pretrain_epoch": stage("pre-training", event.epoch, event.epochs, `accuracy ${percent(event.accuracy)}, loss ${short(event.loss)}`); break;
    case "time_estimated": told.left = { seconds: event.seconds_left, at: event.at }; break;
    case "generation_started":
      told.trials += event.already_done;
      search(`generation ${event.number}`);
      break;
    case "trial_started":
      begin(`trial ${event.trial}`, [event.coefficients && `α β γ δ ${event.coefficients.map(short).join(" ")}`, event.architecture, event.configuration].filter(Boolean).join(", "));
      break;
    case "trial_finished":
      told.trials++;
      end(`trial ${event.trial}`);
      search();
      break;
    case "trial_failed":
      told.trials++;
      told.failed++;
      end(`trial ${event.trial}`, true);
      search();
      fail(`Trial ${event.trial} failed: ${event.reason}`, event.traceback);
      break;
    case "networks_queued": told.waiting = event.waiting; break;
    case "network_measured":
      told.measured++;
      told.waiting = event.waiting;
      board(event.device || event.board, {
        temperature: event.temperature_c, clock: event.clock_mhz, reason: "",
        state: event.throttled ? "throttled" : event.temperature_c >= HOT_C ? "hot" : "answering",
      });
      break;
    case "measuring_failed":
      told.waiting = event.waiting ?? told.waiting;
      fail(`${event.network} could not be measured: ${event.reason}`);
      break;
    case "board_conditions":
      board(event.device || event.board, {
        temperature: event.temperature_c, clock: event.clock_mhz, reason: "",
        state: event.throttled ? "throttled" : event.temperature_c >= HOT_C ? "hot" : "answering",
      });
      break;
    case "board_unreachable": board(event.device, { state: "gone", reason: event.reason }); break;
    case "board_back": board(event.device, { state: "answering", reason: "" }); break;
    case "front_changed":
      told.front = event;
      told.volumes.push([event.at, event.hypervolume]);
      break;
    case "training_progress":
      begin(event.name, event.epoch === null ? `${Math.floor((100 * event.step) / (event.total_steps || 1))} %` : `epoch ${event.epoch} of ${event.epochs}, accuracy ${percent(event.accuracy)}`);
      break;
    case "training_finished": end(event.name); break;
    case "training_failed":
      end(event.name, true);
      fail(`${event.name} could not be trained: ${event.reason}`);
      break;
    case "training_diverged": fail(`${event.name} diverged in epoch ${event.epoch}, and went on with a lower learning rate.`); break;
    case "pretrained_missing": fail(`${event.name}: ${event.reason}`); break;
  }
}

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const told = nothing(), base = `/api/runs/${inAddress(run)}/-`;
  let state = await ask(`${base}/state`), asking = "", drawn = 0, charted = 0, listed = 0, logged = 0;
  const head = el("p", { role: "status" }), lost = el("p", { class: "problem", role: "status" }), refused = el("div"), what = el("p", { class: "soft" });
  const press = (/** @type {string} */ word) => el("button", { onclick: () => act(word) }, word === "stop" ? "Stop" : "Resume");
  const stop = /** @type {HTMLButtonElement} */ (press("stop")), resume = /** @type {HTMLButtonElement} */ (press("resume"));
  const stages = el("div"), figures = el("p"), lanes = el("div"), boards = el("div"), failures = el("div"), log = el("pre", { tabindex: 0, "aria-label": "log" });
  const drawing = chartPlace("Hypervolume over time"), volume = el("section", { hidden: true }, el("h2", {}, "Hypervolume"), drawing);
  const logging = /** @type {HTMLDetailsElement} */ (el("details", { ontoggle: () => readLog() }, el("summary", {}, "Log"), log));
  const link = (/** @type {string} */ page, /** @type {string} */ text) => el("a", { href: `/runs/${inAddress(run)}/-/${page}` }, text);
  fill(content, el("h1", {}, run), head, lost, refused, el("p", {}, stop, " ", resume, " ", link("front", "Front")), what,
    el("h2", {}, "Stages"), stages, figures, lanes, boards, volume, failures, logging);

  async function act(/** @type {string} */ word) {
    asking = word === "stop" ? "stopping …" : "starting …";
    fill(refused);
    draw();
    try {
      await send(`${base}/${word}`, {});
    } catch (error) {
      asking = "";
      fill(refused, problem(error));
    }
    draw();
  }
  async function readLog() {
    if (!logging.open) return;
    logged = Date.now();
    const found = await ask(`${base}/log`).catch(() => null);
    if (found) fill(log, [...found.lines, ...(found.said.length ? ["", ...found.said] : [])].join("\n"));
  }
  function drawChart() {
    charted = Date.now();
    volume.hidden = told.volumes.length < 2;
    if (volume.hidden) return;
    const first = told.volumes[0][0];
    chart(drawing, (colours) => ({
      data: [{ x: told.volumes.map(([at]) => (at - first) / 60), y: told.volumes.map(([, value]) => value), mode: "lines", line: { shape: "hv", color: colours.accent } }],
      layout: { height: 220, xaxis: { title: { text: "minutes" } }, yaxis: { title: { text: "hypervolume" } } },
    }));
  }
  function draw() {
    drawn = Date.now();
    const goes_on = ["running", "starting"].includes(state.state);
    fill(head, lamp(state.state), (asking || state.detail) && `: ${asking || state.detail}`);
    stop.hidden = !goes_on;
    resume.hidden = !["interrupted", "failed"].includes(state.state) || !told.begun;
    stop.disabled = resume.disabled = !!asking;
    fill(what, told.started ? told.started.description.map((/** @type {string[]} */ pair) => pair.join(": ")).join(" · ") : told.command);
    fill(stages, [...told.stages].map(([name, one]) => el("div", { class: "stage" }, el("span", {}, name),
      one.total !== null && el("progress", { max: Math.max(one.total, 1), value: Math.min(one.done, one.total), "aria-label": name }),
      el("span", { class: "soft" }, ` ${one.done}${one.total === null ? "" : ` of ${one.total}`} ${one.detail || ""}`))));
    const left = told.left && goes_on ? `about ${duration(told.left.seconds - (now() - told.left.at))} left` : "";
    fill(figures, [
      told.begun && `${goes_on ? "for" : "it took"} ${duration((goes_on || !told.ended ? now() : told.ended) - told.begun)}`, left,
      told.trials > 0 && `${told.trials} trials ended${told.failed ? `, ${told.failed} failed` : ""}`,
      told.front && `${told.front.evaluations} architectures, ${told.front.points} points on the front, hypervolume ${told.front.hypervolume.toFixed(4)}`,
      told.started?.measures && `${told.measured} measured, ${told.waiting} waiting for a board`,
    ].filter(Boolean).join(" · "));
    drawLanes(goes_on);
    fill(boards, told.boards.size > 0 && el("h2", {}, "Boards"), told.boards.size > 0 && table(["board", "state", "temperature", "clock", "seen"],
      [...told.boards].map(([name, one]) => [name, el("span", { class: "state" }, lamp(one.state), one.reason && ` ${one.reason}`),
        one.temperature == null ? "" : `${one.temperature.toFixed(1)} °C`, one.clock == null ? "" : `${Math.round(one.clock)} MHz`,
        `${duration(now() - one.at)} ago`]), "Boards"));
    for (; listed < told.failures.length; listed++) {
      const one = told.failures[listed];
      if (!listed) fill(failures, el("h2", {}, "Failures"));
      failures.append(one.trace ? el("details", {}, el("summary", {}, one.text), el("pre", { tabindex: 0, "aria-label": "traceback" }, one.trace)) : el("p", {}, one.text));
    }
  }
  function drawLanes(/** @type {boolean} */ goes_on) {
    if (!told.lanes.length) return void fill(lanes);
    const end = goes_on ? now() : told.ended || now();
    const begin = Math.max(end - WINDOW_SECONDS, Math.min(end - 10, ...told.bars.map((bar) => bar.begin), ...told.lanes.flatMap((job) => (job ? [job.since] : []))));
    const place = (/** @type {number} */ from, /** @type {number} */ to) => {
      const left = Math.max(0, (from - begin) / (end - begin));
      return `left:${(100 * left).toFixed(2)}%;width:${(100 * Math.max(0.002, (to - begin) / (end - begin) - left)).toFixed(2)}%`;
    };
    const bar = (/** @type {Bar} */ one) => el("span", { class: one.failed ? "bar lost" : "bar", style: place(one.begin, one.end), title: `${one.name}${one.failed ? " failed" : ""}, ${duration(one.end - one.begin)}` });
    fill(lanes, el("h2", {}, "Workers"), told.lanes.map((job, number) => el("div", { class: "lane" },
      el("div", {}, el("strong", {}, String(number + 1)), job ? ` ${job.name} for ${duration(end - job.since)}` : " free", job?.what && el("span", { class: "soft" }, ` ${job.what}`)),
      el("div", { class: "strip", "aria-hidden": "true" }, told.bars.filter((one) => one.lane === number && one.end > begin).map(bar),
        job && el("span", { class: "bar now", style: place(job.since, end) })))));
  }

  follow(run, {
    event: (event) => {
      take(told, event);
      if (event.kind === "command_started") asking = "";
    },
    anew: () => {
      Object.assign(told, nothing());
      listed = 0;
      fill(failures);
    },
    state: (found) => {
      if (found.state !== state.state) asking = "";
      state = found;
    },
    connection: (is_there) => fill(lost, !is_there && "No connection to the server; what is shown is from before. It is tried again."),
  });
  draw();
  setInterval(() => {
    if (document.hidden) return;
    if (Date.now() - drawn > (told.ended && !asking ? CHART_MS : 900)) draw();
    if (told.volumes.length && Date.now() - charted > CHART_MS && charted_at !== told.volumes.length) charted_at = told.volumes.length, drawChart();
    if (logging.open && Date.now() - logged > LOG_MS) readLog();
  }, DRAW_MS);
  let charted_at = 0;
}
