// The memory of one call: what the host passes, and what it is answered. It is not the collector's, and is forgotten when the
// host has read the answer. The layouts are drawn in docs/raw-contract.md.

/** Newest piece of memory: the address of the one before it, room to 16 bytes, then what is taken. */
let piece: usize = 0;
let next: usize = 0;
let end: usize = 0;

/** So many bytes until the end of the call. */
export function take(size: usize, alignment: usize = 8): usize {
  let at = (next + alignment - 1) & ~(alignment - 1);
  if (piece == 0 || at + size > end) {
    grow(size);
    at = next;
  }
  next = at + size;
  return at;
}

function grow(size: usize): void {
  const room = max<usize>(2 * (end - piece), max<usize>(1 << 16, size + 16));
  const fresh = heap.alloc(room);
  store<usize>(fresh, piece);
  piece = fresh;
  next = fresh + 16;
  end = fresh + room;
}

/** Forgets all but the largest piece, and what the collector finds. Called where no object is in use. */
export function forget(): void {
  if (piece != 0) {
    let old = load<usize>(piece);
    while (old != 0) {
      const before = load<usize>(old);
      heap.free(old);
      old = before;
    }
    store<usize>(piece, 0);
    next = piece + 16;
  }
  __collect();
}

/** The host asks for memory. */
export function realloc(old: usize, oldSize: usize, alignment: usize, size: usize): usize {
  const fresh = take(size, alignment);
  memory.copy(fresh, old, min(oldSize, size));
  return fresh;
}

/** Writes a list, or a text of so many bytes: its address and its length. */
export function putList(at: usize, address: usize, length: usize): void {
  store<u32>(at, <u32>(length ? address : 0));
  store<u32>(at, <u32>length, 4);
}

/** Writes a text. */
export function putText(at: usize, text: string): void {
  const length = String.UTF8.byteLength(text);
  const address = take(length, 1);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, address);
  putList(at, address, length);
}

/** The text that is written there. */
export function textAt(at: usize): string {
  return String.UTF8.decodeUnsafe(load<u32>(at), load<u32>(at, 4));
}

/** An answer, all zeros: done. */
export function answer(): usize {
  const at = take(64);
  memory.fill(at, 0, 64);
  return at;
}

/** The answer that stops the node. */
export function fatal(text: string): usize {
  const at = answer();
  store<u8>(at, 1);
  putText(at + 8, text);
  return at;
}

/** Values one after another, as many as come. */
export class Buffer {
  start: usize = 0;
  length: usize = 0;
  private room: usize = 0;

  /** A new call begins. */
  reset(): void {
    this.start = this.length = this.room = 0;
  }

  /** Place for so many bytes more. */
  more(size: usize): usize {
    const length = this.length + size;
    if (length > this.room) {
      this.room = max<usize>(2 * this.room, max<usize>(512, length));
      const fresh = take(this.room);
      memory.copy(fresh, this.start, this.length);
      this.start = fresh;
    }
    const at = this.start + this.length;
    this.length = length;
    return at;
  }
}

/** A bitmap of so many bits, all clear. */
export function bitmap(count: usize): usize {
  const at = take((count + 7) >> 3, 1);
  memory.fill(at, 0, (count + 7) >> 3);
  return at;
}

export function setBit(bits: usize, place: usize): void {
  const at = bits + (place >> 3);
  store<u8>(at, load<u8>(at) | (1 << (<u8>place & 7)));
}

export function isSet(bits: usize, place: usize): bool {
  return (load<u8>(bits + (place >> 3)) >> (<u8>place & 7) & 1) != 0;
}
