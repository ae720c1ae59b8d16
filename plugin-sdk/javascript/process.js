// Keyed state over several inputs, with timers in event time and rows out.

import { aboutOf } from "./about.js";
import { Reject, batch, bitmap, exact, fieldsOf, nothingOf, rowsOf } from "./rows.js";
import { statesOf } from "./states.js";
import { LEAST } from "./times.js";
import { voiced } from "./voice.js";

/** What a row or a timer of one key leads to: rows, rows of a view taken back, timers. In a test without Wasm, see what it
 * got in `rows`, `deleted`, and `timers`, objects of a time and whether it was cleared. */
export class Context {
  #place = 0;
  #slot = 0;
  #timed = true;
  #origins = [];
  #slots = [];

  constructor(time = LEAST, watermark = LEAST) {
    /** Event time of the row; the time that the timer was set for. */
    this.time = time;
    /** The node's watermark before it, rounded down to a step of its timers; LEAST before there is one. */
    this.watermark = watermark;
    this.rows = [];
    this.deleted = [];
    this.timers = [];
  }

  /** Gives a row: the next one of a topic, or the view's row of its key. */
  emit(row) {
    this.#push(row, false);
  }

  /** Takes the view's row of this key away; only the fields of `viewKey` are wanted. A node that writes a topic cannot. */
  delete(row = {}) {
    this.#push(row, true);
  }

  /** Asks for `fire` when the watermark reaches this time; when it is beyond already, with its next step. */
  setTimer(at) {
    this.#timer(at, false);
  }

  /** Forgets the timer of this time. Nothing changes when there is none. */
  clearTimer(at) {
    this.#timer(at, true);
  }

  #push(row, deleted) {
    this.rows.push(row);
    this.deleted.push(deleted);
    this.#origins.push(this.#place);
  }

  #timer(at, cleared) {
    if (!this.#timed) throw new Error("a process with `timed: false` has no timers");
    // A sum of a time and a length of time ends where numbers are no longer exact, in the year 2255.
    const time = Math.min(Math.max(at, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
    this.timers.push({ at: time, cleared });
    this.#slots.push(this.#slot);
  }

  /** A call that begins. */
  static of(watermark, timed) {
    const context = new Context(LEAST, watermark);
    context.#timed = timed;
    return context;
  }

  /** What comes next. */
  begin(place, slot, time) {
    this.#place = place;
    this.#slot = slot;
    this.time = time;
  }

  /** What the call answers. */
  finish(outputs, rejects) {
    const bits = (flags) => (flags.includes(true) ? bitmap(flags) : []);
    const nothing = nothingOf(outputs);
    return {
      rows: batch(outputs, this.rows.map((row, i) => (this.deleted[i] ? { ...nothing, ...row } : row))),
      origins: this.#origins,
      deleted: bits(this.deleted),
      rejects,
      timers: {
        slots: this.#slots,
        times: this.timers.map(({ at }) => at),
        cleared: bits(this.timers.map(({ cleared }) => cleared)),
      },
    };
  }
}

/** The interfaces of a process: `export const { about, process } = exportProcess({...})`. */
export function exportProcess(plugin) {
  const { check = {}, fire, viewKey = [], timed = true } = plugin;
  const names = Object.keys(plugin.inputs);
  const inputs = names.map((name) => fieldsOf(plugin.inputs[name]));
  const outputs = fieldsOf(plugin.outputs);
  const states = statesOf(plugin.state, true);
  const takers = names.map((name) => {
    if (!plugin.process[name]) throw new TypeError(`there is no function process.${name} for the input ${name}`);
    return plugin.process[name];
  });
  const checks = names.map((name) => check[name]);

  const process = {
    declare: () => ({ inputs: names.map((name, i) => ({ name, doc: "", fields: inputs[i] })), viewKey, timed }),
    process(parts, order, watermark) {
      const context = Context.of(Number(watermark), timed);
      const rejects = [];
      const rowAt = parts.map(({ rows }, i) => rowsOf(inputs[i], rows));
      const next = parts.map(() => 0);
      const count = parts.reduce((sum, { rows }) => sum + rows.count, 0);
      for (let place = 0; place < count; place++) {
        const part = order.length ? order[place] : 0;
        const { slots, times } = parts[part];
        const at = next[part]++;
        context.begin(place, slots[at], timed ? Number(times[at]) : LEAST);
        const state = states.at(slots[at]);
        let row;
        try {
          if (timed) exact("the event time", context.time);
          row = rowAt[part](at);
          checks[part]?.(state, row, { time: context.time, watermark: context.watermark });
        } catch (why) {
          if (!(why instanceof Reject)) throw why;
          rejects.push({ row: place, reason: why.message });
          continue;
        }
        takers[part](state, row, context);
      }
      return context.finish(outputs, rejects);
    },
    fire(slots, times, watermark) {
      const context = Context.of(Number(watermark), timed);
      for (let place = 0; place < slots.length; place++) {
        context.begin(place, slots[place], Number(times[place]));
        fire?.(states.at(slots[place]), context);
      }
      return context.finish(outputs, []);
    },
    save: states.save,
    restore: states.restore,
    release: states.release,
  };
  return { about: aboutOf(plugin, [], outputs), process: voiced(process) };
}
