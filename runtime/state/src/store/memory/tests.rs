//! The store against an ordered map of the standard library.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn contents(store: &MemoryStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    store
        .each(&mut |key, state| all.push((key.to_vec(), state.to_vec())))
        .unwrap();
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
                    store.put(&key, &state).unwrap();
                    model.insert(key, state);
                }
                None => {
                    store.delete(&key).unwrap();
                    model.remove(&key);
                }
            }
        }
        prop_assert_eq!(store.keys(), model.len() as u64);
        prop_assert_eq!(store.bytes(), model.iter().map(|(k, s)| (k.len() + s.len()) as u64).sum::<u64>());
        for (key, state) in &model {
            let got = store.get(key).unwrap();
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
            store.put(&key.to_be_bytes(), &state).unwrap();
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
    store.put(b"small", b"1").unwrap();
    store.put(b"large", &vec![7; BLOCK_BYTES * 2]).unwrap();
    store.put(b"after", b"2").unwrap();
    store.put(b"large", b"3").unwrap();
    assert_eq!(store.get(b"large").unwrap().as_deref(), Some(&b"3"[..]));
    assert_eq!(store.keys(), 3);
}

proptest! {
    /// Whatever happens between its steps, a walk shows all that was there when it began and has not changed since.
    #[test]
    fn a_walk_shows_all_that_stays(
        first in prop::collection::vec((0u16..400, 0usize..2000), 300..500),
        steps in prop::collection::vec(prop::collection::vec((0u16..400, prop::option::weighted(0.9, 0usize..2000)), 0..60), 1..60),
        bytes in 100usize..20_000,
    ) {
        let mut store = MemoryStore::default();
        let mut written = BTreeMap::new();
        let put = |store: &mut MemoryStore, key: u16, length: usize| store.put(&key.to_be_bytes(), &vec![length as u8; length]).unwrap();
        first.iter().for_each(|(key, length)| put(&mut store, *key, *length));
        store.begin_walk();
        for changes in steps.iter().cycle().take(100_000) {
            let (shown, walked) = store.walk(bytes).unwrap();
            for (key, state) in shown.put_keys.iter().zip(shown.put_states.iter()) {
                written.insert(key.to_vec(), state.to_vec());
            }
            let end = walked.is_end();
            store.walked(walked);
            if end {
                prop_assert_eq!(written.into_iter().collect::<Vec<_>>(), contents(&store));
                return Ok(());
            }
            for (key, length) in changes {
                match length {
                    Some(length) => {
                        put(&mut store, *key, *length);
                        written.insert(key.to_be_bytes().to_vec(), vec![*length as u8; *length]);
                    }
                    None => {
                        store.delete(&key.to_be_bytes()).unwrap();
                        written.remove(key.to_be_bytes().as_slice());
                    }
                }
            }
        }
        prop_assert!(false, "the walk does not end");
    }
}
