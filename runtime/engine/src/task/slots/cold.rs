//! Slots as a cache: which keys have one, and which slots may be given back.

use std::hash::BuildHasher;

use refrain_state::store::KEY_BYTES_ORDERED;

use super::{BatchKeys, Form, HASH, Slots, Table, unescape};
use crate::keys;

/// Longest key, in canonical form, of a slot that may be given back: with what indexes put before it, it is in order in
/// every store.
const KEY_BYTES_MAX: usize = KEY_BYTES_ORDERED - 64;

impl Slots {
    /// Slots that have a key.
    pub fn in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether a table lacks a row's key; the key is in `out` then, as canonical bytes.
    pub fn lacks(
        &self,
        table: &Table,
        keys: &BatchKeys<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        match keys {
            BatchKeys::Ints(values) => {
                out.extend_from_slice(&keys::sortable(values[row]));
                self.find_int(table, values[row]).is_none()
            }
            BatchKeys::Text(values) => self.lacks_span(table, values.value(row).as_bytes(), out),
            BatchKeys::Bytes(values) => self.lacks_span(table, values.value(row), out),
            BatchKeys::Encoded(columns) => {
                keys::encode(columns, &self.fields, row, out);
                self.find_span(table, out).is_none()
            }
        }
    }

    fn lacks_span(&self, table: &Table, key: &[u8], out: &mut Vec<u8>) -> bool {
        let lacks = self.find_span(table, key).is_none();
        if lacks {
            keys::encode_span(key, out);
        }
        lacks
    }

    /// The slot that a table finds under a key in canonical bytes.
    pub fn find_key(&self, table: &Table, key: &[u8]) -> Option<u32> {
        match self.form {
            Form::Int => {
                let key = key.try_into().expect("a canonical i64 key has 8 bytes");
                self.find_int(table, keys::from_sortable(key))
            }
            Form::Span => self.find_span(table, &unescape(key)),
            Form::Encoded => self.find_span(table, key),
        }
    }

    fn find_int(&self, table: &Table, key: i64) -> Option<u32> {
        let found = table.ints.find(HASH.hash_one(key), |e| e.0 == key);
        found.map(|e| e.1)
    }

    fn find_span(&self, table: &Table, key: &[u8]) -> Option<u32> {
        let hash = HASH.hash_one(key);
        let same = |e: &(u64, u32)| e.0 == hash && *self.span_keys[e.1 as usize] == *key;
        table.spans.find(hash, same).map(|e| e.1)
    }

    /// Whether a slot's key is too long to be found in the order of every store.
    fn is_long(&self, slot: usize) -> bool {
        match self.form {
            Form::Int => false,
            Form::Span => 2 * self.span_keys[slot].len() + 2 > KEY_BYTES_MAX,
            Form::Encoded => self.span_keys[slot].len() > KEY_BYTES_MAX,
        }
    }

    /// Finds up to `wanted` slots to be given back, each unchanged since the last commit: a hand goes round, and passes
    /// over those that were changed since it last came by. What it finds is the caller's to give back.
    pub fn sweep(
        &mut self,
        hand: &mut usize,
        wanted: usize,
        mut may: impl FnMut(&Slots, u32) -> bool,
    ) -> Vec<u32> {
        let mut found = Vec::new();
        for _ in 0..2 * self.slots.len() {
            if found.len() >= wanted {
                break;
            }
            let at = *hand % self.slots.len();
            *hand = at + 1;
            let slot = &mut self.slots[at];
            if !slot.stored || slot.dirty || std::mem::take(&mut slot.recent) {
                continue;
            }
            if !self.is_long(at) && may(self, at as u32) {
                // So that it is found once.
                self.slots[at].stored = false;
                found.push(at as u32);
            }
        }
        found
    }
}
