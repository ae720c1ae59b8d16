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

/** An option of the pipeline file; without a default it must be given. */
export interface Option {
  kind: Kind;
  default?: string | number | boolean;
  doc?: string;
}

interface Plugin<I extends Fields, O extends Fields> {
  name: string;
  version?: string;
  doc?: string;
  /** Fields that are read. */
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
  evaluate(state: S): Row<O> | null;
}

export interface TransformPlugin<I extends Fields, O extends Fields> extends Plugin<I, O> {
  /** Gives rows, or throws Reject. */
  process(row: Row<I>): Iterable<Row<O>>;
}

/** Thrown for a row that is refused. */
export class Reject extends Error {}

export function exportFold<const I extends Fields, const O extends Fields, S>(
  plugin: FoldPlugin<I, O, S>,
): { about: object; fold: object };

export function exportTransform<const I extends Fields, const O extends Fields>(
  plugin: TransformPlugin<I, O>,
): { about: object; transform: object };

export function saveState(state: unknown): string;
export function restoreState(text: string): unknown;
