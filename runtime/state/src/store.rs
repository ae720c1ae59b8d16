//! The store of keyed state: the changelog made readable. In memory; behind a trait, so that an LSM can take its place.

/// What changed in a task's state. Keys are the engine's canonical bytes; a key occurs once.
#[derive(Clone, Debug, Default)]
pub struct StateChanges {
    /// Keys put, end to end.
    pub put_keys: Spans,
    /// Their states, end to end.
    pub put_states: Spans,
    /// Keys deleted, end to end.
    pub deleted: Spans,
}

/// Byte strings end to end: value i is `bytes[ends[i-1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Where each ends.
    pub ends: Vec<u32>,
    /// All of them.
    pub bytes: Vec<u8>,
}

impl Spans {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Value i.
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// Adds one.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends
            .push(u32::try_from(self.bytes.len()).expect("one set of changes stays below 4 GiB"));
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }
}
