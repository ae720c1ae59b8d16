//! The log as its users see it, on a disk that is made to fail.

mod alter;
mod faults;
mod keep;
mod life;
mod notes;
mod optimize;
mod regroup;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::*;
use crate::clock::ManualClock;
use crate::columns::batch_of;
use crate::ids::Offset;
use crate::schema::{Field, Kind, Schema};
use crate::storage::MemoryStorage;

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

/// A log on a disk in memory, with one topic `events` keyed by `id`.
pub(super) struct Home {
    pub(super) storage: MemoryStorage,
    pub(super) clock: Arc<ManualClock>,
}

pub(super) fn spec(partitions: u32) -> TopicSpec {
    TopicSpec {
        name: "events".into(),
        origin: Origin::Source,
        schema: Schema::new(vec![
            Field::new("time", Kind::Timestamp),
            Field::new("id", Kind::I64),
            Field::new("note", Kind::Text).nullable(),
        ]),
        key: vec!["id".into()],
        time: Some("time".into()),
        partitions,
        ahead_us: 3_600_000_000,
        idle_us: None,
        segment_bytes: 4 << 10,
        defaults: Default::default(),
    }
}

pub(super) fn derived_spec() -> TopicSpec {
    TopicSpec {
        name: "clean".into(),
        origin: Origin::Derived,
        partitions: 1,
        ..spec(1)
    }
}

/// Rows with these ids.
pub(super) fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let times = ids.iter().map(|id| NOW.0 - 1000 + id);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let notes = StringArray::from_iter(
        ids.iter()
            .map(|id| (id % 3 != 0).then(|| format!("note {id}"))),
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(notes),
    ];
    batch_of(&spec(1).schema, columns, ids.len()).unwrap()
}

pub(super) fn append_of(rows: RecordBatch, producer: Option<u64>) -> Append {
    Append {
        topic: "events".into(),
        rows,
        row_numbers: Vec::new(),
        input: "input".into(),
        undecoded: Vec::new(),
        producer: producer.map(|first_row| Producer {
            name: "p".into(),
            first_row,
        }),
    }
}

impl Home {
    pub(super) fn new(seed: u64) -> Home {
        Home {
            storage: MemoryStorage::new(seed),
            clock: Arc::new(ManualClock::new(NOW)),
        }
    }

    pub(super) fn fork(&self) -> Home {
        Home {
            storage: self.storage.fork(),
            clock: Arc::new(ManualClock::new(self.clock.now())),
        }
    }

    pub(super) fn open(&self) -> Result<(Log, Vec<Finding>)> {
        Log::open(
            Arc::new(self.storage.clone()),
            self.clock.clone(),
            PathBuf::from("log"),
        )
    }

    pub(super) fn opened(&self, partitions: u32) -> Log {
        let (log, findings) = self.open().unwrap();
        assert_eq!(findings, []);
        log.declare(spec(partitions)).unwrap();
        log
    }
}

/// Ids of a topic, per partition, in order, and the damage that was met.
pub(super) fn read(log: &Log, topic: &str) -> (Vec<Vec<i64>>, Vec<Error>) {
    let topic = log.topic(topic).unwrap();
    let mut damage = Vec::new();
    let read = |partition| read_partition(&topic, partition, &mut damage);
    let ids = (0..topic.spec().partitions).map(read).collect();
    (ids, damage)
}

fn read_partition(topic: &Topic, partition: u32, damage: &mut Vec<Error>) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut from = Offset(0);
    loop {
        let mut cursor = topic.cursor(partition, from).unwrap();
        let error = loop {
            let frame = match cursor.next(Sequence(u64::MAX)) {
                Ok(Some(frame)) => frame,
                Ok(None) => return ids,
                Err(e) => break e,
            };
            assert!(frame.header().base_offset.0 <= cursor.offset().0);
            match frame.batch(&[0, 1, 2]) {
                Ok(batch) => ids.extend(checked(&batch, &frame, from)),
                Err(e) => break e,
            }
        };
        let Error::Damaged { last, .. } = &error else {
            panic!("{error}");
        };
        let next = Offset(last.0 + 1);
        damage.push(error);
        if next <= from {
            return ids;
        }
        from = next;
    }
}

/// Ids of a frame from an offset on, after checking that every column says the same.
fn checked(batch: &RecordBatch, frame: &crate::frame::Frame, from: Offset) -> Vec<i64> {
    let ids = batch.column(1).as_primitive::<Int64Type>();
    assert_eq!(*batch, rows(ids.values().iter().copied()));
    let skip = from.0.saturating_sub(frame.header().base_offset.0) as usize;
    ids.values().iter().skip(skip).copied().collect()
}

/// All ids of a topic, sorted.
pub(super) fn all(log: &Log) -> Vec<i64> {
    let (ids, damage) = read(log, "events");
    assert!(damage.is_empty(), "{damage:?}");
    let mut ids = ids.concat();
    ids.sort_unstable();
    ids
}
