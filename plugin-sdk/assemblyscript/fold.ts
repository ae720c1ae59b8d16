// Keyed state over one input: what an author writes, and the states by slot. engagement/assembly/index.ts is a whole fold.

import { Plugin, describeAs } from "./about";
import { keep, sizeOf, stateOf } from "./states";

export { options } from "./about";
export { inputs, outputs } from "./fields";
export { Level, say } from "./voice";

/** A fold as the exports see it, whatever its state is. */
export abstract class AnyFold extends Plugin {
  abstract get size(): usize;
  abstract refusal(slot: usize): string | null;
  abstract take(slot: usize): void;
  abstract show(slot: usize): bool;

  get stateVersion(): u32 {
    return 1;
  }
}

/**
 * A fold. Its state S is an `@unmanaged class` of numbers, all of them 0 before the first row; it is saved as its bytes, so
 * fields stand in falling size. Texts and lists have no place in it.
 */
export abstract class Fold<S> extends AnyFold {
  /** Why a row is not taken, or null; changes nothing. Takes all when left out. */
  check(state: S): string | null {
    return null;
  }
  /** Takes the row at hand into the state of its key and window. */
  abstract update(state: S): void;
  /** Sets the outputs; false: the view has no row. */
  abstract evaluate(state: S): bool;

  get size(): usize {
    return sizeOf<S>();
  }
  refusal(slot: usize): string | null {
    return this.check(stateOf<S>(slot));
  }
  take(slot: usize): void {
    this.update(stateOf<S>(slot));
  }
  show(slot: usize): bool {
    return this.evaluate(stateOf<S>(slot));
  }
}

let fold: AnyFold | null = null;

/** Makes the component a fold. */
export function exportFold(plugin: AnyFold): void {
  describeAs(plugin);
  keep(plugin.size, false);
  fold = plugin;
}

export function exported(): AnyFold {
  return fold!;
}
