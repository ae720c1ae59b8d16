// What the host calls of a process. `exports.mjs` gives these functions the names of the contract.

import { putReject } from "./about";
import { Inputs, putFields, turnTo } from "./fields";
import { Buffer, answer, fatal, putList, putText, take } from "./memory";
import { declared, exported, given } from "./process";

export { about_configure, about_describe, after, cabi_realloc } from "./exports";
export { release as process_release, restore as process_restore, save as process_save } from "./states";

/** Bytes of a part where it crosses: rows, slots, times. */
const PART: usize = 28;
/** Bytes of a declared input: name, doc, fields. */
const INPUT: usize = 24;
/** A timer is of no input's row. */
const NO_INPUT = new Inputs();

export function process_declare(): usize {
  const at = answer();
  const inputs = take(<usize>declared.length * INPUT);
  putList(at, inputs, declared.length);
  for (let i = 0; i < declared.length; i++) {
    const input = inputs + <usize>i * INPUT;
    putText(input, declared[i].name);
    putText(input + 8, declared[i].doc);
    putFields(input + 16, declared[i].all);
  }
  const viewKey = exported().viewKey;
  const names = take(<usize>viewKey.length * 8);
  putList(at + 8, names, viewKey.length);
  for (let i = 0; i < viewKey.length; i++) putText(names + <usize>i * 8, viewKey[i]);
  store<u8>(at, u8(exported().timed), 16);
  return at;
}

export function process_process(parts: usize, width: usize, order: usize, length: usize, watermark: i64): usize {
  if (!fit(parts, width)) return fatal("the host sent other columns than declared");
  const plugin = exported();
  const rejects = new Buffer();
  const count = length || width != 1 ? length : <usize>load<u32>(parts);
  // The next row of each input.
  const next = take(4 * width);
  memory.fill(next, 0, 4 * width);
  given.begin(watermark);
  for (let place: usize = 0; place < count; place++) {
    const input = length ? <usize>load<u32>(order + 4 * place) : 0;
    const row = load<u32>(next + 4 * input);
    store<u32>(next + 4 * input, row + 1);
    const part = parts + input * PART;
    const slot = load<u32>(<usize>load<u32>(part, 12) + 4 * row);
    given.origin = <u32>place;
    given.slot = slot;
    if (load<u32>(part, 24)) given.time = load<i64>(<usize>load<u32>(part, 20) + 8 * row);
    turnTo(row, declared[<i32>input]);
    const refused = plugin.refusal(slot);
    if (refused !== null) putReject(rejects.more(12), <u32>place, refused);
    else plugin.take(slot);
  }
  const at = answer();
  given.finish(at + 4);
  putList(at + 32, rejects.start, rejects.length / 12);
  return at;
}

function fit(parts: usize, count: usize): bool {
  if (count != <usize>declared.length) return false;
  for (let i: usize = 0; i < count; i++) {
    const part = parts + i * PART;
    if (!declared[<i32>i].bind(load<u32>(part, 4), load<u32>(part, 8))) return false;
  }
  return true;
}

export function process_fire(slots: usize, count: usize, times: usize, timeCount: usize, watermark: i64): usize {
  const plugin = exported();
  given.begin(watermark);
  turnTo(0, NO_INPUT);
  for (let place: usize = 0; place < count; place++) {
    given.origin = <u32>place;
    given.slot = load<u32>(slots + 4 * place);
    given.time = load<i64>(times + 8 * place);
    plugin.ring(given.slot);
  }
  const at = answer();
  given.finish(at + 4);
  return at;
}
