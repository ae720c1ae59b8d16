// A state for each key over the rows of several inputs, with timers in event time: what an author writes.
// settled/assembly/index.ts is a whole process.

import { Plugin, Span, describeAs } from "./about";
import { Inputs, outputs } from "./fields";
import { Buffer, bitmap, putList, setBit } from "./memory";
import { keep, sizeOf, stateOf } from "./states";

export { Span, options } from "./about";
export { outputs } from "./fields";
export { Level, say } from "./voice";

/** The inputs, in the order in which they are made. */
export const declared: Inputs[] = [];

/** An input. The pipeline file says which topic it is, by its name. */
export function input(name: string, doc: string = ""): Inputs {
  const made = new Inputs(name, doc);
  declared.push(made);
  return made;
}

/** What is given for the rows or timers of a call. */
class Given {
  time: i64 = i64.MIN_VALUE;
  watermark: i64 = i64.MIN_VALUE;
  slot: u32 = 0;
  origin: u32 = 0;
  private origins: Buffer = new Buffer();
  /** A byte a row: whether it is taken back. */
  private deleted: Buffer = new Buffer();
  private slots: Buffer = new Buffer();
  private times: Buffer = new Buffer();
  /** A byte a timer. */
  private cleared: Buffer = new Buffer();

  begin(watermark: i64): void {
    this.time = i64.MIN_VALUE;
    this.watermark = watermark;
    this.origins.reset();
    this.deleted.reset();
    this.slots.reset();
    this.times.reset();
    this.cleared.reset();
    outputs.reset();
  }

  row(isDeleted: bool): void {
    outputs.push();
    store<u32>(this.origins.more(4), this.origin);
    store<u8>(this.deleted.more(1), u8(isDeleted));
  }

  timer(at: i64, isCleared: bool): void {
    store<u32>(this.slots.more(4), this.slot);
    store<i64>(this.times.more(8), at);
    store<u8>(this.cleared.more(1), u8(isCleared));
  }

  /** Writes all of it, but for the rejects. */
  finish(at: usize): void {
    outputs.finish(at);
    putList(at + 12, this.origins.start, this.origins.length >> 2);
    putMarks(at + 20, this.deleted);
    putList(at + 36, this.slots.start, this.slots.length >> 2);
    putList(at + 44, this.times.start, this.times.length >> 3);
    putMarks(at + 52, this.cleared);
  }
}

/** A bitmap of bytes that are 0 or 1; nothing where none is set. */
function putMarks(at: usize, marks: Buffer): void {
  const bits = bitmap(marks.length);
  let any = false;
  for (let i: usize = 0; i < marks.length; i++) {
    if (load<u8>(marks.start + i) == 0) continue;
    setBit(bits, i);
    any = true;
  }
  putList(at, bits, any ? (marks.length + 7) >> 3 : 0);
}

export const given = new Given();

/** A process as the exports see it, whatever its state is. */
export abstract class AnyProcess extends Plugin {
  abstract get size(): usize;
  abstract refusal(slot: usize): string | null;
  abstract take(slot: usize): void;
  abstract ring(slot: usize): void;

  get stateVersion(): u32 {
    return 1;
  }
  /** Outputs that make, behind the node's key, the key of a view's row; with none a key has one row. */
  get viewKey(): string[] {
    return [];
  }
  /** Whether times and timers matter. Without, calls are larger. */
  get timed(): bool {
    return true;
  }
}

/**
 * A process. Its state S is an `@unmanaged class` of numbers, all of them 0 before the first row, and its key is forgotten
 * when all are 0 again. It is saved as its bytes, so fields stand in falling size.
 */
export abstract class Process<S> extends AnyProcess {
  /** Why a row is not taken, or null; changes nothing. Takes all when left out. */
  check(state: S): string | null {
    return null;
  }
  /** Takes the row at hand into the state of its key: of which input it is says `isAtHand`. */
  abstract process(state: S): void;
  /** The watermark has reached the `time` of a timer. Does nothing when left out. */
  fire(state: S): void {}

  /** Event time of the row, or that which the timer was set for; in microseconds. */
  protected get time(): i64 {
    return given.time;
  }
  /** The node's, rounded down to a step: no row that is older is expected. */
  protected get watermark(): i64 {
    return given.watermark;
  }
  /** So much later than `time`; at the end of time, the end. */
  protected later(span: Span): i64 {
    const at = given.time + span.us;
    if (span.us > 0 && at < given.time) return i64.MAX_VALUE;
    return span.us < 0 && at > given.time ? i64.MIN_VALUE : at;
  }
  /** Gives a row of the outputs that were set: the next one of a topic, or the view's row of its key. */
  protected emit(): void {
    given.row(false);
  }
  /** Takes the view's row of this key back; only outputs of `viewKey` matter. Not for a node that writes a topic. */
  protected delete(): void {
    given.row(true);
  }
  /** Asks for `fire` when the watermark reaches this time; a key has one timer for each time. */
  protected setTimer(at: i64): void {
    given.timer(at, false);
  }
  /** Forgets the timer of this time. Nothing changes when there is none. */
  protected clearTimer(at: i64): void {
    given.timer(at, true);
  }

  get size(): usize {
    return sizeOf<S>();
  }
  refusal(slot: usize): string | null {
    return this.check(stateOf<S>(slot));
  }
  take(slot: usize): void {
    this.process(stateOf<S>(slot));
  }
  ring(slot: usize): void {
    this.fire(stateOf<S>(slot));
  }
}

let process: AnyProcess | null = null;

/** Makes the component a process. */
export function exportProcess(plugin: AnyProcess): void {
  describeAs(plugin);
  keep(plugin.size, true);
  process = plugin;
}

export function exported(): AnyProcess {
  return process!;
}
