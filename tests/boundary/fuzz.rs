//! Bytes that nobody wrote: columns and frames, changed, torn, moved and forged at random, decode to an error or to
//! rows, and never to a panic. `PROPTEST_CASES` says how often.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use refrain_log::Error;
use refrain_log::columns;
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::segments::{Draft, SegmentOptions, Segments};
use refrain_log::storage::{MemoryStorage, Storage};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", Kind::I64),
        Field::new("b", Kind::Text),
        Field::new("c", Kind::F64),
        Field::new("d", Kind::Bool),
    ])
}

fn rows(values: &[(i64, String, f64, bool)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(values.iter().map(|v| v.0).collect::<Int64Array>()),
        Arc::new(
            values
                .iter()
                .map(|v| Some(v.1.clone()))
                .collect::<StringArray>(),
        ),
        Arc::new(values.iter().map(|v| v.2).collect::<Float64Array>()),
        Arc::new(values.iter().map(|v| Some(v.3)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema().arrow(), columns).unwrap()
}

/// Walks over every value, so that a bad offset would show.
fn touch(batch: &RecordBatch) -> usize {
    let walked = batch.columns().iter().map(|column| {
        column.to_data().validate_full().unwrap();
        column.len()
    });
    walked.sum()
}

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

const SEGMENT: &str = "run/00000000000000000000.segment";
/// Rows in each frame of [`written`].
const FRAMES: [usize; 5] = [3, 1, 9, 0, 4];

fn open(storage: &MemoryStorage) -> refrain_log::Result<Segments> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let options = SegmentOptions {
        segment_bytes: 1 << 20,
        spare: false,
        name: "run".into(),
        partition: 0,
    };
    let schema = Arc::new(schema());
    let (segments, _) = Segments::open(storage, PathBuf::from("run"), options, schema, None)?;
    Ok(segments)
}

/// A run of a few frames, closed, and what is in it.
fn written() -> (MemoryStorage, RecordBatch) {
    let storage = MemoryStorage::new(1);
    let mut segments = open(&storage).unwrap();
    let mut all = Vec::new();
    for (i, count) in FRAMES.into_iter().enumerate() {
        let row = |n: usize| {
            (
                all.len() as i64 + n as i64,
                format!("row {n}"),
                n as f64,
                n.is_multiple_of(2),
            )
        };
        let new: Vec<_> = (0..count).map(row).collect();
        let drafts = [Draft {
            kind: FrameKind::Rows,
            sequence: Sequence(i as u64 + 1),
            append_time: Timestamp(1000 + i as i64),
            note: 0,
            rows: Some(rows(&new)),
        }];
        segments.append(&drafts).unwrap();
        segments.sync().unwrap();
        all.extend(new);
    }
    drop(segments);
    (storage, rows(&all))
}

/// Positions of the frames, and the end of the last.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![64];
    while bytes[*places.last().unwrap()..].starts_with(b"RFRM") {
        let at = *places.last().unwrap();
        let payload = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap());
        places.push(at + 128 + payload as usize);
    }
    places
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
            let regions = usize::from(u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]));
            let head = 128 + (16 * regions).next_multiple_of(64);
            let head = head.min(bytes.len() - at);
            bytes[at + 124..at + 128].fill(0);
            let check = crc32c(&bytes[at..at + head]);
            bytes[at + 124..at + 128].copy_from_slice(&check.to_le_bytes());
        }
    }
    bytes
}

/// CRC-32/ISCSI, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Reads all there is, over damage; each frame's rows with their first offset.
fn read_over(segments: &Segments) -> Vec<(u64, RecordBatch)> {
    let mut found = Vec::new();
    let mut from = segments.start();
    for _ in 0..100 {
        let Ok(mut cursor) = segments.cursor(from) else {
            return found;
        };
        loop {
            match cursor.next(Sequence(u64::MAX)) {
                Ok(None) => return found,
                Ok(Some(frame)) => {
                    if let Ok(batch) = frame.batch(&[0, 1, 2, 3]) {
                        touch(&batch);
                        found.push((frame.header().base_offset.0, batch));
                    }
                }
                Err(Error::Damaged { last, .. }) if last >= from => {
                    from = Offset(last.0.saturating_add(1));
                    break;
                }
                Err(_) => return found,
            }
        }
    }
    found
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
        storage.overwrite(path, 0, &harmed);
        // It opens or says why not; what it then shows was written, unless someone forged a checksum.
        if let Ok(mut segments) = open(&storage) {
            for (first, batch) in read_over(&segments) {
                if !forged {
                    let wanted = all.slice(first as usize, batch.num_rows());
                    prop_assert_eq!(&batch, &wanted);
                }
            }
            // And it goes on.
            let draft = Draft {
                kind: FrameKind::Rows,
                sequence: Sequence(1 << 40),
                append_time: Timestamp(1 << 40),
                note: 0,
                rows: Some(rows(&[(7, "seven".into(), 7.0, true)])),
            };
            if segments.append(&[draft]).is_ok() {
                let _ = segments.sync();
            }
            drop(segments);
            let _ = open(&storage).map(|segments| read_over(&segments));
        }
    }
}
