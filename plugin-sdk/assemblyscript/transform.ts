// Rows to rows, without state: what an author writes.

import { Plugin, describeAs } from "./about";
import { outputs } from "./fields";

export { options } from "./about";
export { inputs, outputs } from "./fields";
export { Level, say } from "./voice";

/** A transform: reads the row at hand, sets outputs, and gives them by `emit`. */
export abstract class Transform extends Plugin {
  /** Gives rows; a text refuses the row, with all that was given for it. */
  abstract process(): string | null;

  /** Gives a row of the outputs that were set. */
  protected emit(): void {
    outputs.push();
  }
}

let transform: Transform | null = null;

/** Makes the component a transform. */
export function exportTransform(plugin: Transform): void {
  describeAs(plugin);
  transform = plugin;
}

export function exported(): Transform {
  return transform!;
}
