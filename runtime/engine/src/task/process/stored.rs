//! What the store has of a key: its timers, then the plugin's bytes.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | number of timers |
//! | 8 each | their times in microseconds, rising |
//! | the rest | the state as the plugin saved it; nothing is the initial state |
//!
//! Numbers are little-endian. A key without timers and with nothing saved is not in the store.

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
pub(crate) fn lead_bytes(value: &[u8]) -> Option<usize> {
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
    }
}
