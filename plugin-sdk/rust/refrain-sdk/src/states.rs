//! States by slot: what an instance holds of the keys that the host knows.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::Spans;
use crate::codec;

/// The state of one key, of a fold that of one key and window. `#[state]` makes a struct or enum one; its `Default` is the
/// state before the first row. States that are equal must save as equal bytes: use `BTreeMap` and `BTreeSet`, never
/// `HashMap` and `HashSet`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of a plugin",
    label = "needs `#[state]` and a `Default`",
    note = "put #[state] and #[derive(Default)] on it"
)]
pub trait State: Default + Serialize + DeserializeOwned + 'static {}

impl State for bool {}
impl State for i64 {}
impl State for f64 {}
impl State for String {}
impl<T: Serialize + DeserializeOwned + 'static> State for Vec<T> {}

/// The states of one instance, by slot. A slot that was never written holds the default.
pub(crate) struct States<S> {
    states: Vec<S>,
    /// The default as bytes, where it is saved as no bytes at all.
    initial: Option<Vec<u8>>,
}

impl<S: State> States<S> {
    /// Every state is saved, the default too.
    pub(crate) fn new() -> Self {
        Self {
            states: Vec::new(),
            initial: None,
        }
    }

    /// The default is saved as no bytes, so that the host can forget its key.
    pub(crate) fn forgetful() -> Result<Self, String> {
        let mut initial = Vec::new();
        codec::encode(&S::default(), &mut initial)?;
        Ok(Self {
            states: Vec::new(),
            initial: Some(initial),
        })
    }

    #[inline(always)]
    pub(crate) fn state(&mut self, slot: u32) -> &mut S {
        let slot = slot as usize;
        if slot >= self.states.len() {
            self.grow(slot);
        }
        &mut self.states[slot]
    }

    /// Those that are held, by slot.
    pub(crate) fn held(&mut self) -> &mut [S] {
        &mut self.states
    }

    /// Has states of all these slots.
    pub(crate) fn hold(&mut self, slots: &[u32]) {
        if let Some(last) = slots.iter().max() {
            self.state(*last);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, slot: usize) {
        self.states.resize_with(slot + 1, S::default);
    }

    pub(crate) fn save(&mut self, slots: &[u32]) -> Result<Spans, String> {
        let mut spans = Spans {
            ends: Vec::with_capacity(slots.len()),
            bytes: Vec::new(),
        };
        for slot in slots {
            let start = spans.bytes.len();
            codec::encode(self.state(*slot), &mut spans.bytes)?;
            if self.initial.as_deref() == Some(&spans.bytes[start..]) {
                spans.bytes.truncate(start);
            }
            let end = u32::try_from(spans.bytes.len()).expect("a Wasm memory has at most 4 GiB");
            spans.ends.push(end);
        }
        Ok(spans)
    }

    pub(crate) fn restore(&mut self, slots: &[u32], states: &Spans) -> Result<(), String> {
        if slots.len() != states.ends.len() {
            return Err("the host sent another number of states than slots".to_string());
        }
        let mut start = 0;
        for (slot, end) in slots.iter().zip(&states.ends) {
            let end = *end as usize;
            let bytes = &states.bytes[start..end];
            *self.state(*slot) = match bytes.is_empty() && self.initial.is_some() {
                true => S::default(),
                false => codec::decode(bytes)?,
            };
            start = end;
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(state) = self.states.get_mut(*slot as usize) {
                *state = S::default();
            }
        }
    }

    /// The state of slot 0.
    pub(crate) fn into_first(self) -> S {
        self.states.into_iter().next().unwrap_or_default()
    }
}
