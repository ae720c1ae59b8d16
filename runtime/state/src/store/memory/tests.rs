//! The store against an ordered map of the standard library.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn contents(store: &MemoryStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    store.each(&mut |key, state| all.push((key.to_vec(), state.to_vec())));
    all
}

proptest! {
    #[test]
    fn a_store_is_the_map_it_stands_for(
        changes in prop::collection::vec(
            ("[abc]{0,3}", prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..6))), 0..200)
    ) {
        let mut store = MemoryStore::default();
        let mut model = BTreeMap::new();
        for (key, state) in changes {
            let key = key.into_bytes();
            match state {
                Some(state) => {
                    store.put(&key, &state);
                    model.insert(key, state);
                }
                None => {
                    store.delete(&key);
                    model.remove(&key);
                }
            }
        }
        prop_assert_eq!(store.keys(), model.len() as u64);
        prop_assert_eq!(store.bytes(), model.iter().map(|(k, s)| (k.len() + s.len()) as u64).sum::<u64>());
        for (key, state) in &model {
            let got = store.get(key);
            prop_assert_eq!(got.as_deref(), Some(state.as_slice()));
        }
        prop_assert_eq!(contents(&store), model.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn blocks_of_dead_records_are_emptied() {
    let mut store = MemoryStore::default();
    let mut model = BTreeMap::new();
    for round in 0..40_u64 {
        for key in 0..3000_u64 {
            let state = vec![round as u8; 20 + ((key + round) % 3) as usize];
            store.put(&key.to_be_bytes(), &state);
            model.insert(key.to_be_bytes().to_vec(), state);
        }
    }
    let held: usize = store.blocks.iter().map(|b| b.bytes.len()).sum();
    assert!(held < 3000 * 40 * 2 + 3 * BLOCK_BYTES, "{held} bytes held");
    assert_eq!(contents(&store), model.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_state_larger_than_a_block_is_kept() {
    let mut store = MemoryStore::default();
    store.put(b"small", b"1");
    store.put(b"large", &vec![7; BLOCK_BYTES * 2]);
    store.put(b"after", b"2");
    store.put(b"large", b"3");
    assert_eq!(store.get(b"large").as_deref(), Some(&b"3"[..]));
    assert_eq!(store.keys(), 3);
}
