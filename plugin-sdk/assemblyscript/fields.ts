// Fields: what is read of a row, and what is written. A field is a constant of the plugin, made with its name; it has the value
// of the row that is at hand.

import { Buffer, bitmap, isSet, putList, putText, setBit, take } from "./memory";

enum Tag {
  bools,
  ints,
  floats,
  spans,
}

/** Bytes of a column where it crosses. */
const COLUMN: usize = 28;

export abstract class Field {
  constructor(
    readonly name: string,
    readonly kind: string,
    readonly nullable: bool,
    readonly tag: Tag,
  ) {}
}

// ---- what is read --------------------------------------------------------------------------------

/** The row at hand, and the input that it is of. */
let row: usize = 0;
let atHand: Inputs | null = null;

export function turnTo(place: usize, owner: Inputs = inputs): void {
  row = place;
  atHand = owner;
}

export abstract class Input extends Field {
  protected values: usize = 0;
  protected bytes: usize = 0;
  private valid: usize = 0;

  owner: Inputs | null = null;

  /** Whether the row has no value; of a nullable field, ask first. */
  get isNull(): bool {
    return this.valid != 0 && !isSet(this.valid, this.row);
  }

  /** Another input has other rows: what is read of it here would be chance. */
  protected get row(): usize {
    assert(this.owner === atHand, "a field of an input that the row at hand is not of");
    return row;
  }

  /** Takes the column of a call; false: it is of another type. */
  bind(column: usize): bool {
    this.values = load<u32>(column, 4);
    this.bytes = load<u32>(column, 12);
    this.valid = load<u32>(column, 24) ? <usize>load<u32>(column, 20) : 0;
    return load<u8>(column) == this.tag;
  }
}

export class BoolInput extends Input {
  get value(): bool {
    return load<u8>(this.values + this.row) != 0;
  }
}

export class IntInput extends Input {
  get value(): i64 {
    return load<i64>(this.values + (this.row << 3));
  }
}

export class FloatInput extends Input {
  get value(): f64 {
    return load<f64>(this.values + (this.row << 3));
  }
}

abstract class SpanInput extends Input {
  protected get start(): usize {
    const row = this.row;
    return row ? <usize>load<u32>(this.values + (row << 2) - 4) : 0;
  }

  protected get length(): usize {
    return <usize>load<u32>(this.values + (this.row << 2)) - this.start;
  }
}

export class TextInput extends SpanInput {
  get value(): string {
    return String.UTF8.decodeUnsafe(this.bytes + this.start, this.length);
  }

  /** Whether it is this text; for words in ASCII without making a string. */
  is(word: string): bool {
    const at = this.bytes + this.start;
    for (let i = 0; i < word.length; i++) {
      const code = word.charCodeAt(i);
      if (code > 0x7f) return this.value == word;
      if (<usize>i >= this.length || load<u8>(at + i) != code) return false;
    }
    return this.length == word.length;
  }
}

export class BytesInput extends SpanInput {
  get value(): Uint8Array {
    const value = new Uint8Array(<i32>this.length);
    memory.copy(value.dataStart, this.bytes + this.start, this.length);
    return value;
  }
}

/** The fields that are read of one input. */
export class Inputs {
  all: Input[] = [];

  /** Of a process its name, by which the pipeline file says which topic it is. */
  constructor(
    readonly name: string = "",
    readonly doc: string = "",
  ) {}

  /** Whether the row at hand is of it. */
  get isAtHand(): bool {
    return atHand === this;
  }

  bool(name: string, nullable: bool = false): BoolInput {
    return this.add(new BoolInput(name, "bool", nullable, Tag.bools));
  }
  i64(name: string, nullable: bool = false): IntInput {
    return this.add(new IntInput(name, "i64", nullable, Tag.ints));
  }
  /** In microseconds since 1970. */
  timestamp(name: string, nullable: bool = false): IntInput {
    return this.add(new IntInput(name, "timestamp", nullable, Tag.ints));
  }
  f64(name: string, nullable: bool = false): FloatInput {
    return this.add(new FloatInput(name, "f64", nullable, Tag.floats));
  }
  text(name: string, nullable: bool = false): TextInput {
    return this.add(new TextInput(name, "text", nullable, Tag.spans));
  }
  bytes(name: string, nullable: bool = false): BytesInput {
    return this.add(new BytesInput(name, "bytes", nullable, Tag.spans));
  }

  /** Takes the columns of a call; false: they are others than declared. */
  bind(columns: usize, count: usize): bool {
    if (count != this.all.length) return false;
    for (let i = 0; i < this.all.length; i++) {
      if (!this.all[i].bind(columns + <usize>i * COLUMN)) return false;
    }
    return true;
  }

  private add<T extends Input>(field: T): T {
    field.owner = this;
    this.all.push(field);
    return field;
  }
}

// ---- what is written -----------------------------------------------------------------------------

export abstract class Output extends Field {
  protected values: Buffer = new Buffer();
  /** One byte a row: whether it has a value. */
  private there: Buffer = new Buffer();
  protected isThere: bool = !this.nullable;

  reset(): void {
    this.values.reset();
    this.there.reset();
    this.clear();
  }

  /** Writes the value that was set; without one, a null, or nothing where there is none. */
  push(): void {
    store<u8>(this.there.more(1), u8(this.isThere));
    this.write();
    this.clear();
  }

  /** Takes rows back until there are so many. */
  truncate(count: usize): void {
    this.there.length = count;
    this.cut(count);
  }

  finish(at: usize): void {
    store<u8>(at, <u8>this.tag);
    this.writeValues(at);
    const bits = this.nullable ? this.validity() : 0;
    putList(at + 20, bits, bits ? (this.there.length + 7) >> 3 : 0);
  }

  private validity(): usize {
    const bits = bitmap(this.there.length);
    for (let i: usize = 0; i < this.there.length; i++) if (load<u8>(this.there.start + i)) setBit(bits, i);
    return bits;
  }

  protected clear(): void {
    this.isThere = !this.nullable;
  }
  protected abstract write(): void;
  protected abstract cut(count: usize): void;
  protected abstract writeValues(at: usize): void;
}

/** `bool`, `i64`, `f64`, `timestamp`. */
export class Number<T> extends Output {
  private value: T = 0;

  set(value: T): void {
    this.value = value;
    this.isThere = true;
  }

  protected clear(): void {
    super.clear();
    this.value = 0;
  }
  protected write(): void {
    store<T>(this.values.more(sizeof<T>()), this.value);
  }
  protected cut(count: usize): void {
    this.values.length = count * sizeof<T>();
  }
  protected writeValues(at: usize): void {
    putList(at + 4, this.values.start, this.values.length / sizeof<T>());
  }
}

abstract class Spans extends Output {
  private ends: Buffer = new Buffer();

  reset(): void {
    super.reset();
    this.ends.reset();
  }

  /** Place for a value of so many bytes. */
  protected more(length: usize): usize {
    const at = this.values.more(length);
    store<u32>(this.ends.more(4), <u32>this.values.length);
    return at;
  }
  protected cut(count: usize): void {
    this.ends.length = 4 * count;
    this.values.length = count ? <usize>load<u32>(this.ends.start + 4 * count - 4) : 0;
  }
  protected writeValues(at: usize): void {
    putList(at + 4, this.ends.start, this.ends.length >> 2);
    putList(at + 12, this.values.start, this.values.length);
  }
}

export class Text extends Spans {
  private value: string = "";

  set(value: string): void {
    this.value = value;
    this.isThere = true;
  }

  protected clear(): void {
    super.clear();
    this.value = "";
  }
  protected write(): void {
    const text = this.value;
    const at = this.more(String.UTF8.byteLength(text));
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  }
}

const NO_BYTES = new Uint8Array(0);

export class Bytes extends Spans {
  private value: Uint8Array = NO_BYTES;

  set(value: Uint8Array): void {
    this.value = value;
    this.isThere = true;
  }

  protected clear(): void {
    super.clear();
    this.value = NO_BYTES;
  }
  protected write(): void {
    const value = this.value;
    memory.copy(this.more(value.length), value.dataStart, value.length);
  }
}

export class Outputs {
  all: Output[] = [];
  count: usize = 0;

  bool(name: string, nullable: bool = false): Number<bool> {
    return this.add(new Number<bool>(name, "bool", nullable, Tag.bools));
  }
  i64(name: string, nullable: bool = false): Number<i64> {
    return this.add(new Number<i64>(name, "i64", nullable, Tag.ints));
  }
  /** In microseconds since 1970. */
  timestamp(name: string, nullable: bool = false): Number<i64> {
    return this.add(new Number<i64>(name, "timestamp", nullable, Tag.ints));
  }
  f64(name: string, nullable: bool = false): Number<f64> {
    return this.add(new Number<f64>(name, "f64", nullable, Tag.floats));
  }
  text(name: string, nullable: bool = false): Text {
    return this.add(new Text(name, "text", nullable, Tag.spans));
  }
  bytes(name: string, nullable: bool = false): Bytes {
    return this.add(new Bytes(name, "bytes", nullable, Tag.spans));
  }

  reset(): void {
    this.count = 0;
    for (let i = 0; i < this.all.length; i++) this.all[i].reset();
  }

  /** Writes a row of the values that were set. */
  push(): void {
    this.count++;
    for (let i = 0; i < this.all.length; i++) this.all[i].push();
  }

  truncate(count: usize): void {
    if (count == this.count) return;
    this.count = count;
    for (let i = 0; i < this.all.length; i++) this.all[i].truncate(count);
  }

  /** Writes the rows: their number, and their columns. */
  finish(at: usize): void {
    const columns = take(<usize>this.all.length * COLUMN);
    for (let i = 0; i < this.all.length; i++) this.all[i].finish(columns + <usize>i * COLUMN);
    store<u32>(at, <u32>this.count);
    putList(at + 4, columns, this.all.length);
  }

  private add<T extends Output>(field: T): T {
    this.all.push(field);
    return field;
  }
}

/** Fields that are read, in the order in which they are made. */
export const inputs = new Inputs();
/** Fields that are written. */
export const outputs = new Outputs();

/** Writes what fields are, as the contract describes them: a list of 20 bytes each. */
export function putFields<T extends Field>(at: usize, fields: T[]): void {
  const all = take(<usize>fields.length * 20);
  for (let i = 0; i < fields.length; i++) {
    const field = all + <usize>i * 20;
    putText(field, fields[i].name);
    putText(field + 8, fields[i].kind);
    store<u8>(field, u8(fields[i].nullable), 16);
  }
  putList(at, all, fields.length);
}
