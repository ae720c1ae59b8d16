// What the host calls of every plugin.

import { configured, described } from "./about";
import { forget, realloc } from "./memory";

export function cabi_realloc(old: usize, oldSize: usize, alignment: usize, size: usize): usize {
  return realloc(old, oldSize, alignment, size);
}

/** The host has read an answer. */
export function after(_: usize): void {
  forget();
}

export function about_describe(): usize {
  return described();
}

export function about_configure(given: usize, count: usize): usize {
  return configured(given, count);
}
