// What a plugin says: a line for the log of the host, where it is built with a voice (`refrain plugin build --talk`).


// @ts-ignore: decorator
@external("refrain:plugin/logging@0.1.0", "log")
declare function log(level: i32, text: usize, length: usize): void;

/** How loud. */
export enum Level {
  debug,
  info,
  warn,
  error,
}

/** Says a line; nothing without a voice. */
export function say(level: Level, text: string): void {
  if (isDefined(REFRAIN_TALKS)) {
    const bytes = String.UTF8.encode(text);
    log(level, changetype<usize>(bytes), bytes.byteLength);
  }
}

/** A failed assertion, or what is thrown: the compiler is told to call this (`--use abort=`). */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const place = file ? file + ":" + line.toString() + ":" + column.toString() + ": " : "";
  say(Level.error, place + (message ? message : "aborted"));
  unreachable();
}
