// Choosing a point of a front, as select_network.py does: three to choose from, the best within limits, the nearest.

/**
 * A point of a run. Fields are those of `moo.report.explored`.
 * @typedef {{kind: string, id: string, configuration: string, threads: number, frequency_mhz: number | null, precision: string,
 *   number: number | null, weights: string, error: number, error_low: number | null, error_high: number | null,
 *   test_error: number | null, test_error_low: number | null, test_error_high: number | null, beats_guessing: boolean | null,
 *   latency_ms: number, worst_latency_ms: number | null, latency_source: string, energy_mj: number, energy_source: string,
 *   energy_error: number | null, energy_kind: string, params: number | null, front: boolean, same_as: [string, string] | null,
 *   exits: string | null}} Point
 */
/** @typedef {{latency_ms: number | null, energy_mj: number | null, error: number | null}} Limits null is no limit */
/** @typedef {{quantity: "latency_ms" | "energy_mj" | "error", value: number, limit: number, ratio: number}} Excess */

export const QUANTITIES = /** @type {const} */ (["latency_ms", "energy_mj", "error"]);
export const NO_LIMITS = /** @type {Limits} */ ({ latency_ms: null, energy_mj: null, error: null });

/** @param {Point} point @returns {[number, number, number]} */
const objectives = (point) => [point.error, point.latency_ms, point.energy_mj];

/** @param {number[]} a @param {number[]} b @returns {number} below 0 where `a` comes first */
function order(a, b) {
  for (let place = 0; place < a.length; place += 1) if (a[place] !== b[place]) return a[place] - b[place];
  return 0;
}

/**
 * @template T
 * @param {T[]} items at least one
 * @param {(item: T) => number[]} key
 * @returns {T} the first of the least
 */
const least = (items, key) => items.reduce((best, item) => (order(key(item), key(best)) < 0 ? item : best));

/** @param {Point} point @param {Limits} limits @returns {Excess[]} */
export const excesses = (point, limits) =>
  QUANTITIES.flatMap((quantity) => {
    const [value, limit] = [point[quantity], limits[quantity]];
    return limit !== null && value > limit ? [{ quantity, value, limit, ratio: value / limit - 1 }] : [];
  });

/** @param {Point[]} front @param {Limits} limits @returns {Point | null} that of least error within all limits */
export function bestWithin(front, limits) {
  const allowed = front.filter((point) => !excesses(point, limits).length);
  return allowed.length ? least(allowed, objectives) : null;
}

/** @param {Point[]} front at least one @param {Limits} limits @returns {Point} that whose worst excess is smallest */
export const nearestTo = (front, limits) => least(front, (point) => [Math.max(0, ...excesses(point, limits).map((one) => one.ratio))]);

/** @param {Point[]} front @returns {Point[]} those for which no other of them stands */
export function distinct(front) {
  const present = new Set(front.map((point) => `${point.id} ${point.configuration}`));
  return front.filter((point) => !point.same_as || !present.has(point.same_as.join(" ")));
}

/** @param {Point[]} front at least one @returns {{name: string, point: Point}[]} three, or fewer where they coincide */
export function threeChoices(front) {
  const points = distinct(front);
  const above = points.filter((point) => point.beats_guessing);
  /** @type {[string, Point][]} */
  const wanted = [
    ["most accurate", least(points, objectives)],
    ["knee", kneeOf(points)],
    [above.length ? "fastest above chance" : "fastest", least(above.length ? above : points, (point) => [point.latency_ms, ...objectives(point)])],
  ];
  /** @type {Map<Point, string[]>} */
  const roles = new Map();
  for (const [role, point] of wanted) roles.set(point, [...(roles.get(point) ?? []), role]);
  return [...roles].map(([point, names]) => ({ name: names.join(", "), point }));
}

/** @param {Point[]} front at least one @returns {Point} where the front bulges most towards the ideal point */
export const knee = (front) => kneeOf(distinct(front));

/** @param {Point[]} points @returns {Point} */
function kneeOf(points) {
  const ordered = points.map((point) => ({ point, key: objectives(point) })).sort((a, b) => order(a.key, b.key));
  const beyond = bulge(ordered.map((one) => one.key)).map((value) => Math.round(value * 1e12) / 1e12);
  return ordered[beyond.indexOf(Math.max(...beyond))].point;
}

/** @param {number[]} a @param {number[]} b */
const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
/** @param {number[]} a @param {number[]} b @param {number} [by] @returns {number[]} a - by b */
const less = (a, b, by = 1) => a.map((value, place) => value - by * b[place]);

/**
 * How far each point lies beyond the plane or line through the extremes, towards the ideal point.
 * `moo.analysis.choices.bulge` says more; the projection is that of Gram and Schmidt here.
 * @param {number[][]} points
 * @returns {number[]}
 */
function bulge(points) {
  const columns = [0, 1, 2].filter((column) => new Set(points.map((point) => point[column])).size > 1);
  const low = columns.map((column) => Math.min(...points.map((point) => point[column])));
  const range = columns.map((column, place) => Math.max(...points.map((point) => point[column])) - low[place]);
  const unit = points.map((point) => columns.map((column, place) => (point[column] - low[place]) / range[place]));
  const zeros = points.map(() => 0);
  if (!columns.length) return zeros;
  const total = (/** @type {number[]} */ point) => point.reduce((sum, value) => sum + value, 0);
  const extremes = columns.map((_, place) => least(unit, (point) => [point[place], total(point)]));
  /** @type {number[][]} */
  const basis = [];
  for (const extreme of extremes.slice(1)) {
    const left = basis.reduce((rest, one) => less(rest, one, dot(rest, one)), less(extreme, extremes[0]));
    const length = Math.sqrt(dot(left, left));
    if (length > 1e-12) basis.push(left.map((value) => value / length));
  }
  const towards = basis.reduce((rest, one) => less(rest, one, dot(rest, one)), extremes[0]).map((value) => -value);
  const length = Math.sqrt(dot(towards, towards));
  return length < 1e-12 ? zeros : unit.map((point) => dot(less(point, extremes[0]), towards) / length);
}
