// What the host calls of a fold. `exports.mjs` gives these functions the names of the contract.

import { configured, described, putReject } from "./about";
import { inputs, outputs, turnTo } from "./fields";
import { exported, stateAt } from "./fold";
import { Buffer, answer, bitmap, fatal, forget, putList, realloc, setBit, take } from "./memory";

export function cabi_realloc(old: usize, oldSize: usize, alignment: usize, size: usize): usize {
  return realloc(old, oldSize, alignment, size);
}

/** The host has read an answer. */
export function after(_: usize): void {
  forget();
}

export function about_describe(): usize {
  return described(exported());
}

export function about_configure(given: usize, count: usize): usize {
  return configured(given, count);
}

export function fold_update(
  count: u32,
  columns: usize,
  width: usize,
  rows: usize,
  rowCount: usize,
  slots: usize,
  slotCount: usize,
): usize {
  if (!inputs.bind(columns, width)) return fatal("the host sent other columns than declared");
  const plugin = exported();
  const rejects = new Buffer();
  // The entries of a row stand together: all of its states are asked before any is touched.
  for (let i: usize = 0, end: usize = 0; i < slotCount; i = end) {
    const row = rowCount ? load<u32>(rows + 4 * i) : <u32>i;
    end = i + 1;
    while (end < rowCount && load<u32>(rows + 4 * end) == row) end++;
    turnTo(row);
    let refused: string | null = null;
    for (let j = i; j < end && refused === null; j++) refused = plugin.refusal(load<u32>(slots + 4 * j));
    if (refused !== null) {
      putReject(rejects.more(12), row, refused);
      continue;
    }
    for (let j = i; j < end; j++) plugin.take(load<u32>(slots + 4 * j));
  }
  const at = answer();
  putList(at + 4, rejects.start, rejects.length / 12);
  return at;
}

export function fold_evaluate(slots: usize, count: usize, keyCount: u32, keys: usize, keyWidth: usize): usize {
  const plugin = exported();
  outputs.reset();
  const present = bitmap(count);
  for (let i: usize = 0; i < count; i++) {
    if (plugin.show(load<u32>(slots + 4 * i))) setBit(present, i);
    outputs.push();
  }
  const at = answer();
  outputs.finish(at + 4);
  putList(at + 16, present, (count + 7) >> 3);
  return at;
}

export function fold_save(slots: usize, count: usize): usize {
  const size = exported().size;
  const ends = take(4 * count);
  const bytes = take(size * count);
  for (let i: usize = 0; i < count; i++) {
    memory.copy(bytes + i * size, stateAt(load<u32>(slots + 4 * i), size), size);
    store<u32>(ends + 4 * i, <u32>((i + 1) * size));
  }
  const at = answer();
  putList(at + 4, ends, count);
  putList(at + 12, bytes, size * count);
  return at;
}

export function fold_restore(
  slots: usize,
  count: usize,
  ends: usize,
  endCount: usize,
  bytes: usize,
  length: usize,
): usize {
  const size = exported().size;
  for (let i: usize = 0; i < count; i++) {
    if (i >= endCount || <usize>load<u32>(ends + 4 * i) != (i + 1) * size) {
      return fatal("a saved state is of another size: raise stateVersion");
    }
    memory.copy(stateAt(load<u32>(slots + 4 * i), size), bytes + i * size, size);
  }
  return answer();
}

export function fold_release(slots: usize, count: usize): void {
  const size = exported().size;
  for (let i: usize = 0; i < count; i++) memory.fill(stateAt(load<u32>(slots + 4 * i), size), 0, size);
  forget();
}
