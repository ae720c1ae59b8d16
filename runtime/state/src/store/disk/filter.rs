//! Whether a run may have a key: a Bloom filter that has all bits of a key in one line of 64 bytes, so that a look is one
//! read of memory. About one key in a hundred that is not there seems to be.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a line.
pub(super) const LINE_BYTES: usize = 64;
/// Bits of the filter for each key.
const KEY_BITS: u64 = 10;
/// Bits that are set for a key.
const PROBES: u32 = 6;
/// Bits of a number that names a bit of a line.
const PROBE_BITS: u32 = 9;

const _: () = assert!(1 << PROBE_BITS == LINE_BYTES * 8);
const _: () = assert!(PROBES * PROBE_BITS <= 64);

/// Names a key to filters.
pub(super) fn hash_of(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// A filter without keys, with room for so many.
pub(super) fn empty(keys: u64) -> Vec<u8> {
    let lines = (keys * KEY_BITS).div_ceil(LINE_BYTES as u64 * 8);
    vec![0; lines.max(1) as usize * LINE_BYTES]
}

/// Adds a key.
pub(super) fn add(filter: &mut [u8], hash: u64) {
    let begin = line(filter, hash);
    for bit in bits(hash) {
        filter[begin + bit / 8] |= 1 << (bit % 8);
    }
}

/// Whether a key may have been added.
pub(super) fn may_have(filter: &[u8], hash: u64) -> bool {
    let begin = line(filter, hash);
    bits(hash).all(|bit| (filter[begin + bit / 8] >> (bit % 8)) & 1 == 1)
}

/// Where the line of a key begins.
fn line(filter: &[u8], hash: u64) -> usize {
    let lines = (filter.len() / LINE_BYTES) as u128;
    ((u128::from(hash) * lines) >> 64) as usize * LINE_BYTES
}

/// The bits of a key in its line. The line goes by the upper bits of the hash, these by the lower ones.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..PROBES).map(move |i| (mixed >> (i * PROBE_BITS)) as usize % (LINE_BYTES * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_few_others() {
        let key = |n: u64| hash_of(&n.to_be_bytes());
        let mut filter = empty(10_000);
        (0..10_000).for_each(|n| add(&mut filter, key(n)));
        assert!((0..10_000).all(|n| may_have(&filter, key(n))));
        let others = (10_000..110_000).filter(|n| may_have(&filter, key(*n)));
        assert!(others.count() < 2_500);
    }
}
