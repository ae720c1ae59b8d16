//! What the store has of a process node: of each key its timers, then the plugin's bytes; and which keys are due when.
//!
//! | key | value |
//! | --- | --- |
//! | 1, key | number of timers, 4 bytes; their times in microseconds, 8 bytes each, rising; the state as the plugin saved it, nothing for the initial one |
//! | 0, step, key | nothing: the key's next timer fires at the step of that number |
//!
//! Numbers of a value are little-endian, those in a key as in [`crate::keys`]. A key without timers and with nothing saved is
//! not in the store. Due keys are found in the store where not all states are in memory ([`super::cache`]); they are kept
//! up in any case, so that a project may be run with either store in turn.

use crate::keys;

/// First byte of a due key.
const DUE: u8 = 0;
/// First byte of a key with its state.
const STATE: u8 = 1;

/// The store's name of a key's state.
pub(super) fn state_key(key: &[u8]) -> Vec<u8> {
    [&[STATE], key].concat()
}

/// The store's name of a key whose next timer fires at that step.
pub(super) fn due_key(step: i64, key: &[u8]) -> Vec<u8> {
    [&[DUE], &keys::sortable(step)[..], key].concat()
}

/// The first name of a due key.
pub(super) fn first_due_key() -> Vec<u8> {
    vec![DUE]
}

/// The key of a state.
pub(super) fn of_state(store_key: &[u8]) -> Option<&[u8]> {
    store_key.strip_prefix(&[STATE])
}

/// Step and key of a due key.
pub(super) fn of_due(store_key: &[u8]) -> Option<(i64, &[u8])> {
    let rest = store_key.strip_prefix(&[DUE])?;
    let (step, key) = rest.split_first_chunk()?;
    Some((keys::from_sortable(*step), key))
}

/// Appends timers and state to `out`, emptied before.
pub(super) fn seal(times: &[i64], state: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let count = u32::try_from(times.len()).expect("a key has fewer than 4 billion timers");
    out.extend_from_slice(&count.to_le_bytes());
    times
        .iter()
        .for_each(|time| out.extend_from_slice(&time.to_le_bytes()));
    out.extend_from_slice(state);
}

/// The inverse of [`seal`].
pub(super) fn open(value: &[u8]) -> (impl Iterator<Item = i64>, &[u8]) {
    let (count, rest) = value
        .split_first_chunk()
        .expect("a stored state begins with the number of its timers");
    let (times, state) = rest.split_at(u32::from_le_bytes(*count) as usize * 8);
    let times = times.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().expect("chunks of eight");
        i64::from_le_bytes(bytes)
    });
    (times, state)
}

/// How many bytes of a stored state of a process plugin are the host's, before the plugin's own; none: the plugin has none.
pub(crate) fn lead_bytes(store_key: &[u8], value: &[u8]) -> Option<usize> {
    of_state(store_key)?;
    let (_, state) = open(value);
    (!state.is_empty()).then_some(value.len() - state.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_sealed_comes_back(times: Vec<i64>, state: Vec<u8>) {
            let mut sealed = vec![9];
            seal(&times, &state, &mut sealed);
            let (again, rest) = open(&sealed);
            proptest::prop_assert_eq!(again.collect::<Vec<_>>(), times);
            proptest::prop_assert_eq!(rest, state);
        }

        #[test]
        fn due_keys_stand_by_step_then_key(a: (i64, Vec<u8>), b: (i64, Vec<u8>)) {
            let (first, second) = (due_key(a.0, &a.1), due_key(b.0, &b.1));
            proptest::prop_assert_eq!(first.cmp(&second), a.cmp(&b));
            proptest::prop_assert_eq!(of_due(&first), Some((a.0, &a.1[..])));
            let state = state_key(&b.1);
            proptest::prop_assert!(first_due_key() < first && first < state);
            proptest::prop_assert_eq!(of_state(&state), Some(&b.1[..]));
            proptest::prop_assert_eq!((of_due(&state), of_state(&first)), (None, None));
        }
    }
}
