// What a plugin says of itself, and the options that it takes.

import { inputs, outputs, putFields } from "./fields";
import { answer, putList, putText, take, textAt } from "./memory";

/** What a plugin of either kind has. */
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

export class Options {
  ints: Option<i64>[] = [];
  floats: Option<f64>[] = [];
  texts: Option<string>[] = [];

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

  /** Writes what they are: a list of 36 bytes each. */
  put(at: usize): void {
    const count = this.ints.length + this.floats.length + this.texts.length;
    let next = take(<usize>count * 36);
    putList(at, next, count);
    for (let i = 0; i < this.ints.length; i++) next = putOption(next, this.ints[i], this.ints[i].value.toString());
    for (let i = 0; i < this.floats.length; i++) next = putOption(next, this.floats[i], this.floats[i].value.toString());
    for (let i = 0; i < this.texts.length; i++) next = putOption(next, this.texts[i], this.texts[i].value);
  }

  set(name: string, text: string): void {
    for (let i = 0; i < this.ints.length; i++) if (this.ints[i].name == name) this.ints[i].value = I64.parseInt(text);
    for (let i = 0; i < this.floats.length; i++) if (this.floats[i].name == name) this.floats[i].value = F64.parseFloat(text);
    for (let i = 0; i < this.texts.length; i++) if (this.texts[i].name == name) this.texts[i].value = text;
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

/** Writes the description. */
export function described(plugin: Plugin): usize {
  const at = answer();
  putText(at, plugin.name);
  putText(at + 8, plugin.version);
  putText(at + 16, plugin.doc);
  putFields(at + 24, inputs.all);
  putFields(at + 32, outputs.all);
  store<u32>(at, plugin.stateVersion, 44);
  options.put(at + 48);
  return at;
}

/** Takes the options: 16 bytes each, name and value. */
export function configured(given: usize, count: usize): usize {
  for (let i: usize = 0; i < count; i++) options.set(textAt(given + 16 * i), textAt(given + 16 * i + 8));
  return answer();
}

/** A row that is refused, among others of a call: 12 bytes each. */
export function putReject(at: usize, row: u32, reason: string): void {
  store<u32>(at, row);
  putText(at + 4, reason);
}
