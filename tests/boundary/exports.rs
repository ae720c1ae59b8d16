//! Exported files: every kind of value as it is in the view, which rows are final, and which commit they are of.

use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use refrain_tests::Home;
use serde_json::{Value, json};

const PIPELINE: &str = r#"[topic.events]
schema = { at = "timestamp", key = "text", flag = "bool?", number = "i64?", real = "f64?", name = "text?", blob = "bytes?", moment = "timestamp?" }
time = "at"
key = ["key"]

[node.seen]
plugin = "oracle"
input = "events"
key = ["key"]
window = { tumbling = "1h" }
view = "seen"
"#;

/// One row of each key; the last ends the window of the others. What `number` becomes is 7 · 31 + number.
const EVENTS: &str = r#"{"at": "2026-01-01T00:00:00Z", "key": "a, \"b\"\nc", "flag": true, "number": 5, "real": -2.5, "name": "日本語, \"🦀\"\r\né", "blob": "AP/+LCIK", "moment": "1969-12-31T23:59:59.999999Z"}
{"at": "2026-01-01T00:00:01Z", "key": "empty", "name": "", "blob": ""}
{"at": "2026-01-01T00:00:02Z", "key": "infinite", "flag": false, "real": "-inf", "moment": "9999-12-31T23:59:59.999999Z"}
{"at": "2026-01-01T00:00:03Z", "key": "naïve e\u0301", "number": -9223372036854775808, "real": "NaN"}
{"at": "2026-01-01T00:00:04Z", "key": "nulls"}
{"at": "2026-01-01T00:00:05Z", "key": "zero", "real": -0.0, "name": "\u0000\u0007"}
{"at": "2026-01-01T02:00:00Z", "key": "zzz, later", "number": 1}
"#;

/// The view's rows, as JSON has them.
fn rows() -> Vec<Value> {
    let hour = |hour: u32| format!("2026-01-01T0{hour}:00:00Z");
    let row = |key: &str, values: Value| {
        let mut row = json!({
            "key": key, "window_start": hour(0), "rows": 1, "flag": null, "number": null, "real": null, "name": null,
            "blob": null, "moment": null, "@final": true,
        });
        for (name, value) in values.as_object().unwrap() {
            row[name] = value.clone();
        }
        row
    };
    vec![
        row(
            "a, \"b\"\nc",
            json!({
                "flag": true, "number": 222, "real": -2.5, "name": "日本語, \"🦀\"\r\né", "blob": "AP/+LCIK",
                "moment": "1969-12-31T23:59:59.999999Z",
            }),
        ),
        row("empty", json!({ "name": "", "blob": "" })),
        row(
            "infinite",
            json!({ "flag": false, "real": "-inf", "moment": "9999-12-31T23:59:59.999999Z" }),
        ),
        row(
            "naïve e\u{301}",
            json!({ "number": i64::MIN + 217, "real": "NaN" }),
        ),
        row("nulls", json!({})),
        row("zero", json!({ "real": -0.0, "name": "\0\u{7}" })),
        row(
            "zzz, later",
            json!({ "number": 218, "window_start": hour(2), "@final": false }),
        ),
    ]
}

fn home() -> Home {
    let home = Home::new(PIPELINE);
    let guest = refrain_tests::repository().join("tests/guests/oracle/oracle.wasm");
    home.write("plugins/oracle.wasm", std::fs::read(guest).unwrap());
    home.write("events.jsonl", EVENTS);
    home.append("events", "events.jsonl", "p").ok();
    home.run().ok();
    home
}

fn export(home: &Home, file: &str) {
    home.refrain(&["view", "export", "seen", file]).ok();
}

/// A file of Parquet as rows of JSON, read without the program.
fn parquet_rows(home: &Home, file: &str) -> Vec<Value> {
    let file = File::open(home.path(file)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches = reader.build().unwrap().map(Result::unwrap);
    let all = |batch: RecordBatch| (0..batch.num_rows()).map(move |row| object(&batch, row));
    batches.flat_map(all).collect()
}

fn object(batch: &RecordBatch, row: usize) -> Value {
    let schema = batch.schema();
    let cells = batch.columns().iter().zip(schema.fields());
    cells
        .map(|(column, field)| (field.name().clone(), cell(column, row)))
        .collect()
}

fn cell(column: &dyn Array, row: usize) -> Value {
    use arrow_schema::DataType::{Binary, Boolean, Float64, Int64, Timestamp, Utf8};
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        Boolean => column.as_boolean().value(row).into(),
        Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        Float64 => match column.as_primitive::<Float64Type>().value(row) {
            real if real.is_nan() => "NaN".into(),
            real if real.is_infinite() => "-inf".into(),
            real => real.into(),
        },
        Utf8 => column.as_string::<i32>().value(row).into(),
        Binary => {
            let bytes = column.as_binary::<i32>().value(row);
            match bytes {
                [] => "".into(),
                [0, 255, 254, b',', b'"', b'\n'] => "AP/+LCIK".into(),
                other => panic!("other bytes: {other:?}"),
            }
        }
        Timestamp(unit, zone) => {
            assert_eq!(*unit, arrow_schema::TimeUnit::Microsecond);
            assert!(zone.is_some(), "a moment, not a local time");
            let us = column.as_primitive::<TimestampMicrosecondType>().value(row);
            refrain_engine::ingest::time::text(us).into()
        }
        other => panic!("no type of ours: {other}"),
    }
}

/// Records of CSV with their quotes taken away: an empty cell is null, `""` the empty text.
fn csv_records(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut records, mut record) = (Vec::new(), Vec::new());
    let (mut cell, mut quoted, mut inside) = (String::new(), false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => {
                inside = !inside;
                quoted = true;
            }
            ',' | '\n' if !inside => {
                let text = std::mem::take(&mut cell);
                record.push((quoted || !text.is_empty()).then_some(text));
                quoted = false;
                if c == '\n' {
                    records.push(std::mem::take(&mut record));
                }
            }
            c => cell.push(c),
        }
    }
    assert!(cell.is_empty() && record.is_empty(), "ends with a line end");
    records
}

#[test]
fn every_kind_of_value_is_in_the_file_as_in_the_view() {
    let home = home();
    let scan = ["view", "scan", "seen", "--output", "json"];
    let scanned = home.refrain(&scan).ok().json();
    assert_eq!(scanned, Value::from(rows()), "view scan");
    export(&home, "out.jsonl");
    let text = std::fs::read_to_string(home.path("out.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, rows(), "JSON lines");
    assert!(text.contains("\"real\": -0.0"), "{text}");
    export(&home, "out.parquet");
    assert_eq!(parquet_rows(&home, "out.parquet"), rows(), "Parquet");
    export(&home, "out.csv");
    let text = std::fs::read_to_string(home.path("out.csv")).unwrap();
    let mut records = csv_records(&text).into_iter();
    let names: Vec<String> = records.next().unwrap().into_iter().flatten().collect();
    for (record, row) in records.zip(rows()) {
        for (name, cell) in names.iter().zip(record) {
            let wanted = match &row[name] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            assert_eq!(cell, wanted, "CSV, {name} of {}", row["key"]);
        }
    }
    // What was exported goes into a log again, whatever the format.
    let schema = PIPELINE.lines().nth(1).unwrap();
    let schema = schema.replace(
        "at = \"timestamp\", ",
        "window_start = \"timestamp\", rows = \"i64\", ",
    );
    for file in ["out.csv", "out.jsonl", "out.parquet"] {
        let other = Home::new(&format!("[topic.seen]\n{schema}\n"));
        let path = home.path(file).display().to_string();
        other.append("seen", &path, "p").ok();
        let back = other.topic("seen");
        assert_eq!(back.len(), rows().len(), "{file}");
        for (back, row) in back.iter().zip(rows()) {
            for (name, value) in row
                .as_object()
                .unwrap()
                .iter()
                .filter(|(n, _)| *n != "@final")
            {
                assert_eq!(back[name], *value, "{file}, {name} of {}", row["key"]);
            }
        }
    }
}

/// An export once said on stderr alone of which commit it was.
#[test]
fn a_file_says_of_which_commit_it_is() {
    let home = home();
    let digest = ["view", "digest", "seen", "--output", "json"];
    let view = home.refrain(&digest).ok().json()[0].clone();
    let names = ["view", "rows", "digest", "cut", "watermark", "tier"];
    for file in ["out.csv", "out.jsonl"] {
        export(&home, file);
        let about = std::fs::read_to_string(home.path(&format!("{file}.about.json"))).unwrap();
        let about: Value = serde_json::from_str(&about).unwrap();
        for name in names {
            assert_eq!(about[name], view[name], "{name}");
        }
        assert_eq!(about["key"], json!(["key", "window_start"]));
        assert_eq!(about["final_rows"], 6);
        assert!(
            about["stale_us"].is_u64() && about["as_of"].is_string(),
            "{about}"
        );
    }
    export(&home, "out.parquet");
    let file = File::open(home.path("out.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata();
    let pairs = metadata.unwrap().clone();
    assert!(pairs.iter().any(|pair| pair.key == "refrain.as_of"));
    for name in names {
        let found = pairs.iter().find(|p| p.key == format!("refrain.{name}"));
        let found = found.and_then(|pair| pair.value.clone());
        let wanted = match &view[name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        assert_eq!(found, wanted, "{name}");
    }
    // The command itself says the same as data.
    let words = ["view", "export", "seen", "again.csv", "--output", "json"];
    assert_eq!(home.refrain(&words).ok().json()["digest"], view["digest"]);
}
