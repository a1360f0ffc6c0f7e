// A run while it goes on: stages, workers, boards, hypervolume, failures, log; stop and resume.

import { chart, chartPlace } from "page/chart.js";
import { ask, el, fill, inAddress, lamp, problem, send, table } from "page/dom.js";
import { duration, percent, short } from "page/numbers.js";
import { follow, now } from "page/stream.js";

export const TITLE = "Live";
const HOT_C = 80, WINDOW_SECONDS = 900, MOST_JOBS = 300, TICK_MS = 300, DRAW_MS = 900, CHART_MS = 2000, LOG_MS = 3000;
/** What is counted; networks where nothing stands. @type {Record<string, string>} */
const UNITS = { loading: "images", "pre-training": "epochs", search: "trials", profiling: "measurements", streaming: "points",
  testing: "points" };

/** @typedef {{state: string, reason: string, temperature: number | null, clock: number | null, at: number, by_name: boolean}} Board */
/** What a worker does or did. @typedef {{worker: string, name: string, begin: number, end: number | null, failed: boolean,
 *   trial?: number, what?: string, share?: number}} Job */

/** What the events of a run's last command tell; failures, front and hypervolumes are those of all its commands. */
class Told {
  begun = 0; last = 0; trials = 0; failed = 0; measured = 0; waiting = 0;
  started = /** @type {any} */ (null); front = /** @type {any} */ (null); left = /** @type {any} */ (null);
  /** @type {Map<string, {done: number, total: number | null, detail: string}>} */ stages = new Map();
  /** @type {Job[]} */ jobs = [];
  /** The last job of each. @type {Map<string, Job>} */ workers = new Map();
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
    const job = (/** @type {Partial<Job>} */ news) => Object.assign(this.jobs.findLast((one) => one.trial === event.trial) ?? {}, news);
    const conditions = () => ({ temperature: event.temperature_c, clock: event.clock_mhz, reason: "",
      state: event.throttled ? "throttled" : event.temperature_c >= HOT_C ? "hot" : "answering" });
    /** @type {Record<string, () => void>} */
    const kinds = {
      command_started: () => Object.assign(this, new Told(), {
        failures: this.failures, front: this.front, volumes: this.volumes, begun: at }),
      command_ended: () => {
        this.left = null;
        for (const [of, { done, total, detail }] of event.ending === "finished" ? this.stages : []) stage(of, total ?? done, total, detail);
        this.workers.forEach((job) => this.end(job, at));
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
      worker_idle: () => this.end(this.workers.get(event.worker), at),
      worker_busy: () => this.begin(event.worker, event.job, at, { trial: event.trial }),
      worker_gone: () => (this.end(this.workers.get(event.worker), at, true),
        fail(`${event.worker} was lost, and its work is done again: ${reason}`)),
      inner_search_progress: () => job({ share: event.step / event.steps, what: `step ${event.step} of ${event.steps}` }),
      trial_finished: () => search(),
      trial_failed: () => {
        job({ failed: true });
        this.failed++;
        search();
        fail(`Trial ${event.trial} failed: ${reason}`, event.traceback);
      },
      networks_queued: () => (this.waiting = event.waiting),
      network_measured: () => {
        Object.assign(this, { measured: this.measured + 1, waiting: event.waiting });
        if (![...this.boards.values()].some((one) => one.by_name)) this.board(event.board, { at, ...conditions(), by_name: false });
      },
      measuring_failed: () => ((this.waiting = event.waiting ?? this.waiting), fail(`${event.network} could not be measured: ${reason}`)),
      board_conditions: () => this.board(device, { at, ...conditions() }),
      board_unreachable: () => this.board(device, { state: "gone", reason }), // Seen before.
      board_back: () => this.board(device, { at, state: "answering", reason: "" }),
      front_changed: () => this.volumes.push([at, (this.front = event).hypervolume]),
      training_progress: () => {
        const job = this.training(name, at);
        job.share = event.step / (event.total_steps || 1);
        if (event.epoch !== null) job.what = `epoch ${event.epoch} of ${event.epochs}, accuracy ${percent(event.accuracy)}`;
      },
      trainings_started: () => stage("training", 0, event.networks),
      training_finished: () => (this.end(this.training(name, at), at), trained()),
      training_failed: () => (this.end(this.training(name, at), at, true), trained(), fail(`${name} could not be trained: ${reason}`)),
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
    const before = this.boards.get(name) || { state: "answering", reason: "", temperature: null, clock: null, at: this.last, by_name };
    this.boards.set(name, { ...before, ...news });
  }
  /** @param {string} worker @param {string} name @param {number} begin @param {Partial<Job>} [more] */
  begin(worker, name, begin, more) {
    const job = { worker, name, begin, end: null, failed: false, ...more };
    this.workers.set(worker, job);
    this.jobs = [...this.jobs, job].slice(-MOST_JOBS);
    return job;
  }
  /** @param {Job | undefined} job @param {number} at @param {boolean} [failed] */
  end(job, at, failed = false) {
    if (job?.end === null) Object.assign(job, { end: at, failed });
  }
  /** Trainings do not tell which worker does them: the first that is free. @param {string} name @param {number} at */
  training(name, at) {
    let number = 1;
    while (this.workers.get(`worker ${number}`)?.end === null) number++;
    return [...this.workers.values()].find((job) => job.name === name && job.end === null) ?? this.begin(`worker ${number}`, name, at);
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
      layout: { xaxis: { title: { text: "minutes of search" } }, yaxis: { title: { text: "hypervolume" } } } }));
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
        el("span", { class: "soft" }, `${done}${total === null ? "" : ` of ${total}`} ${UNITS[name] ?? "networks"}`,
          detail && `, ${detail}`))));
    const { front: f, left, started } = told, failed = told.failed ? `, ${told.failed} failed` : "";
    fill(figures, [
      told.begun && `${goes_on ? "for" : "it took"} ${duration(end - told.begun)}`,
      left && goes_on && `about ${duration(left.seconds_left - (now() - left.at))} left`,
      told.trials > 0 && `${told.trials} trials ended${failed}`,
      f && `${f.evaluations} architectures, ${f.points} points on the front, hypervolume ${f.hypervolume.toFixed(4)}`,
      started?.measures && `${told.measured} measured, ${told.waiting} waiting for a board`,
    ].filter(Boolean).join(" · "));
    drawLanes(end, goes_on);
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
  function drawLanes(/** @type {number} */ end, /** @type {boolean} */ goes_on) {
    const begin = Math.max(end - WINDOW_SECONDS, Math.min(end - 10, ...told.jobs.map((job) => job.begin)));
    const share = (/** @type {number} */ at) => (100 * (at - begin)) / (end - begin);
    const bar = (/** @type {Job} */ job, from = Math.max(0, share(job.begin)), to = share(job.end ?? end)) => el("span", {
      class: `bar ${job.failed ? "lost" : job.end === null && "now"}`, style: `left:${from.toFixed(2)}%;right:${(100 - to).toFixed(2)}%`,
      title: `${job.name}: ${duration((job.end ?? end) - job.begin)}${job.failed ? ", failed" : ""}` });
    const all = [...told.workers].sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }));
    fill(lanes, all.length > 0 && el("h2", {}, "Workers"), all.map(([worker, last]) => {
      const job = goes_on && last.end === null ? last : undefined, done = job?.share;
      const shown = told.jobs.filter((one) => one.worker === worker && (one.end ?? (goes_on ? end : begin)) > begin);
      return el("div", { class: "lane" },
        el("div", {}, el("strong", {}, worker), job ? ` ${job.name} ` : goes_on && " free",
          done !== undefined && [
            el("progress", { value: done, "aria-label": `${job?.name}: share that is done` }), ` ${Math.floor(100 * done)} % `],
          job && el("span", { class: "soft" }, [job.what, `for ${duration(end - job.begin)}`].filter(Boolean).join(", "))),
        el("div", { class: "strip", "aria-hidden": "true" }, shown.map((one) => bar(one))));
    }));
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
