// The list of runs.

import { ask, el, fill, inAddress, table } from "page/dom.js";

export const TITLE = "Runs";

/** @param {HTMLElement} content */
export async function show(content) {
  const { runs } = await ask("/api/runs");
  const none = () => el("p", {}, "There is no run yet. ", el("a", { href: "/new" }, "Start one."));
  fill(content, el("h1", {}, TITLE), runs.length ? list(runs) : none());
}

/** @param {any[]} runs */
function list(runs) {
  const rows = runs.map((run) => [
    el("a", { href: `/runs/${inAddress(run.name)}` }, run.name), run.state, run.detail, run.dataset, run.boards.join(", "),
  ]);
  return table(["run", "state", "", "data set", "board"], rows, "Runs");
}
