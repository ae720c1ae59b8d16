// What a plugin says of itself, and the options that it takes.

import { span } from "./times.js";
import { voiced } from "./voice.js";

function parsed(kind, text) {
  if (kind === "bool") return text === "true";
  if (kind === "span") return span(text);
  return ["i64", "f64", "timestamp"].includes(kind) ? Number(text) : text;
}

/** The interface `about` of a plugin. */
export function aboutOf(plugin, inputs, outputs) {
  const options = Object.entries(plugin.options ?? {});
  return voiced({
    describe: () => ({
      name: plugin.name,
      version: plugin.version ?? "0.1.0",
      doc: plugin.doc ?? "",
      inputs,
      outputs,
      wantsKeys: false,
      stateVersion: plugin.stateVersion ?? (plugin.state ? 1 : 0),
      settings: options.map(([name, { kind, default: value, doc }]) => ({
        name,
        kind: kind === "span" ? "text" : kind,
        default: value === undefined ? null : String(value),
        doc: doc ?? "",
      })),
    }),
    configure(given) {
      try {
        const chosen = given.map(([name, text]) => {
          if (!plugin.options?.[name]) throw new RangeError(`there is no option ${name}`);
          return [name, parsed(plugin.options[name].kind, text)];
        });
        plugin.configure?.(Object.fromEntries(chosen));
      } catch (why) {
        throw why.message;
      }
    },
  });
}
