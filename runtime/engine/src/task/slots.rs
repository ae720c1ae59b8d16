//! Slots: the numbers under which a plugin knows the states of (key, window) pairs, and the tables that find them.
//!
//! A slot is taken when a pair is first seen and given back when its window closes. Numbers are used again, so that the
//! plugin's array stays as long as the number of open pairs.

mod cold;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use refrain_log::schema::{Field, Kind};
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::keys;
use crate::window::Index;

/// The order of hash tables decides nothing, so one seed does for all.
const HASH: FixedState = FixedState::with_seed(0);

/// How keys of these fields are held: the common cases without encoding every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One i64 or timestamp that is never null.
    Int,
    /// One text or bytes that is never null, as its own bytes.
    Span,
    /// Anything else, as canonical bytes.
    Encoded,
}

impl Form {
    fn of(fields: &[Field]) -> Form {
        match fields {
            [one] if !one.nullable => match one.kind {
                Kind::I64 | Kind::Timestamp => Form::Int,
                Kind::Text | Kind::Bytes => Form::Span,
                _ => Form::Encoded,
            },
            _ => Form::Encoded,
        }
    }
}

/// Keys of the rows of one batch, ready to be looked up.
pub enum BatchKeys<'a> {
    /// Numbers.
    Ints(&'a [i64]),
    /// Byte strings as they are.
    Text(&'a StringArray),
    /// Byte strings as they are.
    Bytes(&'a BinaryArray),
    /// To be encoded row by row.
    Encoded(&'a [ArrayRef]),
}

/// The pairs of one window.
#[derive(Debug)]
pub struct Table {
    /// Which window.
    pub window: Index,
    ints: HashTable<(i64, u32)>,
    spans: HashTable<(u64, u32)>,
}

impl Table {
    /// How many pairs.
    pub fn len(&self) -> usize {
        self.ints.len() + self.spans.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All slots, in no order that may decide anything.
    pub fn slots(&self) -> Vec<u32> {
        self.ints
            .iter()
            .map(|e| e.1)
            .chain(self.spans.iter().map(|e| e.1))
            .collect()
    }
}

/// A slot that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was there.
    Known(u32),
    /// It was taken now.
    New(u32),
}

impl Found {
    /// The slot.
    pub fn slot(self) -> u32 {
        match self {
            Found::Known(slot) | Found::New(slot) => slot,
        }
    }
}

/// What the host keeps of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// Its window.
    pub window: Index,
    /// Changed since the last commit.
    pub dirty: bool,
    /// In the store since some commit.
    pub stored: bool,
    /// Changed before the last commit, and not passed by the hand of the cache since.
    pub recent: bool,
}

/// All slots of a task.
#[derive(Debug)]
pub struct Slots {
    form: Form,
    fields: Vec<Field>,
    slots: Vec<Slot>,
    int_keys: Vec<i64>,
    span_keys: Vec<Box<[u8]>>,
    free: Vec<u32>,
    /// Slots changed since the last commit.
    pub dirty: Vec<u32>,
    /// Slots taken since this was last cleared.
    pub fresh: Vec<u32>,
    scratch: Vec<u8>,
}

impl Slots {
    /// No slots yet, for keys of these fields.
    pub fn new(fields: Vec<Field>) -> Self {
        Self {
            form: Form::of(&fields),
            fields,
            slots: Vec::new(),
            int_keys: Vec::new(),
            span_keys: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            fresh: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// An empty table for a window.
    pub fn table(&self, window: Index) -> Table {
        Table {
            window,
            ints: HashTable::new(),
            spans: HashTable::new(),
        }
    }

    /// What is kept of a slot.
    pub fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// The same, to change.
    pub fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// Makes a batch's key columns ready.
    pub fn batch_keys<'a>(&self, columns: &'a [ArrayRef]) -> BatchKeys<'a> {
        match (self.form, self.fields.first().map(|f| f.kind)) {
            // A batch of frames without rows has no columns at all.
            _ if columns.is_empty() => BatchKeys::Encoded(columns),
            (Form::Int, Some(Kind::I64)) => {
                BatchKeys::Ints(columns[0].as_primitive::<Int64Type>().values())
            }
            (Form::Int, _) => BatchKeys::Ints(
                columns[0]
                    .as_primitive::<TimestampMicrosecondType>()
                    .values(),
            ),
            (Form::Span, Some(Kind::Text)) => BatchKeys::Text(columns[0].as_string()),
            (Form::Span, _) => BatchKeys::Bytes(columns[0].as_binary()),
            (Form::Encoded, _) => BatchKeys::Encoded(columns),
        }
    }

    /// The slot of a row's key in a window, taken now if there is none yet; marked as changed.
    #[inline(always)]
    pub fn touch(&mut self, table: &mut Table, keys: &BatchKeys<'_>, row: usize) -> u32 {
        let slot = match keys {
            BatchKeys::Ints(values) => self.int(table, values[row]),
            BatchKeys::Text(values) => self.span(table, values.value(row).as_bytes()),
            BatchKeys::Bytes(values) => self.span(table, values.value(row)),
            BatchKeys::Encoded(columns) => self.encoded(table, columns, row),
        };
        let state = &mut self.slots[slot as usize];
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(slot);
        }
        slot
    }

    /// The slot of a row's key in a table, taken now if there is none yet; not marked as changed.
    pub fn find(&mut self, table: &mut Table, keys: &BatchKeys<'_>, row: usize) -> Found {
        let before = self.fresh.len();
        let slot = match keys {
            BatchKeys::Ints(values) => self.int(table, values[row]),
            BatchKeys::Text(values) => self.span(table, values.value(row).as_bytes()),
            BatchKeys::Bytes(values) => self.span(table, values.value(row)),
            BatchKeys::Encoded(columns) => self.encoded(table, columns, row),
        };
        match self.fresh.len() > before {
            true => Found::New(slot),
            false => Found::Known(slot),
        }
    }

    /// Takes one more slot for the key of another. It is in no table.
    pub fn sibling(&mut self, slot: u32) -> u32 {
        let new = self.take(self.slots[slot as usize].window);
        match self.form {
            Form::Int => self.int_keys[new as usize] = self.int_keys[slot as usize],
            _ => self.span_keys[new as usize] = self.span_keys[slot as usize].clone(),
        }
        new
    }

    /// Lets a table find slot `to` under the key that it now finds `from` under.
    pub fn repoint(&mut self, table: &mut Table, from: u32, to: u32) {
        let at = from as usize;
        let entry = match self.form {
            Form::Int => table
                .ints
                .find_mut(HASH.hash_one(self.int_keys[at]), |e| e.1 == from)
                .map(|e| &mut e.1),
            _ => table
                .spans
                .find_mut(HASH.hash_one(&*self.span_keys[at]), |e| e.1 == from)
                .map(|e| &mut e.1),
        };
        *entry.expect("the slot is in the table") = to;
    }

    /// The slot that a table finds under the key of this one.
    pub fn head(&self, table: &Table, slot: u32) -> u32 {
        let at = slot as usize;
        let found = match self.form {
            Form::Int => {
                let key = self.int_keys[at];
                table
                    .ints
                    .find(HASH.hash_one(key), |e| e.0 == key)
                    .map(|e| e.1)
            }
            _ => {
                let key = &self.span_keys[at];
                let hash = HASH.hash_one(&**key);
                let same = |e: &(u64, u32)| e.0 == hash && self.span_keys[e.1 as usize] == *key;
                table.spans.find(hash, same).map(|e| e.1)
            }
        };
        found.expect("the key of a slot in use is in its table")
    }

    /// Marks a slot as changed since the last commit.
    pub fn mark(&mut self, slot: u32) {
        let state = &mut self.slots[slot as usize];
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(slot);
        }
    }

    #[inline(always)]
    fn int(&mut self, table: &mut Table, key: i64) -> u32 {
        let hash = HASH.hash_one(key);
        if let Some(entry) = table.ints.find(hash, |e| e.0 == key) {
            return entry.1;
        }
        let slot = self.take(table.window);
        self.int_keys[slot as usize] = key;
        table
            .ints
            .insert_unique(hash, (key, slot), |e| HASH.hash_one(e.0));
        slot
    }

    #[inline(always)]
    fn span(&mut self, table: &mut Table, key: &[u8]) -> u32 {
        let hash = HASH.hash_one(key);
        let found = table.spans.find(hash, |e| {
            e.0 == hash && *self.span_keys[e.1 as usize] == *key
        });
        if let Some(entry) = found {
            return entry.1;
        }
        let slot = self.take(table.window);
        self.span_keys[slot as usize] = key.into();
        table.spans.insert_unique(hash, (hash, slot), |e| e.0);
        slot
    }

    fn encoded(&mut self, table: &mut Table, columns: &[ArrayRef], row: usize) -> u32 {
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        keys::encode(columns, &self.fields, row, &mut key);
        let slot = self.span(table, &key);
        self.scratch = key;
        slot
    }

    fn take(&mut self, window: Index) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            match self.form {
                Form::Int => self.int_keys.push(0),
                _ => self.span_keys.push(Box::default()),
            }
            u32::try_from(self.slots.len() - 1).expect("a task has fewer than 4 billion open keys")
        });
        self.slots[slot as usize] = Slot {
            window,
            ..Slot::default()
        };
        self.fresh.push(slot);
        slot
    }

    /// Takes a slot for a key that comes from the store; known: the table has the key already.
    pub fn restore(&mut self, table: &mut Table, key: &[u8]) -> Found {
        let before = self.fresh.len();
        let slot = match self.form {
            Form::Int => self.int(
                table,
                keys::from_sortable(key.try_into().expect("a stored i64 key has 8 bytes")),
            ),
            Form::Span => {
                let raw = unescape(key);
                self.span(table, &raw)
            }
            Form::Encoded => self.span(table, key),
        };
        self.slots[slot as usize].stored = true;
        match self.fresh.len() > before {
            true => Found::New(slot),
            false => Found::Known(slot),
        }
    }

    /// Gives one slot back and takes it out of its table.
    pub fn forget(&mut self, table: &mut Table, slot: u32) {
        self.leave(table, slot);
        self.give_back(slot);
    }

    /// Takes a slot out of its table. It keeps its key.
    pub fn leave(&self, table: &mut Table, slot: u32) {
        let at = slot as usize;
        match self.form {
            Form::Int => {
                let key = self.int_keys[at];
                if let Ok(entry) = table.ints.find_entry(HASH.hash_one(key), |e| e.1 == slot) {
                    entry.remove();
                }
            }
            _ => {
                let hash = HASH.hash_one(&*self.span_keys[at]);
                if let Ok(entry) = table.spans.find_entry(hash, |e| e.1 == slot) {
                    entry.remove();
                }
            }
        }
    }

    /// Gives a slot back that is in no table.
    pub fn give_back(&mut self, slot: u32) {
        let at = slot as usize;
        if self.form != Form::Int {
            self.span_keys[at] = Box::default();
        }
        self.slots[at] = Slot::default();
        self.free.push(slot);
    }

    /// The key of a slot as canonical bytes, appended.
    pub fn encode_key(&self, slot: u32, out: &mut Vec<u8>) {
        let at = slot as usize;
        match self.form {
            Form::Int => out.extend_from_slice(&keys::sortable(self.int_keys[at])),
            Form::Span => keys::encode_span(&self.span_keys[at], out),
            Form::Encoded => out.extend_from_slice(&self.span_keys[at]),
        }
    }

    /// The keys of these slots as columns.
    pub fn key_columns(&self, slots: &[u32]) -> Vec<ArrayRef> {
        let kind = self.fields.first().map(|f| f.kind);
        let ints = || slots.iter().map(|s| self.int_keys[*s as usize]);
        let spans = || slots.iter().map(|s| &*self.span_keys[*s as usize]);
        match (self.form, kind) {
            (Form::Int, Some(Kind::I64)) => vec![Arc::new(Int64Array::from_iter_values(ints()))],
            (Form::Int, _) => {
                vec![Arc::new(
                    TimestampMicrosecondArray::from_iter_values(ints()).with_timezone("UTC"),
                )]
            }
            (Form::Span, Some(Kind::Text)) => {
                vec![Arc::new(StringArray::from_iter_values(spans().map(|s| {
                    std::str::from_utf8(s).expect("text keys are UTF-8 since ingest")
                })))]
            }
            (Form::Span, _) => vec![Arc::new(BinaryArray::from_iter_values(spans()))],
            (Form::Encoded, _) => keys::decode(spans(), &self.fields),
        }
    }

    /// Keys as canonical bytes ([`Slots::encode_key`]) as columns.
    pub fn decode_keys<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        keys::decode(keys, &self.fields)
    }

    /// Sorts slots of one window by key.
    pub fn sort(&self, slots: &mut [u32]) {
        match self.form {
            Form::Int => slots.sort_unstable_by_key(|s| self.int_keys[*s as usize]),
            _ => slots.sort_unstable_by(|a, b| {
                self.span_keys[*a as usize].cmp(&self.span_keys[*b as usize])
            }),
        }
    }
}

/// The bytes of a span out of its canonical form.
fn unescape(key: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut rest = key;
    keys::decode_span(&mut rest, &mut raw);
    raw
}

#[cfg(test)]
mod tests;
