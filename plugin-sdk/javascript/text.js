// UTF-8: QuickJS has neither TextDecoder nor TextEncoder, and a loop over bytes is slow in an interpreter. So it is done by
// functions of the language, on strings that have a character for each byte.

/** Arguments of one call. */
const CHUNK = 8192;

/** The text of bytes from `start` to `end`. */
export function decodeText(bytes, start, end) {
  let units = "";
  for (let at = start; at < end; at += CHUNK)
    units += String.fromCharCode.apply(null, bytes.slice(at, Math.min(end, at + CHUNK)));
  return decodeURIComponent(escape(units));
}

/** A text as a string with a character for each byte; half a pair is no text, and becomes U+FFFD. */
export const encodeText = (text) => unescape(encodeURIComponent(text.toWellFormed()));

/** The bytes of such a string. */
export const bytesOf = (units) => Uint8Array.fromBase64(btoa(units));
