// What the host calls of a transform. `exports.mjs` gives these functions the names of the contract.

import { putReject } from "./about";
import { inputs, outputs, turnTo } from "./fields";
import { Buffer, answer, fatal, putList } from "./memory";
import { exported } from "./transform";

export { about_configure, about_describe, after, cabi_realloc } from "./exports";

export function transform_process(count: u32, columns: usize, width: usize): usize {
  if (!inputs.bind(columns, width)) return fatal("the host sent other columns than declared");
  const plugin = exported();
  const origins = new Buffer();
  const rejects = new Buffer();
  outputs.reset();
  for (let row: u32 = 0; row < count; row++) {
    turnTo(row);
    const before = outputs.count;
    const refused = plugin.process();
    if (refused !== null) {
      outputs.truncate(before);
      putReject(rejects.more(12), row, refused);
      continue;
    }
    for (let given = before; given < outputs.count; given++) store<u32>(origins.more(4), row);
  }
  const at = answer();
  outputs.finish(at + 4);
  putList(at + 16, origins.start, origins.length >> 2);
  putList(at + 24, rejects.start, rejects.length / 12);
  return at;
}
