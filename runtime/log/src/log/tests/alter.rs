//! Versions of a topic's schema: every row is what it would be had it been written under the newest one.

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BinaryArray, BooleanArray};
use arrow_select::concat::concat_batches;
use proptest::prelude::*;

use super::*;
use crate::columns::canonical;
use crate::frame::FrameKind;
use crate::prepare::prepare;
use crate::queue::{Job, Reply};
use crate::schemas::{Defaults, Value};
use crate::storage::Fault;

/// Fields of every type, with and without null.
fn first() -> TopicSpec {
    TopicSpec {
        schema: Schema::new(vec![
            Field::new("id", Kind::I64),
            Field::new("flag", Kind::Bool).nullable(),
            Field::new("seen", Kind::Timestamp).nullable(),
            Field::new("note", Kind::Text).nullable(),
            Field::new("size", Kind::I64),
        ]),
        key: Vec::new(),
        time: None,
        ..spec(1)
    }
}

fn batch(first_id: i64, count: usize) -> RecordBatch {
    let ids = || first_id..first_id + count as i64;
    let some = |id: i64, n: i64| id % n != 0;
    let seen = ids().map(|id| some(id, 4).then_some(id * 1000));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids())),
        Arc::new(BooleanArray::from_iter(
            ids().map(|id| some(id, 3).then_some(id % 2 == 0)),
        )),
        Arc::new(TimestampMicrosecondArray::from_iter(seen).with_timezone("UTC")),
        Arc::new(StringArray::from_iter(
            ids().map(|id| some(id, 5).then(|| format!("né {id}"))),
        )),
        Arc::new(Int64Array::from_iter_values(ids().map(|id| id * id))),
    ];
    batch_of(&first().schema, columns, count).unwrap()
}

/// What may happen to a topic.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Rows, by one who knows the newest schema.
    Append(usize),
    /// Rows, by one who knows the first one.
    AppendAsFirst(usize),
    Alter(Change),
}

#[derive(Clone, Copy, Debug)]
enum Change {
    AddNullable(Kind),
    AddDefaulted(Kind),
    WidenFlag,
    WidenSeen,
    WidenNote,
    RelaxSize,
    NewDefault,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop::sample::select(Kind::ALL.to_vec());
    let change = prop_oneof![
        kind().prop_map(Change::AddNullable),
        kind().prop_map(Change::AddDefaulted),
        Just(Change::WidenFlag),
        Just(Change::WidenSeen),
        Just(Change::WidenNote),
        Just(Change::RelaxSize),
        Just(Change::NewDefault),
    ];
    let step = prop_oneof![
        (1..40usize).prop_map(Step::Append),
        (1..9usize).prop_map(Step::AppendAsFirst),
        change.prop_map(Step::Alter),
    ];
    prop::collection::vec(step, 1..14)
}

fn default_of(kind: Kind) -> Value {
    match kind {
        Kind::Bool => Value::Bool(true),
        Kind::I64 => Value::I64(-7),
        Kind::F64 => Value::F64(0.5_f64.to_bits()),
        Kind::Text => Value::Text("nö".into()),
        Kind::Bytes => Value::Bytes(vec![0, 255]),
        Kind::Timestamp => Value::Timestamp(86_400_000_000),
    }
}

/// A declaration with one more change; it names its fields backwards.
fn changed(spec: &TopicSpec, change: Change, number: usize) -> TopicSpec {
    let mut fields = spec.schema.fields().to_vec();
    let mut defaults = spec.defaults.clone();
    match change {
        Change::WidenFlag => fields[1].kind = Kind::I64,
        Change::WidenSeen => fields[2].kind = Kind::I64,
        Change::WidenNote => fields[3].kind = Kind::Bytes,
        Change::RelaxSize => fields[4].nullable = true,
        Change::AddNullable(kind) => {
            fields.push(Field::new(format!("new_{number}"), kind).nullable());
        }
        Change::AddDefaulted(kind) => {
            let name = format!("new_{number}");
            defaults.insert(name.clone(), default_of(kind));
            fields.push(Field::new(name, kind));
        }
        Change::NewDefault => {
            defaults.insert("size".into(), Value::I64(number as i64));
        }
    }
    let turned: Vec<Field> = fields.iter().rev().cloned().collect();
    let declared = TopicSpec {
        schema: Schema::new(turned),
        defaults,
        ..spec.clone()
    };
    let altered = crate::alter::decide(spec, &declared).expect("each of these can be");
    assert_eq!(
        altered.schema.fields()[0].name,
        "id",
        "fields stay where they are"
    );
    altered
}

/// The same rows, written anew under a later schema: value by value.
fn anew(rows: &RecordBatch, spec: &TopicSpec) -> RecordBatch {
    let column = |field: &Field| -> ArrayRef {
        let Some(old) = rows.column_by_name(&field.name) else {
            return match spec.defaults.get(&field.name) {
                Some(value) => value.array(rows.num_rows()),
                None => arrow_array::new_null_array(&field.kind.arrow(), rows.num_rows()),
            };
        };
        if *old.data_type() == field.kind.arrow() {
            return old.clone();
        }
        let each = |value: &dyn Fn(usize) -> i64| -> ArrayRef {
            let values = (0..old.len()).map(|i| old.is_valid(i).then(|| value(i)));
            Arc::new(Int64Array::from_iter(values))
        };
        if let Some(bits) = old.as_boolean_opt() {
            each(&|i| if bits.value(i) { 1 } else { 0 })
        } else if let Some(times) = old.as_primitive_opt::<TimestampMicrosecondType>() {
            each(&|i| times.value(i))
        } else {
            let texts = old.as_string::<i32>();
            Arc::new(BinaryArray::from_iter(
                texts.iter().map(|t| t.map(str::as_bytes)),
            ))
        }
    };
    let columns = spec.schema.fields().iter().map(column).collect();
    let rows = batch_of(&spec.schema, columns, rows.num_rows()).unwrap();
    canonical(&rows, &spec.schema).unwrap()
}

/// All rows of a topic, as it reads them.
fn all_of(topic: &Topic) -> RecordBatch {
    let fields: Vec<usize> = (0..topic.schema().fields().len()).collect();
    let mut cursor = topic.cursor(0, Offset(0)).unwrap();
    let mut parts = Vec::new();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        assert_eq!(frame.schema(), topic.schema());
        if frame.header().kind == FrameKind::Rows {
            parts.push(frame.batch(&fields).unwrap());
        }
    }
    concat_batches(&topic.schema().arrow(), &parts).unwrap()
}

fn append(log: &Log, rows: RecordBatch) {
    let done = log.append(append_of(rows, None)).unwrap();
    assert_eq!(done.rejected, 0);
}

/// Rows as one appends them who knows this schema.
fn known(ids: i64, count: usize, spec: &TopicSpec) -> RecordBatch {
    anew(&batch(ids, count), spec)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_row_is_what_it_would_be_written_anew(steps in steps()) {
        let home = Home::new(1);
        let (log, _) = home.open().unwrap();
        log.declare(first()).unwrap();
        let mut now = first();
        let mut model = batch(0, 0);
        let mut past = Vec::new();
        let mut ids = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(count) => {
                    let rows = known(ids, count, &now);
                    model = concat_batches(&now.schema.arrow(), &[model, rows.clone()]).unwrap();
                    append(&log, rows);
                    ids += count as i64;
                }
                Step::AppendAsFirst(count) => {
                    let rows = known(ids, count, &now);
                    model = concat_batches(&now.schema.arrow(), &[model, rows]).unwrap();
                    append(&log, batch(ids, count));
                    ids += count as i64;
                }
                Step::Alter(change) => {
                    let next = changed(&now, change, number);
                    past.push((log.durable(), log.topic("events").unwrap(), model.clone()));
                    // A default is one of rows to come: those that are there have the field.
                    model = anew(&model, &next);
                    log.alter(next.clone()).unwrap();
                    now = next;
                }
            }
        }
        prop_assert_eq!(all_of(&log.topic("events").unwrap()), model.clone());
        for (cut, topic, then) in &past {
            // As it was at that cut, and as one reads it who began then.
            let again = log.topic("events").unwrap().as_of(*cut);
            prop_assert!(again.version() <= topic.version());
            let rows = then.num_rows();
            if again.version() == topic.version() {
                prop_assert_eq!(again.schema(), topic.schema());
                let fields: Vec<usize> = (0..again.schema().fields().len()).collect();
                let mut cursor = again.cursor(0, Offset(0)).unwrap();
                let mut parts = Vec::new();
                while let Some(frame) = cursor.next(*cut).unwrap() {
                    if frame.header().kind == FrameKind::Rows {
                        parts.push(frame.batch(&fields).unwrap());
                    }
                }
                let found = concat_batches(&again.schema().arrow(), &parts).unwrap();
                prop_assert_eq!(found.slice(0, rows.min(found.num_rows())), then.clone());
            }
        }
        let version = log.topic("events").unwrap().version();
        drop(log);
        let (log, findings) = home.open().unwrap();
        prop_assert_eq!(findings, Vec::new());
        let topic = log.declare(now).unwrap();
        prop_assert_eq!(topic.version(), version);
        prop_assert_eq!(all_of(&log.topic("events").unwrap()), model);
    }
}

fn with_extra() -> TopicSpec {
    changed(&first(), Change::AddDefaulted(Kind::I64), 1)
}

/// What the versions were is in the lost file alone: rows of a further one are not read as if they were of the first.
#[test]
fn an_altered_topic_without_its_declaration_is_refused() {
    let home = Home::new(3);
    let (log, _) = home.open().unwrap();
    log.declare(first()).unwrap();
    append(&log, batch(0, 3));
    log.alter(with_extra()).unwrap();
    append(&log, known(3, 2, &with_extra()));
    drop(log);
    let path = PathBuf::from("log").join(first().name).join("topic.spec");
    home.storage.remove(&path).unwrap();
    let opened = Log::open_declared(
        Arc::new(home.storage.clone()),
        home.clock.clone(),
        PathBuf::from("log"),
        &[with_extra()],
    );
    let said = opened.unwrap_err().to_string();
    assert!(said.contains("put the file back"), "{said}");
}

/// Rows that were encoded before an alteration and written after it keep their version, and do no harm; a reader that
/// began before goes on with what it began with.
#[test]
fn frames_of_both_versions_stand_side_by_side() {
    let home = Home::new(2);
    let (log, _) = home.open().unwrap();
    let old = log.declare(first()).unwrap();
    append(&log, batch(0, 3));
    let mut reader = old.cursor(0, Offset(0)).unwrap();
    let late = prepare(append_of(batch(3, 2), None), &old, &old, NOW).unwrap();
    let new = log.alter(with_extra()).unwrap();
    assert_eq!((old.version(), new.version()), (1, 2));
    append(&log, known(5, 2, &with_extra()));
    let reply = Arc::new(Reply::default());
    let job = Job {
        prepared: late,
        reply: reply.clone(),
    };
    log.core.queue.push(job).unwrap();
    reply.wait().unwrap();

    let mut cursor = new.cursor(0, Offset(0)).unwrap();
    let mut versions = Vec::new();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        versions.push(frame.header().schema_version);
        assert_eq!(
            *frame.column(5).unwrap(),
            *Value::I64(-7).array(frame.header().rows as usize)
        );
    }
    assert_eq!(versions, [1, 2, 1]);
    let mut ids = Vec::new();
    while let Some(frame) = reader.next(Sequence(u64::MAX)).unwrap() {
        assert_eq!(frame.schema(), old.schema());
        ids.extend(
            frame
                .column(0)
                .unwrap()
                .as_primitive::<Int64Type>()
                .values()
                .to_vec(),
        );
        assert!(frame.column(5).is_err(), "it began with five fields");
    }
    assert_eq!(ids, [0, 1, 2, 5, 6, 3, 4]);
}

/// The power fails at each operation of an alteration: the topic is as it was or as it is to be, with all its rows.
#[test]
fn a_power_cut_leaves_one_version_or_the_other() {
    let mut seen = [false; 2];
    for operation in 1..12 {
        let home = Home::new(operation);
        let (log, _) = home.open().unwrap();
        log.declare(first()).unwrap();
        append(&log, batch(0, 5));
        home.storage
            .fail_from(home.storage.operations() + operation, Fault::Io);
        let altered = log.alter(with_extra()).is_ok();
        home.storage
            .fail_from(home.storage.operations() + 1, Fault::Io);
        drop(log);
        home.storage.crash();
        let (log, findings) = home.open().unwrap();
        assert!(!findings.iter().any(|f| f.acknowledged), "{findings:?}");
        let version = log.topic("events").unwrap().version();
        assert!(
            version == 2 || !altered,
            "operation {operation}: what was told is kept"
        );
        seen[version as usize - 1] = true;
        let topic = log.alter(with_extra()).unwrap();
        assert_eq!(topic.version(), 2);
        append(&log, known(5, 5, &with_extra()));
        assert_eq!(
            all_of(&topic),
            known(0, 10, &with_extra()),
            "operation {operation}"
        );
    }
    assert_eq!(seen, [true, true], "both were met");
}

/// Rows under a version that topic.spec does not have are no damage: nothing is taken out, and they are read again when
/// the newer file is back.
#[test]
fn a_version_that_is_not_known_is_told_as_that() {
    let home = Home::new(3);
    let path = PathBuf::from("log/events/topic.spec");
    let (log, _) = home.open().unwrap();
    log.declare(first()).unwrap();
    let older = home.storage.read(&path).unwrap();
    append(&log, batch(0, 3));
    log.alter(with_extra()).unwrap();
    append(&log, known(3, 3, &with_extra()));
    drop(log);
    let newer = home.storage.read(&path).unwrap();
    home.storage.replace(&path, &older).unwrap();
    let (log, findings) = home.open().unwrap();
    assert_eq!(findings, []);
    let topic = log.topic("events").unwrap();
    let mut cursor = topic.cursor(0, Offset(0)).unwrap();
    assert_eq!(
        cursor
            .next(Sequence(u64::MAX))
            .unwrap()
            .unwrap()
            .header()
            .rows,
        3
    );
    let error = cursor.next(Sequence(u64::MAX)).unwrap_err();
    let Error::UnknownSchema { first, version, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*first, *version), (Offset(3), 2));
    drop(log);
    home.storage.replace(&path, &newer).unwrap();
    let (log, _) = home.open().unwrap();
    let topic = log.topic("events").unwrap();
    assert_eq!(all_of(&topic), known(0, 6, &with_extra()));
}

#[test]
fn a_declaration_is_altered_to_or_refused() {
    let home = Home::new(4);
    let (log, _) = home.open().unwrap();
    log.declare(first()).unwrap();
    append(&log, batch(0, 3));
    let refused = |spec: TopicSpec| match log.declare(spec).unwrap_err() {
        Error::Redeclared { refused, .. } => refused,
        error => panic!("{error}"),
    };
    assert_eq!(refused(with_extra()), [""; 0], "an alteration gives it");
    let fewer = Schema::new(first().schema.fields()[..4].to_vec());
    let fewer = TopicSpec {
        schema: fewer,
        ..first()
    };
    assert_eq!(refused(fewer.clone()).len(), 1);
    assert!(log.alter(fewer).is_err());
    assert_eq!(log.topic("events").unwrap().version(), 1);
    let bad = TopicSpec {
        defaults: Defaults::from([("size".to_owned(), Value::Bool(true))]),
        ..first()
    };
    assert!(
        log.alter(bad)
            .unwrap_err()
            .to_string()
            .contains("another type")
    );
    assert_eq!(log.alter(with_extra()).unwrap().version(), 2);
    assert_eq!(
        log.alter(with_extra()).unwrap().version(),
        2,
        "nothing more to do"
    );
    assert_eq!(log.declare(with_extra()).unwrap().version(), 2);
}

/// A frame without rows has no fields, whatever the schema.
#[test]
fn ticks_are_read_after_an_alteration() {
    let home = Home::new(5);
    let (log, _) = home.open().unwrap();
    let idle = TopicSpec {
        idle_us: Some(1_000),
        ..first()
    };
    log.declare(idle.clone()).unwrap();
    append(&log, batch(0, 3));
    let declared = TopicSpec {
        idle_us: idle.idle_us,
        ..with_extra()
    };
    let topic = log.alter(declared).unwrap();
    home.clock.set(Timestamp(NOW.0 + 10_000_000));
    let before = log.durable();
    log.wake();
    let after = log.wait_beyond(before, log.wakes(), Duration::from_secs(20));
    assert!(after > before, "a tick was written");
    let mut cursor = topic.cursor(0, Offset(0)).unwrap();
    let mut kinds = Vec::new();
    while let Some(frame) = cursor.next(Sequence(u64::MAX)).unwrap() {
        kinds.push(frame.header().kind);
    }
    assert_eq!(kinds, [FrameKind::Rows, FrameKind::Tick]);
}
