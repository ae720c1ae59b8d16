// Counts the rows of each key and sums one of their fields.

import { exportFold } from "SDK/javascript/refrain.js";

export const { about, fold } = exportFold({
  name: "NAME",
  doc: "How many rows there were and the mean of their value.",
  // The input fields that are wanted, with the names and types that they have in the topic.
  inputs: { value: "i64" },
  // The fields of the view, beside the key and the window.
  outputs: { rows: "i64", value_mean: "f64" },

  state: () => ({ rows: 0, valueSum: 0 }),

  update(totals, event) {
    totals.rows++;
    totals.valueSum += event.value;
  },

  evaluate: ({ rows, valueSum }) => ({ rows, value_mean: rows ? valueSum / rows : 0 }),
});
