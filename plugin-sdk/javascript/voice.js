// What a plugin says: lines for the log of the host, where it is built with a voice (`refrain plugin build --talk`).
//
// QuickJS has no console: in a component this one is it, and without a voice it says nothing.

/** The interface `logging`; nothing where it is not imported. */
const logging = await import("refrain:plugin/logging@0.1.0").catch(() => null);
/** Whether the host calls; before, while the component is made, nobody listens. */
let called = false;

const say = (level, text) => called && logging?.log(level, text);
const shown = (value) => {
  if (typeof value === "string") return value;
  return value instanceof Error ? told(value) : (JSON.stringify(value) ?? String(value));
};
const says =
  (level) =>
  (...values) => {
    say(level, values.map(shown).join(" "));
  };

globalThis.console ??= {
  debug: says("debug"),
  log: says("info"),
  info: says("info"),
  warn: says("warn"),
  error: says("error"),
};

/** An exception as text: where in the plugin, and what it was. */
function told({ name, message, stack }) {
  const lines = (stack ?? "").split("\n").filter((line) => !line.includes("/.sdk/"));
  const [place, ...callers] = lines.map((line) => /[^/(\s]+:\d+:\d+/.exec(line)?.[0]).filter((found) => found);
  const from = callers.length ? ` (called from ${callers.join(", ")})` : "";
  return `${place ? `${place}: ` : ""}${name}: ${message}${from}`;
}

/** An interface whose functions say what exception ends them; an answer such as `fatal` is none. */
export function voiced(functions) {
  const voice =
    (call) =>
    (...given) => {
      called = true;
      try {
        return call(...given);
      } catch (why) {
        if (why instanceof Error) say("error", told(why));
        throw why;
      }
    };
  return Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, voice(call)]));
}
