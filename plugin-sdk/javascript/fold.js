// Keyed state over one input.

import { aboutOf } from "./about.js";
import { Reject, batch, bitmap, fieldsOf, nothingOf, rowsOf } from "./rows.js";
import { statesOf } from "./states.js";
import { voiced } from "./voice.js";

/** The interfaces of a fold: `export const { about, fold } = exportFold({...})`. */
export function exportFold(plugin) {
  const inputs = fieldsOf(plugin.inputs);
  const outputs = fieldsOf(plugin.outputs);
  const nothing = nothingOf(outputs);
  const states = statesOf(plugin.state);
  const stateOf = states.at;
  const { check, update, evaluate } = plugin;

  /** The row, when all of its states take it. */
  function taken(row, slots, start, end) {
    if (check) for (let i = start; i < end; i++) check(stateOf(slots[i]), row);
    return row;
  }

  const fold = {
    update(input, { rows, slots }) {
      const rowAt = rowsOf(inputs, input);
      const rejects = [];
      // The entries of a row stand together: all of its states are asked before any is touched.
      for (let i = 0, end; i < slots.length; i = end) {
        const at = rows.length ? rows[i] : i;
        end = i + 1;
        while (end < rows.length && rows[end] === at) end++;
        let row;
        try {
          row = taken(rowAt(at), slots, i, end);
        } catch (why) {
          if (!(why instanceof Reject)) throw why;
          rejects.push({ row: at, reason: why.message });
          continue;
        }
        for (let j = i; j < end; j++) update(stateOf(slots[j]), row);
      }
      return rejects;
    },
    evaluate(slots) {
      const shown = Array.from(slots, (slot) => evaluate(stateOf(slot)) ?? null);
      const all = !shown.includes(null);
      const rows = batch(outputs, all ? shown : shown.map((row) => row ?? nothing));
      return { rows, present: all ? [] : bitmap(shown.map((row) => row !== null)) };
    },
    save: states.save,
    restore: states.restore,
    release: states.release,
  };
  return { about: aboutOf(plugin, inputs, outputs), fold: voiced(fold) };
}
