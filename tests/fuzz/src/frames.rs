//! A small log whose every byte is known, what may be done to it, and what must hold afterwards. Shared by the property
//! tests at the boundary and by the fuzz targets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use refrain_log::Error;
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::segments::{Draft, SegmentOptions, Segments};
use refrain_log::storage::{MemoryStorage, Storage};

pub(crate) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", Kind::I64),
        Field::new("b", Kind::Text),
        Field::new("c", Kind::F64),
        Field::new("d", Kind::Bool),
    ])
}

pub(crate) fn rows(values: &[(i64, String, f64, bool)]) -> RecordBatch {
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
pub(crate) fn touch(batch: &RecordBatch) -> usize {
    let walked = batch.columns().iter().map(|column| {
        column.to_data().validate_full().unwrap();
        column.len()
    });
    walked.sum()
}

pub(crate) const SEGMENT: &str = "run/00000000000000000000.segment";
/// Rows in each frame of [`written`].
pub(crate) const FRAMES: [usize; 5] = [3, 1, 9, 0, 4];

pub(crate) fn open(storage: &MemoryStorage) -> refrain_log::Result<Segments> {
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
pub(crate) fn written() -> (MemoryStorage, RecordBatch) {
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
pub(crate) fn places(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![64];
    while bytes[*places.last().unwrap()..].starts_with(b"RFRM") {
        let at = *places.last().unwrap();
        let payload = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap());
        places.push(at + 128 + payload as usize);
    }
    places
}

/// Gives the frame at this place a checksum that says that it is right.
pub(crate) fn forge(bytes: &mut [u8], at: usize) {
    let regions = usize::from(u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]));
    let head = 128 + (16 * regions).next_multiple_of(64);
    let head = head.min(bytes.len() - at);
    bytes[at + 124..at + 128].fill(0);
    let check = crc32c(&bytes[at..at + head]);
    bytes[at + 124..at + 128].copy_from_slice(&check.to_le_bytes());
}

/// CRC-32/ISCSI, bit by bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Reads all there is, over damage; each frame's rows with their first offset.
pub(crate) fn read_over(segments: &Segments) -> Vec<(u64, RecordBatch)> {
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

/// What must hold whatever was done to the bytes of the log: it opens or says why not, what it shows was written (unless
/// someone forged a checksum), and it goes on.
pub(crate) fn examine(storage: &MemoryStorage, harmed: &[u8], wanted: Option<&RecordBatch>) {
    storage.overwrite(Path::new(SEGMENT), 0, harmed);
    let Ok(mut segments) = open(storage) else {
        return;
    };
    for (first, batch) in read_over(&segments) {
        if let Some(all) = wanted {
            assert_eq!(batch, all.slice(first as usize, batch.num_rows()));
        }
    }
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
    let _ = open(storage).map(|segments| read_over(&segments));
}
