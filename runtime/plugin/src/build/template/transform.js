// Keeps the rows whose value is not negative.

import { Reject, exportTransform } from "SDK/javascript/refrain.js";

export const { about, transform } = exportTransform({
  name: "NAME",
  doc: "Rows with a value of at least 0.",
  // The input fields that are wanted, with the names and types that they have in the topic.
  inputs: { name: "text", value: "i64" },
  // The fields of the rows that are given.
  outputs: { name: "text", value: "i64" },

  *process({ name, value }) {
    if (name === "") throw new Reject("the name is empty");
    if (value >= 0) yield { name, value };
  },
});
