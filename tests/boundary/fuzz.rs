//! Bytes that nobody wrote: columns and frames, changed, torn, moved and forged at random, decode to an error or to
//! rows, and never to a panic. `PROPTEST_CASES` says how often.

use std::path::Path;

use proptest::prelude::*;
use refrain_log::columns;
use refrain_log::storage::Storage;

use frames::{FRAMES, SEGMENT, examine, forge, places, rows, schema, touch, written};

#[path = "../fuzz/src/frames.rs"]
mod frames;

proptest! {
    #[test]
    fn changed_columns_decode_or_say_why(
        values in prop::collection::vec(any::<(i64, String, f64, bool)>(), 0..40),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = columns::to_bytes(&rows(&values), &schema()).unwrap();
        for (place, byte) in &flips {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok(batch) = columns::from_bytes(&bytes, &schema()) {
            touch(&batch);
        }
    }

    #[test]
    fn any_bytes_decode_or_say_why(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(batch) = columns::from_bytes(&bytes, &schema()) {
            touch(&batch);
        }
    }
}

#[derive(Clone, Debug)]
enum Harm {
    /// Another byte somewhere.
    Byte(prop::sample::Index, u8),
    /// Sectors that never came to the disk, from here on.
    Torn(prop::sample::Index, usize),
    /// A frame stands where another one stood.
    Moved(prop::sample::Index, prop::sample::Index),
    /// Other words in a frame's header, and a checksum that says that it is right.
    Forged(prop::sample::Index, Vec<(usize, u8)>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let place = any::<prop::sample::Index>;
    let small = prop_oneof![any::<u8>(), 0..8u8, Just(0xff)];
    // All but the check itself; the header's words and the first entries of the directory.
    let words = prop::collection::vec((4..192usize, small), 1..6);
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        (place(), 1..3000usize).prop_map(|(at, length)| Harm::Torn(at, length)),
        (place(), place()).prop_map(|(from, to)| Harm::Moved(from, to)),
        (place(), words).prop_map(|(at, words)| Harm::Forged(at, words)),
    ]
}

fn harmed(mut bytes: Vec<u8>, places: &[usize], harm: &Harm) -> Vec<u8> {
    let (end, frames) = (*places.last().unwrap(), places.len() - 1);
    match harm {
        Harm::Byte(at, byte) => bytes[at.index(end)] = *byte,
        Harm::Torn(at, length) => {
            let at = at.index(end);
            let to = end.min(at + length);
            bytes[at..to].fill(0);
        }
        Harm::Moved(from, to) => {
            let (from, to) = (from.index(frames), to.index(frames));
            let frame = bytes[places[from]..places[from + 1]].to_vec();
            let room = (bytes.len() - places[to]).min(frame.len());
            bytes[places[to]..][..room].copy_from_slice(&frame[..room]);
        }
        Harm::Forged(at, words) => {
            let at = places[at.index(frames)];
            for (place, byte) in words
                .iter()
                .filter(|(place, _)| !(124..128).contains(place))
            {
                bytes[at + place] = *byte;
            }
            forge(&mut bytes, at);
        }
    }
    bytes
}

proptest! {
    #[test]
    fn harmed_frames_are_read_right_or_not_at_all(harms in prop::collection::vec(harm(), 1..4)) {
        let (storage, all) = written();
        let path = Path::new(SEGMENT);
        let bytes = storage.read(path).unwrap();
        let places = places(&bytes);
        prop_assert!(places.len() > FRAMES.len());
        let forged = harms.iter().any(|harm| matches!(harm, Harm::Forged(..)));
        let harmed = harms.iter().fold(bytes, |bytes, harm| harmed(bytes, &places, harm));
        examine(&storage, &harmed, (!forged).then_some(&all));
    }
}
