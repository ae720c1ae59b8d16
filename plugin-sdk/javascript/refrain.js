// Refrain plugins in JavaScript: rows and states are objects, columns and bitmaps stay in here.
//
// `exportFold` and `exportTransform` give the two interfaces that the component exports; engagement/plugin.js is a whole
// fold. Plain functions: a plugin can be tested with Node, without Wasm.
//
// Integers are numbers, and so exact to 2^53. A row with a larger i64 is rejected, and an answer with one stops the node:
// nothing that is not exact gets in or out.

/** Thrown in `check` of a fold or in `process` of a transform: the row goes to `<node>.rejected` with this text. */
export class Reject extends Error {}

// ---- columns -------------------------------------------------------------------------------------

// QuickJS has neither TextDecoder nor TextEncoder.
function decodeText(bytes, start, end) {
  let text = "";
  for (let i = start; i < end; ) {
    let code = bytes[i++];
    if (code >= 0x80) {
      const more = code >= 0xf0 ? 3 : code >= 0xe0 ? 2 : 1;
      code &= 0x3f >> more;
      for (const last = i + more; i < last; i++) code = (code << 6) | (bytes[i] & 0x3f);
    }
    text += code > 0xffff ? String.fromCodePoint(code) : String.fromCharCode(code);
  }
  return text;
}

function encodeText(text, into) {
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      into.push(code);
      continue;
    }
    if (code >= 0xd800 && code < 0xe000) {
      code = text.codePointAt(i);
      if (code > 0xffff) i++;
      else code = 0xfffd; // half a pair is no text
    }
    if (code < 0x800) into.push(0xc0 | (code >> 6));
    else {
      if (code < 0x10000) into.push(0xe0 | (code >> 12));
      else into.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f));
      into.push(0x80 | ((code >> 6) & 0x3f));
    }
    into.push(0x80 | (code & 0x3f));
  }
}

const there = (valid, row) => valid.length === 0 || ((valid[row >> 3] >> (row & 7)) & 1) === 1;

/** Texts seen lately, by their bytes: a column of words is mostly the same few words. */
const words = new Map();

function spanReader(kind, { ends, bytes }) {
  const start = (row) => (row ? ends[row - 1] : 0);
  if (kind === "bytes") return (row) => Uint8Array.from(bytes.slice(start(row), ends[row]));
  return (row) => {
    const from = start(row);
    const end = ends[row];
    if (end - from > 6) return decodeText(bytes, from, end);
    let key = end - from;
    for (let i = from; i < end; i++) key = key * 256 + bytes[i];
    let word = words.get(key);
    if (word === undefined) {
      word = decodeText(bytes, from, end);
      if (words.size < 4096) words.set(key, word);
    }
    return word;
  };
}

const inexact = (value) => value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER;

function exactReader(name, all) {
  return (row) => {
    const value = all[row];
    if (inexact(value)) throw new Reject(`the field ${name} is beyond 2^53, where numbers of JavaScript are not exact`);
    return value;
  };
}

function reader({ name, kind, nullable }, { values, valid }) {
  const all = values.val;
  let read = kind === "i64" ? exactReader(name, all) : (row) => all[row];
  if (values.tag === "spans") read = spanReader(kind, all);
  if (!nullable || valid.length === 0) return read;
  return (row) => (there(valid, row) ? read(row) : null);
}

/** A function that makes row i of a batch an object. */
function rowsOf(fields, rows) {
  const readers = fields.map((field, i) => reader(field, rows.columns[i]));
  const names = fields.map((field) => field.name);
  return (row) => {
    const object = {};
    for (let i = 0; i < names.length; i++) object[names[i]] = readers[i](row);
    return object;
  };
}

function bitmap(flags) {
  const bits = new Uint8Array((flags.length + 7) >> 3);
  flags.forEach((flag, i) => {
    if (flag) bits[i >> 3] |= 1 << (i & 7);
  });
  return bits;
}

function packed(values, encode) {
  const ends = [];
  const bytes = [];
  for (const value of values) {
    encode(value, bytes);
    ends.push(bytes.length);
  }
  return { ends, bytes: Uint8Array.from(bytes) };
}

const pushBytes = (value, into) => {
  for (const byte of value) into.push(byte);
};

function column({ name, kind, nullable }, values) {
  let valid = [];
  const missing = (value) => value === null || value === undefined;
  if (values.some(missing)) {
    if (!nullable) throw new TypeError(`the field ${name} has no value, and is not declared with "?"`);
    valid = bitmap(values.map((value) => !missing(value)));
  }
  const or = (nothing) => values.map((value) => (missing(value) ? nothing : value));
  switch (kind) {
    case "bool":
      return { values: { tag: "bools", val: or(false) }, valid };
    case "f64":
      return { values: { tag: "floats", val: or(0) }, valid };
    case "text":
      return { values: { tag: "spans", val: packed(or(""), encodeText) }, valid };
    case "bytes":
      return { values: { tag: "spans", val: packed(or([]), pushBytes) }, valid };
    default: {
      const ints = or(0);
      if (kind === "i64" && ints.some(inexact))
        throw { tag: "fatal", val: `the field ${name} would be beyond 2^53, where numbers of JavaScript are not exact` };
      return { values: { tag: "ints", val: ints }, valid };
    }
  }
}

const batch = (fields, rows) => ({
  count: rows.length,
  columns: fields.map((field) => column(field, rows.map((row) => row[field.name]))),
});

// ---- the description -----------------------------------------------------------------------------

const KINDS = ["bool", "i64", "f64", "text", "bytes", "timestamp"];

function fieldsOf(spec) {
  return Object.entries(spec).map(([name, type]) => {
    const nullable = type.endsWith("?");
    const kind = nullable ? type.slice(0, -1) : type;
    if (!KINDS.includes(kind)) throw new TypeError(`field ${name}: ${type} is none of ${KINDS.join(", ")}`);
    return { name, kind, nullable };
  });
}

function parsed(kind, text) {
  if (kind === "bool") return text === "true";
  return kind === "i64" || kind === "f64" ? Number(text) : text;
}

function aboutOf(plugin, inputs, outputs) {
  const options = Object.entries(plugin.options ?? {});
  return {
    describe: () => ({
      name: plugin.name,
      version: plugin.version ?? "0.1.0",
      doc: plugin.doc ?? "",
      inputs,
      outputs,
      wantsKeys: false,
      stateVersion: plugin.stateVersion ?? (plugin.update ? 1 : 0),
      settings: options.map(([name, { kind, default: value, doc }]) => ({
        name,
        kind,
        default: value === undefined ? null : String(value),
        doc: doc ?? "",
      })),
    }),
    configure(given) {
      const chosen = {};
      for (const [name, text] of given) chosen[name] = parsed(plugin.options[name].kind, text);
      plugin.configure?.(chosen);
    },
  };
}

// ---- states --------------------------------------------------------------------------------------

const odd = (value) => !Number.isFinite(value) || Object.is(value, -0);

function frozen(value) {
  switch (typeof value) {
    case "number":
      return odd(value) ? { $number: Object.is(value, -0) ? "-0" : String(value) } : value;
    case "bigint":
      return { $bigint: String(value) };
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(frozen);
      if (value instanceof Map) return { $map: [...value].map(frozen) };
      if (value instanceof Set) return { $set: [...value].map(frozen) };
      return Object.fromEntries(Object.keys(value).sort().map((key) => [key, frozen(value[key])]));
    default:
      return value;
  }
}

function thawed(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(thawed);
  if ("$number" in value) return Number(value.$number);
  if ("$bigint" in value) return BigInt(value.$bigint);
  if ("$map" in value) return new Map(value.$map.map(thawed));
  if ("$set" in value) return new Set(value.$set.map(thawed));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, thawed(inner)]));
}

/** A state as text, the same for equal states: JSON with sorted keys. Maps and Sets keep the order of insertion. */
export const saveState = (state) => JSON.stringify(frozen(state));
/** The state that `saveState` wrote. */
export const restoreState = (text) => thawed(JSON.parse(text));

// ---- fold ----------------------------------------------------------------------------------------

/** The interfaces of a fold: `export const { about, fold } = exportFold({...})`. */
export function exportFold(plugin) {
  const inputs = fieldsOf(plugin.inputs);
  const outputs = fieldsOf(plugin.outputs);
  const states = [];
  const stateOf = (slot) => (states[slot] ??= plugin.state());
  const { check, update, evaluate } = plugin;

  /** The row, when all of its states take it. */
  function taken(row, slots, start, end) {
    if (check) for (let i = start; i < end; i++) check(stateOf(slots[i]), row);
    return row;
  }

  const fold = {
    update(input, { rows, slots }) {
      const rowAt = rowsOf(inputs, input);
      const rejects = [];
      // The entries of a row stand together: all of its states are asked before any is touched.
      for (let i = 0, end; i < slots.length; i = end) {
        const at = rows.length ? rows[i] : i;
        end = i + 1;
        while (end < rows.length && rows[end] === at) end++;
        let row;
        try {
          row = taken(rowAt(at), slots, i, end);
        } catch (why) {
          if (!(why instanceof Reject)) throw why;
          rejects.push({ row: at, reason: why.message });
          continue;
        }
        for (let j = i; j < end; j++) update(stateOf(slots[j]), row);
      }
      return rejects;
    },
    evaluate(slots) {
      const shown = Array.from(slots, (slot) => evaluate(stateOf(slot)) ?? null);
      const all = !shown.includes(null);
      const nothing = {};
      for (const { name, kind } of outputs) nothing[name] = kind === "text" ? "" : kind === "bytes" ? [] : kind === "bool" ? false : 0;
      const rows = batch(outputs, all ? shown : shown.map((row) => row ?? nothing));
      return { rows, present: all ? [] : bitmap(shown.map((row) => row !== null)) };
    },
    save: (slots) => packed(Array.from(slots, (slot) => saveState(stateOf(slot))), encodeText),
    restore(slots, { ends, bytes }) {
      let start = 0;
      for (let i = 0; i < slots.length; i++) {
        try {
          states[slots[i]] = restoreState(decodeText(bytes, start, ends[i]));
        } catch (why) {
          throw { tag: "fatal", val: `a saved state cannot be read (${why.message}): raise stateVersion` };
        }
        start = ends[i];
      }
    },
    release(slots) {
      for (const slot of slots) states[slot] = undefined;
    },
  };
  return { about: aboutOf(plugin, inputs, outputs), fold };
}

// ---- transform -----------------------------------------------------------------------------------

/** The interfaces of a transform: `export const { about, transform } = exportTransform({...})`. */
export function exportTransform(plugin) {
  const inputs = fieldsOf(plugin.inputs);
  const outputs = fieldsOf(plugin.outputs);
  const transform = {
    process(input) {
      const rowAt = rowsOf(inputs, input);
      const out = [];
      const origins = [];
      const rejects = [];
      for (let row = 0; row < input.count; row++) {
        try {
          for (const given of [...(plugin.process(rowAt(row)) ?? [])]) {
            out.push(given);
            origins.push(row);
          }
        } catch (why) {
          if (!(why instanceof Reject)) throw why;
          rejects.push({ row, reason: why.message });
        }
      }
      return { rows: batch(outputs, out), origins, rejects };
    },
  };
  return { about: aboutOf(plugin, inputs, outputs), transform };
}
