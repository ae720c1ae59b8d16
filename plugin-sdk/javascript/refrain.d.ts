// Types of refrain.js: the type of a row follows from the fields that are declared.

/** A logical type; with `?` it may be null. */
export type Kind = "bool" | "i64" | "f64" | "text" | "bytes" | "timestamp";
export type Type = Kind | `${Kind}?`;
/** Fields by name. */
export type Fields = Readonly<Record<string, Type>>;

type Value<K> = K extends "bool" ? boolean : K extends "text" ? string : K extends "bytes" ? Uint8Array : number;
/** The value of a field. Integers and timestamps (microseconds since 1970) are exact to 2^53. */
export type Cell<T> = T extends `${infer K}?` ? Value<K> | null : Value<T>;
/** A row with these fields. */
export type Row<F extends Fields> = { -readonly [Name in keyof F]: Cell<F[Name]> };
/** A row to be written: an integer may be a BigInt, which is exact to 64 bits. */
export type Written<F extends Fields> = {
  -readonly [Name in keyof F]: Cell<F[Name]> | (F[Name] extends "i64" | "i64?" ? bigint : never);
};

/** An option of the pipeline file; without a default it must be given. A `span` is written as in "90s", and comes in
 * microseconds. */
export interface Option {
  kind: Kind | "span";
  default?: string | number | boolean;
  doc?: string;
}

interface Plugin<I, O extends Fields> {
  name: string;
  version?: string;
  doc?: string;
  /** Fields that are read; of a process, those of each input by its name. */
  inputs: I;
  /** Fields that are written. */
  outputs: O;
  options?: Record<string, Option>;
  /** Takes the options before the first row. */
  configure?(options: Record<string, string | number | boolean>): void;
}

export interface FoldPlugin<I extends Fields, O extends Fields, S> extends Plugin<I, O> {
  /** Raise it when older states cannot be read any more. */
  stateVersion?: number;
  /** The state before the first row. */
  state(): S;
  /** Throws Reject for a row that is not taken; changes nothing. */
  check?(state: S, row: Row<I>): void;
  /** Takes a row into the state of its key and window. */
  update(state: S, row: Row<I>): void;
  /** What the view shows; null: nothing, and a row shown before goes away. */
  evaluate(state: S): Written<O> | null;
}

export interface TransformPlugin<I extends Fields, O extends Fields> extends Plugin<I, O> {
  /** Gives rows, or throws Reject. */
  process(row: Row<I>): Iterable<Written<O>>;
}

/** The inputs of a process by name. */
export type Inputs = Readonly<Record<string, Fields>>;

/** When a row or a timer comes, in microseconds since 1970. */
export interface Moment {
  /** Event time of the row; the time that the timer was set for. */
  readonly time: number;
  /** The node's watermark before it, rounded down to a step of its timers; LEAST before there is one. */
  readonly watermark: number;
}

/** What a row or a timer of one key leads to. */
export class Context<R = unknown> implements Moment {
  /** For tests without Wasm. */
  constructor(time?: number, watermark?: number);
  readonly time: number;
  readonly watermark: number;
  /** Gives a row: the next one of a topic, or the view's row of its key. */
  emit(row: R): void;
  /** Takes the view's row of this key away; only the fields of `viewKey` are wanted. A node that writes a topic cannot. */
  delete(row?: Partial<R>): void;
  /** Asks for `fire` when the watermark reaches this time; when it is beyond already, with its next step. */
  setTimer(at: number): void;
  /** Forgets the timer of this time. Nothing changes when there is none. */
  clearTimer(at: number): void;
  /** What it got, for tests without Wasm. */
  readonly rows: Partial<R>[];
  readonly deleted: boolean[];
  readonly timers: { at: number; cleared: boolean }[];
}

export interface ProcessPlugin<I extends Inputs, O extends Fields, S> extends Plugin<I, O> {
  /** Raise it when older states cannot be read any more. */
  stateVersion?: number;
  /** Output fields that are, behind the node's key, the key of a view's row. */
  viewKey?: (keyof O & string)[];
  /** Whether times, the watermark and timers matter; they do when left out. */
  timed?: boolean;
  /** The state before the first row. One that equals it, without timers, is forgotten. */
  state(): S;
  /** By input; each throws Reject for a row that is not taken, and changes nothing. */
  check?: { [Name in keyof I]?: (state: S, row: Row<I[Name]>, now: Moment) => void };
  /** By input; each takes a row into the state of its key, and gives what comes of it. */
  process: { [Name in keyof I]: (state: S, row: Row<I[Name]>, context: Context<Written<O>>) => void };
  /** A timer of this key: the watermark has reached its time, and may be beyond it. */
  fire?(state: S, context: Context<Written<O>>): void;
}

/** Thrown for a row that is refused. */
export class Reject extends Error {}

export function exportFold<const I extends Fields, const O extends Fields, S>(
  plugin: FoldPlugin<I, O, S>,
): { about: object; fold: object };

export function exportTransform<const I extends Fields, const O extends Fields>(
  plugin: TransformPlugin<I, O>,
): { about: object; transform: object };

export function exportProcess<const I extends Inputs, const O extends Fields, S>(
  plugin: ProcessPlugin<I, O, S>,
): { about: object; process: object };

/** Before every time. */
export const LEAST: number;
/** A length of time in microseconds, from a number and one of us, ms, s, m, h, d. */
export function span(text: string): number;
/** The same as text, in the largest unit that fits. */
export function showSpan(length: number): string;

export function saveState(state: unknown): string;
export function restoreState(text: string): unknown;
