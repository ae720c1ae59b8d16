// Refrain plugins in JavaScript: rows and states are objects, columns and bitmaps stay in here.
//
// `exportFold`, `exportTransform` and `exportProcess` give the two interfaces that the component exports;
// engagement/plugin.js is a whole fold, priced/plugin.js a whole process. Plain functions: a plugin can be tested with
// Node, without Wasm.

export { exportFold } from "./fold.js";
export { Context, exportProcess } from "./process.js";
export { Reject } from "./rows.js";
export { restoreState, saveState } from "./states.js";
export { LEAST, showSpan, span } from "./times.js";
export { exportTransform } from "./transform.js";
