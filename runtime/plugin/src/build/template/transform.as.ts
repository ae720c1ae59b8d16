// Keeps the rows whose value is not negative.

import { Transform, exportTransform, inputs, outputs } from "../SDK/assemblyscript/transform";

// The input fields that are wanted, with the names and types that they have in the topic.
const name = inputs.text("name");
const value = inputs.i64("value");

// The fields of the rows that are given.
const nameOut = outputs.text("name");
const valueOut = outputs.i64("value");

class Plugin extends Transform {
  get name(): string {
    return "NAME";
  }
  get doc(): string {
    return "Rows with a value of at least 0.";
  }

  /** Gives rows by emit; a text refuses the row. */
  process(): string | null {
    if (name.is("")) return "the name is empty";
    if (value.value >= 0) {
      nameOut.set(name.value);
      valueOut.set(value.value);
      this.emit();
    }
    return null;
  }
}

exportTransform(new Plugin());
