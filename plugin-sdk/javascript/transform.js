// Rows to rows, without state.

import { aboutOf } from "./about.js";
import { Reject, batch, fieldsOf, rowsOf } from "./rows.js";
import { voiced } from "./voice.js";

/** The interfaces of a transform: `export const { about, transform } = exportTransform({...})`. */
export function exportTransform(plugin) {
  const inputs = fieldsOf(plugin.inputs);
  const outputs = fieldsOf(plugin.outputs);
  const transform = {
    process(input) {
      const rowAt = rowsOf(inputs, input);
      const out = [];
      const origins = [];
      const rejects = [];
      for (let row = 0; row < input.count; row++) {
        try {
          for (const given of [...(plugin.process(rowAt(row)) ?? [])]) {
            out.push(given);
            origins.push(row);
          }
        } catch (why) {
          if (!(why instanceof Reject)) throw why;
          rejects.push({ row, reason: why.message });
        }
      }
      return { rows: batch(outputs, out), origins, rejects };
    },
  };
  return { about: aboutOf(plugin, inputs, outputs), transform: voiced(transform) };
}
