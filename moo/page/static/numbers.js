// Numbers as people read them, with units and where they come from: the same as in report.md.

/** @param {number} value @returns {string} three significant digits */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(2);
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
}

/** @param {number} share in [0, 1] */
export const percent = (share) => `${share > 0 && share < 1e-3 ? short(100 * share) : (100 * share).toFixed(1)} %`;

/** @param {number} seconds @returns {string} `45 s`, `2 min 10 s`, `3 h 05 min` */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds)), two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}
