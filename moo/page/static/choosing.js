// Choosing a point of a front by limits, as `moo.analysis.selection` does.

/** @typedef {{kind: string, id: string, configuration: string, error: number, latency_ms: number, energy_mj: number, front: boolean,
 *   same_as: [string, string] | null, cells: string[], about: string} & Record<string, any>} Point of moo.report.explored */
/** @typedef {{latency_ms: number | null, energy_mj: number | null, error: number | null}} Limits null is no limit */
/** @typedef {{quantity: "latency_ms" | "energy_mj" | "error", value: number, limit: number, ratio: number}} Excess */

export const QUANTITIES = /** @type {const} */ (["latency_ms", "energy_mj", "error"]);

/** @param {Point} point @param {Limits} limits @returns {Excess[]} */
export const excesses = (point, limits) => QUANTITIES.flatMap((quantity) => {
  const [value, limit] = [point[quantity], limits[quantity]];
  return limit !== null && value > limit ? [{ quantity, value, limit, ratio: value / limit - 1 }] : [];
});

/** @param {Point} a @param {Point} b @returns {number} below 0 where `a` is better */
const compare = (a, b) => a.error - b.error || a.latency_ms - b.latency_ms || a.energy_mj - b.energy_mj;

/** @param {Point[]} front @param {Limits} limits @returns {Point | null} that of least error within all limits */
export const bestWithin = (front, limits) => front.filter((point) => !excesses(point, limits).length).sort(compare)[0] ?? null;

/** @param {Point[]} front at least one @param {Limits} limits @returns {Point} that whose worst excess is smallest */
export function nearestTo(front, limits) {
  const worst = front.map((point) => Math.max(0, ...excesses(point, limits).map((one) => one.ratio)));
  return front[worst.indexOf(Math.min(...worst))];
}
