// The front of a run.

import { el, fill } from "page/dom.js";

export const TITLE = "Front";

/** @param {HTMLElement} content @param {string} run */
export async function show(content, run) {
  fill(content, el("h1", {}, TITLE), el("p", {}, run));
}
