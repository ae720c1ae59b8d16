// What a plugin says of itself, and the options that it takes.

import { inputs, outputs, putFields } from "./fields";
import { answer, putList, putText, take, textAt } from "./memory";

/** What a plugin of any kind has. */
export abstract class Plugin {
  abstract get name(): string;
  /** What it does. */
  get doc(): string {
    return "";
  }
  get version(): string {
    return "0.1.0";
  }
  /** Raise it when older states cannot be read any more. */
  get stateVersion(): u32 {
    return 0;
  }
}

/** An option of the pipeline file. Its value is known before the first row. */
export class Option<T> {
  constructor(
    readonly name: string,
    readonly kind: string,
    public value: T,
    readonly doc: string,
  ) {}
}

const UNITS = ["d", "h", "m", "s", "ms", "us"];
const UNIT_US: i64[] = [86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1];

/** A length of time. */
export class Span {
  /** In microseconds, may be negative. */
  us: i64 = 0;

  constructor(public text: string) {}

  /** Takes a number and one of us, ms, s, m, h, d; false, and nothing has changed: it is none. */
  read(text: string): bool {
    let digits = text.startsWith("-") ? 1 : 0;
    const first = digits;
    while (digits < text.length && text.charCodeAt(digits) >= 0x30 && text.charCodeAt(digits) <= 0x39) digits++;
    const unit = UNITS.indexOf(text.slice(digits).trim());
    // No more digits than surely fit.
    if (unit < 0 || digits == first || digits - first > 18) return false;
    const count = I64.parseInt(text.slice(0, digits));
    if (abs(count) > i64.MAX_VALUE / UNIT_US[unit]) return false;
    this.text = text;
    this.us = count * UNIT_US[unit];
    return true;
  }
}

export class Options {
  bools: Option<bool>[] = [];
  ints: Option<i64>[] = [];
  floats: Option<f64>[] = [];
  texts: Option<string>[] = [];
  spans: Option<Span>[] = [];

  bool(name: string, value: bool, doc: string = ""): Option<bool> {
    const option = new Option<bool>(name, "bool", value, doc);
    this.bools.push(option);
    return option;
  }
  i64(name: string, value: i64, doc: string = ""): Option<i64> {
    const option = new Option<i64>(name, "i64", value, doc);
    this.ints.push(option);
    return option;
  }
  f64(name: string, value: f64, doc: string = ""): Option<f64> {
    const option = new Option<f64>(name, "f64", value, doc);
    this.floats.push(option);
    return option;
  }
  text(name: string, value: string, doc: string = ""): Option<string> {
    const option = new Option<string>(name, "text", value, doc);
    this.texts.push(option);
    return option;
  }
  /** A length of time, as in "90s". */
  span(name: string, value: string, doc: string = ""): Option<Span> {
    const option = new Option<Span>(name, "text", new Span(value), doc);
    assert(option.value.read(value), "a span is a number and one of us, ms, s, m, h, d");
    this.spans.push(option);
    return option;
  }

  /** Writes what they are: a list of 36 bytes each. */
  put(at: usize): void {
    const count =
      this.bools.length + this.ints.length + this.floats.length + this.texts.length + this.spans.length;
    let next = take(<usize>count * 36);
    putList(at, next, count);
    for (let i = 0; i < this.bools.length; i++) next = putOption(next, this.bools[i], this.bools[i].value.toString());
    for (let i = 0; i < this.ints.length; i++) next = putOption(next, this.ints[i], this.ints[i].value.toString());
    for (let i = 0; i < this.floats.length; i++) next = putOption(next, this.floats[i], this.floats[i].value.toString());
    for (let i = 0; i < this.texts.length; i++) next = putOption(next, this.texts[i], this.texts[i].value);
    for (let i = 0; i < this.spans.length; i++) next = putOption(next, this.spans[i], this.spans[i].value.text);
  }

  /** Takes a value; what is wrong with it, or null. */
  set(name: string, text: string): string | null {
    for (let i = 0; i < this.bools.length; i++) if (this.bools[i].name == name) this.bools[i].value = text == "true";
    for (let i = 0; i < this.ints.length; i++) if (this.ints[i].name == name) this.ints[i].value = I64.parseInt(text);
    for (let i = 0; i < this.floats.length; i++) if (this.floats[i].name == name) this.floats[i].value = F64.parseFloat(text);
    for (let i = 0; i < this.texts.length; i++) if (this.texts[i].name == name) this.texts[i].value = text;
    for (let i = 0; i < this.spans.length; i++) {
      if (this.spans[i].name != name || this.spans[i].value.read(text)) continue;
      return "option `" + name + "`: `" + text + "` is not a length of time, as in \"90s\"";
    }
    return null;
  }
}

function putOption<T>(at: usize, option: Option<T>, value: string): usize {
  putText(at, option.name);
  putText(at + 8, option.kind);
  store<u8>(at, 1, 16);
  putText(at + 20, value);
  putText(at + 28, option.doc);
  return at + 36;
}

/** Options of the plugin; each has a default. */
export const options = new Options();

let plugin: Plugin | null = null;

/** Makes this the plugin of the component. */
export function describeAs(its: Plugin): void {
  plugin = its;
}

/** Writes the description. */
export function described(): usize {
  const at = answer();
  putText(at, plugin!.name);
  putText(at + 8, plugin!.version);
  putText(at + 16, plugin!.doc);
  putFields(at + 24, inputs.all);
  putFields(at + 32, outputs.all);
  store<u32>(at, plugin!.stateVersion, 44);
  options.put(at + 48);
  return at;
}

/** Takes the options: 16 bytes each, name and value. */
export function configured(given: usize, count: usize): usize {
  const at = answer();
  for (let i: usize = 0; i < count; i++) {
    const wrong = options.set(textAt(given + 16 * i), textAt(given + 16 * i + 8));
    if (wrong === null) continue;
    store<u8>(at, 1);
    putText(at + 4, wrong);
    break;
  }
  return at;
}

/** A row that is refused, among others of a call: 12 bytes each. */
export function putReject(at: usize, row: u32, reason: string): void {
  store<u32>(at, row);
  putText(at + 4, reason);
}
