// What the host calls of a fold. `exports.mjs` gives these functions the names of the contract.

import { putReject } from "./about";
import { inputs, outputs, turnTo } from "./fields";
import { exported } from "./fold";
import { Buffer, answer, bitmap, fatal, putList, setBit } from "./memory";

export { about_configure, about_describe, after, cabi_realloc } from "./exports";
export { release as fold_release, restore as fold_restore, save as fold_save } from "./states";

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
