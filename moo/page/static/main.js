// Which page an address shows. Each page is a module with `show(content, run)`; it is loaded when it is asked for.

import { byId, el, fill, inAddress, problem } from "page/dom.js";

/** Pages of a run: the last part of the address, and the title. The first one is shown where none is given. */
const RUN_PAGES = [
  ["live", "Live"],
  ["front", "Front"],
  ["network", "Network"],
  ["coefficients", "Coefficients"],
  ["board", "Board"],
];

/** @param {string} path @returns {{page: string, run: string | null, rest: string[]}} */
function read(path) {
  if (path === "/new") return { page: "new", run: null, rest: [] };
  if (!path.startsWith("/runs/")) return { page: "runs", run: null, rest: [] };
  // `/runs/NAME/-/PAGE/...`: names of runs may have folders, but never one called `-`.
  const [name, rest = "front"] = path.slice("/runs/".length).split("/-/");
  const [page, ...others] = rest.split("/").map(decodeURIComponent);
  return { page, run: name.split("/").map(decodeURIComponent).join("/"), rest: others };
}

/** @param {string | null} run @param {string} page */
function header(run, page) {
  const link = (/** @type {string} */ place, /** @type {string} */ text, /** @type {boolean} */ here) =>
    el("a", { href: place, "aria-current": here ? "page" : null }, text);
  const own = run === null ? [] : RUN_PAGES.map(([name, title]) => link(`/runs/${inAddress(run)}/-/${name}`, title, name === page));
  fill(byId("top"),
    el("nav", { "aria-label": "Pages" }, link("/", "Runs", page === "runs"), link("/new", "New search", page === "new")),
    run !== null && el("nav", { "aria-label": "Pages of this run" }, el("strong", {}, run), own));
}

async function start() {
  const { page, run, rest } = read(location.pathname);
  const content = byId("content");
  header(run, page);
  if (!/^[a-z]+$/.test(page)) return fill(content, problem("There is no such page."));
  try {
    const module = await import(`page/${page}.js`);
    document.title = run === null ? module.TITLE : `${module.TITLE} · ${run}`;
    await module.show(content, run, rest);
  } catch (error) {
    fill(content, problem(error));
  }
}

start();
