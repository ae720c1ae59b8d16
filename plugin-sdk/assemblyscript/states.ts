// The states of folds and processes, by slot, and what the host calls of them.

import { answer, fatal, forget, putList, take } from "./memory";

/** The states, one after another: bytes that are zero where nothing was written. */
let states: usize = 0;
let room: usize = 0;
/** Bytes of one. */
let size: usize = 0;
/** Whether a state of zeros is saved as no bytes, so that the host can forget its key. */
let forgetful = false;

/** States are so large. */
export function keep(bytes: usize, forgets: bool): void {
  size = bytes;
  forgetful = forgets;
}

function stateAt(slot: usize): usize {
  if (slot >= room) {
    const wanted = max<usize>(2 * room, max<usize>(1024, slot + 1));
    states = states ? heap.realloc(states, wanted * size) : heap.alloc(wanted * size);
    memory.fill(states + room * size, 0, (wanted - room) * size);
    room = wanted;
  }
  return states + slot * size;
}

/** Bytes of a state of this class. */
// @ts-ignore: decorator
@inline
export function sizeOf<S>(): usize {
  if (isManaged<S>()) ERROR("a state is an @unmanaged class of numbers");
  return offsetof<S>();
}

// @ts-ignore: decorator
@inline
export function stateOf<S>(slot: usize): S {
  return changetype<S>(stateAt(slot));
}

export function save(slots: usize, count: usize): usize {
  const ends = take(4 * count);
  const bytes = take(size * count);
  let end: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const state = stateAt(load<u32>(slots + 4 * i));
    if (!forgetful || !isZero(state)) {
      memory.copy(bytes + end, state, size);
      end += size;
    }
    store<u32>(ends + 4 * i, <u32>end);
  }
  const at = answer();
  putList(at + 4, ends, count);
  putList(at + 12, bytes, end);
  return at;
}

function isZero(at: usize): bool {
  for (let i: usize = 0; i < size; i++) if (load<u8>(at + i) != 0) return false;
  return true;
}

export function restore(
  slots: usize,
  count: usize,
  ends: usize,
  endCount: usize,
  bytes: usize,
  length: usize,
): usize {
  for (let i: usize = 0; i < count; i++) {
    if (i >= endCount || (i + 1) * size > length || <usize>load<u32>(ends + 4 * i) != (i + 1) * size) {
      return fatal("a saved state is of another size: raise stateVersion");
    }
    memory.copy(stateAt(load<u32>(slots + 4 * i)), bytes + i * size, size);
  }
  return answer();
}

export function release(slots: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) memory.fill(stateAt(load<u32>(slots + 4 * i)), 0, size);
  forget();
}
