// Keyed state over one input: what an author writes, and the states by slot. engagement/assembly/index.ts is a whole fold.

import { Plugin } from "./about";

export { options } from "./about";
export { inputs, outputs } from "./fields";
export { Level, say } from "./voice";

/** The states, one after another: bytes that are zero where nothing was written. */
let states: usize = 0;
let room: usize = 0;

/** The state of a slot, of so many bytes. */
export function stateAt(slot: usize, size: usize): usize {
  if (slot >= room) {
    const wanted = max<usize>(2 * room, max<usize>(1024, slot + 1));
    states = states ? heap.realloc(states, wanted * size) : heap.alloc(wanted * size);
    memory.fill(states + room * size, 0, (wanted - room) * size);
    room = wanted;
  }
  return states + slot * size;
}

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
    if (isManaged<S>()) ERROR("the state of a fold is an @unmanaged class of numbers");
    return offsetof<S>();
  }
  refusal(slot: usize): string | null {
    return this.check(this.at(slot));
  }
  take(slot: usize): void {
    this.update(this.at(slot));
  }
  show(slot: usize): bool {
    return this.evaluate(this.at(slot));
  }

  @inline
  private at(slot: usize): S {
    return changetype<S>(stateAt(slot, offsetof<S>()));
  }
}

let fold: AnyFold | null = null;

/** Makes the component a fold. */
export function exportFold(plugin: AnyFold): void {
  fold = plugin;
}

export function exported(): AnyFold {
  return fold!;
}
