// States by slot, and their text: JSON with sorted keys, the same for equal states.

import { packed } from "./rows.js";
import { decodeText } from "./text.js";

const odd = (value) => !Number.isFinite(value) || Object.is(value, -0);

function frozen(value) {
  switch (typeof value) {
    case "number":
      return odd(value) ? { $number: Object.is(value, -0) ? "-0" : String(value) } : value;
    case "bigint":
      return { $bigint: String(value) };
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(frozen);
      if (value instanceof Map) return { $map: [...value].map(frozen) };
      if (value instanceof Set) return { $set: [...value].map(frozen) };
      return Object.fromEntries(Object.keys(value).sort().map((key) => [key, frozen(value[key])]));
    default:
      return value;
  }
}

function thawed(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(thawed);
  if ("$number" in value) return Number(value.$number);
  if ("$bigint" in value) return BigInt(value.$bigint);
  if ("$map" in value) return new Map(value.$map.map(thawed));
  if ("$set" in value) return new Set(value.$set.map(thawed));
  // Most states are flat.
  if (!Object.values(value).some((inner) => typeof inner === "object")) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, thawed(inner)]));
}

/** A state as text, the same for equal states: JSON with sorted keys. Maps and Sets keep the order of insertion. */
export const saveState = (state) => JSON.stringify(frozen(state));
/** The state that `saveState` wrote. */
export const restoreState = (text) => thawed(JSON.parse(text));

/** The states of one instance, by slot. A slot that was never written holds the initial state, which is saved as no bytes at
 * all where the host forgets its key then. */
export function statesOf(initial, forgets = false) {
  const states = [];
  const at = (slot) => (states[slot] ??= initial());
  const unsaved = forgets ? saveState(initial()) : undefined;
  const saved = (slot) => {
    const text = saveState(at(slot));
    return text === unsaved ? "" : text;
  };
  return {
    at,
    save: (slots) => packed(Array.from(slots, saved)),
    restore(slots, { ends, bytes }) {
      let start = 0;
      for (let i = 0; i < slots.length; i++) {
        try {
          states[slots[i]] = restoreState(decodeText(bytes, start, ends[i]));
        } catch (why) {
          throw { tag: "fatal", val: `a saved state cannot be read (${why.message}): raise stateVersion` };
        }
        start = ends[i];
      }
    },
    release(slots) {
      for (const slot of slots) states[slot] = undefined;
    },
  };
}
