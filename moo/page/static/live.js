// A run while it goes on: stages, workers, boards, hypervolume, failures, log; stop and resume.

import { chart, chartPlace } from "page/chart.js";
import { ask, el, fill, inAddress, lamp, problem, send, table } from "page/dom.js";
import { duration, percent, short } from "page/numbers.js";
import { follow, now } from "page/stream.js";

export const TITLE = "Live";
const HOT_C = 80, WINDOW_SECONDS = 900, MOST_BARS = 300, TICK_MS = 300, DRAW_MS = 900, CHART_MS = 2000, LOG_MS = 3000;

/** @typedef {{state: string, reason: string, temperature: number | null, clock: number | null, at: number, by_name: boolean}} Board */
/** @typedef {{lane: number, begin: number, end: number, failed: boolean, name: string}} Bar */

/** What the events of a run's last command tell; failures, front and hypervolumes are those of all its commands. */
class Told {
  begun = 0; last = 0; trials = 0; failed = 0; measured = 0; waiting = 0;
  started = /** @type {any} */ (null); front = /** @type {any} */ (null); left = /** @type {any} */ (null);
  /** @type {Map<string, {done: number, total: number | null, detail: string}>} */ stages = new Map();
  /** @type {({name: string, what: string, since: number, steps?: string} | null)[]} */ lanes = [];
  /** @type {Bar[]} */ bars = [];
  /** @type {Map<string, Board>} */ boards = new Map();
  /** @type {[number, number][]} */ volumes = [];
  /** @type {[string, string][]} */ failures = [];

  /** @param {import("page/stream.js").RunEvent} event */
  take(event) {
    const { at, name, device, reason } = event, known = this.stages.get("search")?.detail || "";
    const stage = (/** @type {string} */ of, /** @type {number} */ done, /** @type {number | null} */ total, detail = "") =>
      this.stages.set(of, { done, total, detail });
    const search = (more = 1, detail = known) => stage("search", (this.trials += more), this.started?.trials ?? null, detail);
    const trained = () => stage("training", (this.stages.get("training")?.done ?? 0) + 1, this.stages.get("training")?.total ?? null);
    const fail = (/** @type {string} */ text, trace = "") => this.failures.push([text, trace]);
    const conditions = () => ({ temperature: event.temperature_c, clock: event.clock_mhz, reason: "",
      state: event.throttled ? "throttled" : event.temperature_c >= HOT_C ? "hot" : "answering" });
    /** @type {Record<string, () => void>} */
    const kinds = {
      command_started: () => {
        const { failures, front, volumes } = this;
        Object.assign(this, new Told(), { failures, front, volumes, begun: at });
      },
      command_ended: () => {
        Object.assign(this, { left: null, lanes: this.lanes.map(() => null) });
        if (event.ending === "failed") fail(`The command failed: ${reason}`, event.traceback);
      },
      run_started: () => {
        this.started = event;
        if (event.pretrain_epochs) stage("pre-training", 0, event.pretrain_epochs);
      },
      stage_progress: () => stage(event.stage, event.done, event.total, event.detail),
      pretrain_epoch: () =>
        stage("pre-training", event.epoch, event.epochs, `accuracy ${percent(event.accuracy)}, loss ${short(event.loss)}`),
      time_estimated: () => (this.left = event),
      generation_started: () => search(event.already_done, `generation ${event.number}`),
      trial_started: () => {
        const weights = event.coefficients && `α β γ δ ${event.coefficients.map(short).join(" ")}`;
        this.begin(`trial ${event.trial}`, at, [weights, event.architecture, event.configuration].filter(Boolean).join(", "));
      },
      inner_search_progress: () => this.lanes.forEach((job) =>
        job?.name === `trial ${event.trial}` && (job.steps = `, step ${event.step} of ${event.steps},`)),
      trial_finished: () => (this.end(`trial ${event.trial}`, at), search()),
      trial_failed: () => {
        this.end(`trial ${event.trial}`, at, true);
        this.failed++;
        search();
        fail(`Trial ${event.trial} failed: ${reason}`, event.traceback);
      },
      networks_queued: () => (this.waiting = event.waiting),
      network_measured: () => {
        Object.assign(this, { measured: this.measured + 1, waiting: event.waiting });
        if (![...this.boards.values()].some((one) => one.by_name)) this.board(event.board, { at, ...conditions(), by_name: false });
      },
      measuring_failed: () => {
        this.waiting = event.waiting ?? this.waiting;
        fail(`${event.network} could not be measured: ${reason}`);
      },
      board_conditions: () => this.board(device, { at, ...conditions() }),
      board_unreachable: () => this.board(device, { at, state: "gone", reason }),
      board_back: () => this.board(device, { at, state: "answering", reason: "" }),
      front_changed: () => this.volumes.push([at, (this.front = event).hypervolume]),
      training_progress: () => {
        const share = `${Math.floor((100 * event.step) / (event.total_steps || 1))} %`;
        const epoch = event.epoch !== null && `epoch ${event.epoch} of ${event.epochs}, accuracy ${percent(event.accuracy)}`;
        this.begin(name, at, epoch || share);
      },
      trainings_started: () => stage("training", 0, event.networks),
      training_finished: () => (this.end(name, at), trained()),
      training_failed: () => (this.end(name, at, true), trained(), fail(`${name} could not be trained: ${reason}`)),
      training_diverged: () => fail(`${name} diverged in epoch ${event.epoch}, and went on with a lower learning rate.`),
      pretrained_missing: () => fail(`${name}: ${reason}`),
    };
    this.last = at;
    kinds[event.kind]?.();
  }
  /** Boards go by the names of their options; until one is known, by what they say that they are.
   * @param {string} name @param {Partial<Board>} news */
  board(name, { by_name = true, ...news }) {
    if (by_name) for (const [other, one] of this.boards) if (!one.by_name) this.boards.delete(other);
    const before = this.boards.get(name) || { state: "answering", reason: "", temperature: null, clock: null, at: 0, by_name };
    this.boards.set(name, { ...before, ...news });
  }
  /** A job takes the first free lane. @param {string} name @param {number} at @param {string} what */
  begin(name, at, what) {
    const own = this.lanes.findIndex((job) => job?.name === name), free = this.lanes.indexOf(null);
    const lane = own >= 0 ? own : free >= 0 ? free : this.lanes.length;
    this.lanes[lane] = { name, what, since: this.lanes[lane]?.since ?? at };
  }
  /** @param {string} name @param {number} at @param {boolean} [failed] */
  end(name, at, failed = false) {
    const lane = this.lanes.findIndex((job) => job?.name === name), job = this.lanes[lane];
    if (!job) return;
    this.bars = [...this.bars, { lane, begin: job.since, end: at, failed, name }].slice(-MOST_BARS);
    this.lanes[lane] = null;
  }
}

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  const base = `/api/runs/${inAddress(run)}/-`, told = new Told();
  let state = await ask(`${base}/state`), asking = "", drawn = 0, charted = 0, points = 0, listed = 0, logged = 0;
  const place = (/** @type {any} */ more = {}) => el("div", more);
  const head = place({ role: "status" }), lost = place({ role: "alert", class: "problem" }), refused = place();
  const what = place({ class: "soft" }), stages = place(), figures = place(), lanes = place(), boards = place(), failures = place();
  const press = (/** @type {string} */ word) => /** @type {HTMLButtonElement} */ (
    el("button", { onclick: () => act(word) }, word === "stop" ? "Stop" : "Resume"));
  const stop = press("stop"), resume = press("resume"), log = el("pre", { tabindex: 0, "aria-label": "log" });
  const logging = /** @type {HTMLDetailsElement} */ (el("details", { ontoggle: () => readLog() }, el("summary", {}, "Log"), log));
  const drawing = chartPlace("Hypervolume over time", "low");
  const volume = el("section", { hidden: true }, el("h2", {}, "Hypervolume"), drawing);
  const front = el("a", { href: `/runs/${inAddress(run)}/-/front` }, "Front");
  const report = el("a", { href: `${base}/report` }, "Report");
  fill(content, el("h1", {}, run), head, lost, refused, el("p", {}, stop, " ", resume, " ", front, " ", report), what,
    el("h2", {}, "Stages"), stages, figures, lanes, boards, volume, failures, logging);

  async function act(/** @type {string} */ word) {
    asking = word === "stop" ? "is asked to stop …" : "is started …";
    fill(refused);
    draw();
    await send(`${base}/${word}`, {}).catch((error) => {
      asking = "";
      fill(refused, problem(error));
    });
    draw();
  }
  async function look() {
    const before = state.state;
    state = await ask(`${base}/state`).catch(() => state);
    if (state.state !== before) asking = "";
  }
  async function readLog() {
    logged = Date.now();
    const found = logging.open && (await ask(`${base}/log`).catch(() => null));
    if (found) fill(log, [...found.lines, ...(found.said.length ? ["", ...found.said] : [])].join("\n"));
  }
  function drawChart() {
    [charted, points, volume.hidden] = [Date.now(), told.volumes.length, told.volumes.length < 2];
    const x = told.volumes.map(([at]) => (at - told.volumes[0][0]) / 60), y = told.volumes.map(([, value]) => value);
    if (volume.hidden) return;
    chart(drawing, (colours) => ({ data: [{ x, y, mode: "lines", line: { shape: "hv", color: colours.accent } }],
      layout: { xaxis: { title: { text: "minutes" } }, yaxis: { title: { text: "hypervolume" } } } }));
  }
  function draw() {
    drawn = Date.now();
    const goes_on = ["running", "starting"].includes(state.state), end = goes_on ? now() : told.last;
    fill(head, lamp(state.state, asking || state.detail));
    stop.hidden = !goes_on;
    report.hidden = !state.report;
    resume.hidden = !["interrupted", "failed"].includes(state.state);
    stop.disabled = resume.disabled = asking !== "";
    fill(what, told.started && told.started.description.map((/** @type {string[]} */ pair) => pair.join(": ")).join(" · "));
    const none = goes_on ? "None yet." : "It has told of none.";
    fill(stages, told.stages.size ? "" : none, [...told.stages].map(([name, { done, total, detail }]) =>
      el("div", { class: "stage" }, el("span", {}, name),
        total === null ? "" : el("progress", { max: Math.max(total, 1), value: Math.min(done, total), "aria-label": name }),
        el("span", { class: "soft" }, `${done}${total === null ? "" : ` of ${total}`} ${detail || ""}`))));
    const { front: f, left, started } = told, failed = told.failed ? `, ${told.failed} failed` : "";
    fill(figures, [
      told.begun && `${goes_on ? "for" : "it took"} ${duration(end - told.begun)}`,
      left && goes_on && `about ${duration(left.seconds_left - (now() - left.at))} left`,
      told.trials > 0 && `${told.trials} trials ended${failed}`,
      f && `${f.evaluations} architectures, ${f.points} points on the front, hypervolume ${f.hypervolume.toFixed(4)}`,
      started?.measures && `${told.measured} measured, ${told.waiting} waiting for a board`,
    ].filter(Boolean).join(" · "));
    drawLanes(end, goes_on ? told.lanes : told.lanes.map(() => null));
    fill(boards, told.boards.size > 0 && [el("h2", {}, "Boards"), table(["board", "state", "temperature", "clock", "seen"],
      [...told.boards].map(([name, one]) => [name, lamp(one.state, one.reason),
        one.temperature != null && `${one.temperature.toFixed(1)} °C`, one.clock != null && `${Math.round(one.clock)} MHz`,
        `${duration(now() - one.at)} ago`]), "Boards")]);
    for (; listed < told.failures.length; listed++) {
      const [text, trace] = told.failures[listed], shown = trace && el("pre", { tabindex: 0, "aria-label": "traceback" }, trace);
      if (!listed) failures.append(el("h2", {}, "Failures"));
      failures.append(shown ? el("details", {}, el("summary", {}, text), shown) : el("p", {}, text));
    }
  }
  function drawLanes(/** @type {number} */ end, /** @type {Told["lanes"]} */ jobs) {
    const all = [...told.bars.map((one) => one.begin), ...jobs.flatMap((job) => (job ? [job.since] : []))];
    const begin = Math.max(end - WINDOW_SECONDS, Math.min(end - 10, ...all));
    const share = (/** @type {number} */ at) => (100 * (at - begin)) / (end - begin);
    const bar = (/** @type {string} */ kind, /** @type {number} */ from, /** @type {number} */ to, title = "") => el("span", {
      class: `bar ${kind}`, title, style: `left:${Math.max(0, share(from)).toFixed(2)}%;right:${(100 - share(to)).toFixed(2)}%` });
    fill(lanes, jobs.length > 0 && el("h2", {}, "Workers"), jobs.map((job, lane) => el("div", { class: "lane" },
      el("div", {}, el("strong", {}, lane + 1), job ? ` ${job.name}${job.steps ?? ""} for ${duration(end - job.since)} ` : " free",
        job && el("span", { class: "soft" }, job.what)),
      el("div", { class: "strip", "aria-hidden": "true" },
        told.bars.filter((one) => one.lane === lane && one.end > begin).map((one) => bar(one.failed ? "lost" : "", one.begin, one.end,
          `${one.name}: ${duration(one.end - one.begin)}${one.failed ? ", failed" : ""}`)),
        job && bar("now", job.since, end)))));
  }
  follow(run, {
    event: (event) => (told.take(event), event.kind === "command_ended" && look()),
    anew: () => {
      Object.assign(told, new Told());
      listed = 0;
      fill(failures);
    },
    state: () => look(),
    connection: (is_there) => fill(lost, !is_there && "No connection to the server, which is tried again; this is from before."),
  });
  draw();
  setInterval(() => {
    if (document.hidden) return;
    if (Date.now() - drawn > DRAW_MS) draw();
    if (points !== told.volumes.length && Date.now() - charted > CHART_MS) drawChart();
    if (logging.open && Date.now() - logged > LOG_MS) readLog();
  }, TICK_MS);
}
