// Times and lengths of time, in whole microseconds.

/** Before every time: the watermark before there is one. */
export const LEAST = -(2 ** 63);

const UNITS = { d: 86_400_000_000, h: 3_600_000_000, m: 60_000_000, s: 1_000_000, ms: 1_000, us: 1 };

/** A length of time from text: a number and one of us, ms, s, m, h, d. */
export function span(text) {
  const parts = /^([+-]?[0-9]+)\s*([a-z]+)$/.exec(text);
  if (!parts || !(parts[2] in UNITS)) throw new RangeError(`"${text}" is no length of time, as in "90s"`);
  return Number(parts[1]) * UNITS[parts[2]];
}

/** A length of time as text, in the largest unit that fits. */
export function showSpan(length) {
  if (length === 0) return "0s";
  const [name, unit] = Object.entries(UNITS).find(([, unit]) => length % unit === 0);
  return `${length / unit}${name}`;
}
