// Rows as objects, and the columns that cross the boundary: each is made of the other here.
//
// Integers are numbers, and so exact to 2^53. A row with a larger i64 or timestamp is rejected, and an answer with one stops
// the node unless it is a BigInt: nothing that is not exact gets in or out.

import { bytesOf, decodeText, encodeText } from "./text.js";

/** Thrown in a check, or in `process` of a transform: the row goes to `<node>.rejected` with this text. */
export class Reject extends Error {}

const KINDS = ["bool", "i64", "f64", "text", "bytes", "timestamp"];

/** Fields by name, as the contract names them. */
export function fieldsOf(spec) {
  return Object.entries(spec).map(([name, type]) => {
    const nullable = type.endsWith("?");
    const kind = nullable ? type.slice(0, -1) : type;
    if (!KINDS.includes(kind)) throw new TypeError(`field ${name}: ${type} is none of ${KINDS.join(", ")}`);
    return { name, kind, nullable };
  });
}

const there = (valid, row) => valid.length === 0 || ((valid[row >> 3] >> (row & 7)) & 1) === 1;

/** Texts seen lately, by their bytes: a column of words is mostly the same few words. */
const words = new Map();

function spanReader(kind, { ends, bytes }) {
  const start = (row) => (row ? ends[row - 1] : 0);
  if (kind === "bytes") return (row) => new Uint8Array(bytes.slice(start(row), ends[row]));
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

const isBig = (value) => typeof value === "bigint";
const [LEAST_EXACT, MOST_EXACT] = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
const inexact = (value) => value > MOST_EXACT || value < LEAST_EXACT;

/** The number, or why a row that has it is not taken. */
export function exact(name, value) {
  if (value > MOST_EXACT || value < LEAST_EXACT)
    throw new Reject(`${name} is beyond 2^53, where numbers of JavaScript are not exact`);
  return value;
}

function reader({ name, kind, nullable }, { values, valid }) {
  const all = values.val;
  const what = `the field ${name}`;
  let read = kind === "i64" || kind === "timestamp" ? (row) => exact(what, all[row]) : (row) => all[row];
  if (values.tag === "spans") read = spanReader(kind, all);
  if (!nullable || valid.length === 0) return read;
  return (row) => (there(valid, row) ? read(row) : null);
}

/** A function that makes row i of a batch an object. */
export function rowsOf(fields, rows) {
  const readers = fields.map((field, i) => reader(field, rows.columns[i]));
  const names = fields.map((field) => field.name);
  return (row) => {
    const object = {};
    for (let i = 0; i < names.length; i++) object[names[i]] = readers[i](row);
    return object;
  };
}

/** Flags as bits. */
export function bitmap(flags) {
  const bits = new Uint8Array((flags.length + 7) >> 3);
  flags.forEach((flag, i) => {
    if (flag) bits[i >> 3] |= 1 << (i & 7);
  });
  return bits;
}

/** Texts as spans. */
export function packed(texts) {
  const units = texts.map(encodeText);
  let end = 0;
  const ends = units.map((unit) => (end += unit.length));
  return { ends, bytes: bytesOf(units.join("")) };
}

/** Bytes as spans. */
function packedBytes(values) {
  let end = 0;
  const ends = values.map((value) => (end += value.length));
  const bytes = new Uint8Array(end);
  values.forEach((value, i) => bytes.set(value, ends[i] - value.length));
  return { ends, bytes };
}

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
      return { values: { tag: "spans", val: packed(or("")) }, valid };
    case "bytes":
      return { values: { tag: "spans", val: packedBytes(or([])) }, valid };
    default: {
      const ints = or(0);
      if (ints.some((value) => !isBig(value) && inexact(value)))
        throw { tag: "fatal", val: `the field ${name} would be beyond 2^53, where numbers of JavaScript are not exact` };
      // A list of numbers is rounded where it crosses; this kind of array is not.
      const val = ints.some(isBig) ? BigInt64Array.from(ints, BigInt) : ints;
      return { values: { tag: "ints", val }, valid };
    }
  }
}

/** A row that stands where there is none. */
export function nothingOf(fields) {
  const nothing = { bool: false, i64: 0, f64: 0, text: "", bytes: [], timestamp: 0 };
  return Object.fromEntries(fields.map(({ name, kind }) => [name, nothing[kind]]));
}

/** Objects as a batch of rows. */
export const batch = (fields, rows) => ({
  count: rows.length,
  columns: fields.map((field) => column(field, rows.map((row) => row[field.name]))),
});
