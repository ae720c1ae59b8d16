// Counts the rows of each key and sums one of their fields.

import { Fold, exportFold, inputs, outputs } from "../SDK/assemblyscript/fold";

// The input fields that are wanted, with the names and types that they have in the topic.
const value = inputs.i64("value");

// The fields of the view, beside the key and the window.
const rows = outputs.i64("rows");
const valueMean = outputs.f64("value_mean");

// What is kept for each key and window: plain numbers, 0 before the first row.
@unmanaged
class Totals {
  rows: i64;
  valueSum: i64;
}

class Plugin extends Fold<Totals> {
  get name(): string {
    return "NAME";
  }
  get doc(): string {
    return "How many rows there were and the mean of their value.";
  }

  update(totals: Totals): void {
    totals.rows++;
    totals.valueSum += value.value;
  }

  evaluate(totals: Totals): bool {
    rows.set(totals.rows);
    valueMean.set(<f64>totals.valueSum / <f64>totals.rows);
    return true;
  }
}

exportFold(new Plugin());
