//! Every format: rows written are the rows read, broken rows are rejects with a reason, and nothing panics.

use std::fmt::Write as _;
use std::io::Cursor;

use ::parquet::arrow::ArrowWriter;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;
use refrain_log::schema::{Field, Kind};
use refrain_log::schemas::Value;

use super::*;

fn options(fields: Vec<Field>) -> DecodeOptions {
    DecodeOptions {
        schema: Arc::new(Schema::new(fields)),
        defaults: Defaults::new(),
        units: BTreeMap::from([("at".to_owned(), TimeUnit::Ms)]),
        input: "input".into(),
        first_row: 1,
    }
}

/// Everything of an input, in batches of `rows_max`.
fn decoded(format: Format, text: &[u8], fields: Vec<Field>, rows_max: usize) -> Vec<Decoded> {
    let reader = Box::new(Cursor::new(text.to_vec()));
    let mut decoder = decode_stream(format, reader, options(fields)).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = decoder.next(rows_max).unwrap() {
        assert!(batch.rows.num_rows() + batch.undecoded.len() <= rows_max);
        assert_eq!(batch.rows.num_rows(), batch.row_numbers.len());
        all.push(batch);
    }
    all
}

fn one(format: Format, text: &str, fields: Vec<Field>) -> Decoded {
    decoded(format, text.as_bytes(), fields, 1000)
        .pop()
        .unwrap()
}

/// `line: reason` of every reject.
fn reasons(decoded: &Decoded) -> Vec<String> {
    decoded
        .undecoded
        .iter()
        .map(|u| {
            format!(
                "{} {}: {}",
                u.line,
                String::from_utf8_lossy(&u.bytes),
                u.reason
            )
        })
        .collect()
}

fn ints(decoded: &Decoded, column: usize) -> Vec<i64> {
    decoded
        .rows
        .column(column)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec()
}

fn texts(decoded: &Decoded, column: usize) -> Vec<Option<&str>> {
    decoded
        .rows
        .column(column)
        .as_string::<i32>()
        .iter()
        .collect()
}

fn id_and_note() -> Vec<Field> {
    vec![
        Field::new("id", Kind::I64),
        Field::new("note", Kind::Text).nullable(),
    ]
}

#[test]
fn csv_quotes_line_ends_and_nulls() {
    let text = "\u{feff}note,extra,id\r\n\"a \"\"b\"\"\",x,1\r\n,y,2\n\"\",z,3\n\n\"two\nlines\",,4\nlast,w,5";
    let decoded = one(Format::Csv, text, id_and_note());
    assert_eq!(reasons(&decoded), Vec::<String>::new());
    assert_eq!(ints(&decoded, 0), [1, 2, 3, 4, 5]);
    let notes = [
        Some("a \"b\""),
        None,
        Some(""),
        Some("two\nlines"),
        Some("last"),
    ];
    assert_eq!(texts(&decoded, 1), notes);
    assert_eq!(decoded.row_numbers, [1, 2, 3, 4, 5]);
    assert_eq!(
        decoded.notes,
        ["columns left out, since the topic has no such field: extra"]
    );
}

#[test]
fn csv_rejects_one_row_at_a_time() {
    let text = "id,note\n1,a\nx,b\n3\n4,\"open\n5,e\n\"6\"x,f\n99999999999999999999,g\n,h\n9,\"i\"";
    let decoded = one(Format::Csv, text, id_and_note());
    assert_eq!(ints(&decoded, 0), [1, 5, 9]);
    assert_eq!(decoded.row_numbers, [1, 5, 9]);
    insta::assert_snapshot!("csv_rejects", reasons(&decoded).join("\n"));
}

#[test]
fn csv_times_truth_and_bytes() {
    let fields = vec![
        Field::new("at", Kind::Timestamp),
        Field::new("ok", Kind::Bool),
        Field::new("x", Kind::F64),
        Field::new("raw", Kind::Bytes),
    ];
    let text = "at,ok,x,raw\n1500,true,NaN,TWE=\n1970-01-01T00:00:01Z,0,-inf,\nsoon,1,1,\n5,yes,1,\n5,1,1e999,\n5,1,1,*\n5,1,-0.0,AA";
    let decoded = one(Format::Csv, text, fields);
    let times = decoded
        .rows
        .column(0)
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values().to_vec(), [1_500_000, 1_000_000, 5_000]);
    let floats = decoded.rows.column(2).as_primitive::<Float64Type>();
    assert!(floats.value(0).is_nan() && floats.value(1) == f64::NEG_INFINITY);
    assert_eq!(floats.value(2).to_bits(), (-0.0_f64).to_bits());
    assert_eq!(decoded.rows.column(3).as_binary::<i32>().value(0), b"Ma");
    insta::assert_snapshot!("csv_misfits", reasons(&decoded).join("\n"));
}

#[test]
fn csv_without_a_column_is_refused_as_a_whole() {
    let refused = |text: &str| {
        let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
        decode_stream(Format::Csv, reader, options(id_and_note()))
            .err()
            .unwrap()
            .to_string()
    };
    let all = [
        refused(""),
        refused("note\n"),
        refused("id,nota\n"),
        refused("id,note,id\n"),
    ];
    insta::assert_snapshot!("csv_refused", all.join("\n"));
    assert_eq!(
        texts(&one(Format::Csv, "id\n1\n", id_and_note()), 1),
        [None]
    );
}

/// What is not named is the default; what is null is null.
#[test]
fn absent_fields_have_their_default_in_every_format() {
    let with = |schema: Vec<Field>| {
        let size = Value::I64(7);
        let note = Value::Text("none".into());
        DecodeOptions {
            defaults: Defaults::from([("size".into(), size), ("note".into(), note)]),
            ..options(schema)
        }
    };
    let fields = || {
        let mut fields = id_and_note();
        fields.push(Field::new("size", Kind::I64));
        fields
    };
    let of = |format, text: &str| {
        let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
        let mut decoder = decode_stream(format, reader, with(fields())).unwrap();
        decoder.next(100).unwrap().unwrap()
    };
    let csv = of(Format::Csv, "id\n1\n2\n");
    assert_eq!(
        (ints(&csv, 2), texts(&csv, 1)),
        (vec![7, 7], vec![Some("none"); 2])
    );
    let text = "{\"id\":1}\n{\"id\":2,\"note\":null,\"size\":8}\n{\"id\":3,\"size\":null}\n";
    let json = of(Format::Jsonl, text);
    assert_eq!(
        (ints(&json, 2), texts(&json, 1)),
        (vec![7, 8], vec![Some("none"), None])
    );
    assert!(reasons(&json)[0].contains("`size` (i64) has no value"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    write_parquet(&path, &RecordBatch::try_from_iter([("id", ids)]).unwrap());
    let mut decoder = decode_file(Format::Parquet, &path, with(fields())).unwrap();
    let rows = decoder.next(100).unwrap().unwrap();
    assert_eq!(
        (ints(&rows, 2), texts(&rows, 1)),
        (vec![7, 7], vec![Some("none"); 2])
    );
    // A column that is left over may be meant for the absent one.
    let reader = Box::new(Cursor::new(b"id,sizes\n1,2\n".to_vec()));
    assert!(decode_stream(Format::Csv, reader, with(fields())).is_err());
}

#[test]
fn jsonl_values_and_rejects() {
    let text = concat!(
        "{\"id\": 1, \"note\": \"a\\u00e4\", \"more\": {\"x\": [1]}}\n",
        "{\"note\": null, \"id\": -2}\n",
        "\n",
        "{\"id\": 3}\r\n",
        "{\"id\": 1.5}\n",
        "{\"id\": \"4\"}\n",
        "{\"id\": 9223372036854775808}\n",
        "{\"note\": \"x\"}\n",
        "{\"id\": 5, \"id\": 6}\n",
        "{\"id\": 5, \"note\": 6}\n",
        "{\"id\": [5]}\n",
        "[1, 2]\n",
        "{\"id\": 5\n",
        "{\"id\": 5} x\n",
        "{\"id\": 7, \"note\": \"\"}",
    );
    let decoded = one(Format::Jsonl, text, id_and_note());
    assert_eq!(ints(&decoded, 0), [1, -2, 3, 7]);
    assert_eq!(texts(&decoded, 1), [Some("aä"), None, None, Some("")]);
    assert_eq!(
        decoded.notes,
        ["keys left out, since the topic has no such field: more"]
    );
    insta::assert_snapshot!("jsonl_rejects", reasons(&decoded).join("\n"));
}

#[test]
fn text_that_is_not_utf8_is_a_reject() {
    let csv = decoded(Format::Csv, b"id,note\n1,\xff\n2,b\n", id_and_note(), 10);
    assert_eq!(ints(&csv[0], 0), [2]);
    assert_eq!(csv[0].undecoded[0].bytes, b"1,\xff");
    let json = decoded(
        Format::Jsonl,
        b"{\"id\":1,\"note\":\"\xff\"}\n{\"id\":2}\n",
        id_and_note(),
        10,
    );
    assert_eq!(ints(&json[0], 0), [2]);
}

#[test]
fn a_line_without_end_is_one_reject() {
    let long = "x".repeat(lines::LINE_BYTES_MAX + 10);
    for (format, head) in [(Format::Csv, "id,note\n"), (Format::Jsonl, "")] {
        let good = if format == Format::Csv {
            "7,a\n"
        } else {
            "{\"id\":7}\n"
        };
        let text = format!("{head}{long}\n{good}");
        let decoded = one(format, &text, id_and_note());
        assert_eq!(ints(&decoded, 0), [7]);
        assert_eq!(decoded.undecoded[0].bytes.len(), lines::TOO_LONG_BYTES_KEPT);
    }
}

#[test]
fn a_quote_that_never_closes_in_a_long_input_is_one_reject() {
    let mut text = "id,note\n0,\"open\n".to_owned();
    for i in 1..2_000_000 {
        writeln!(text, "{i},abc").unwrap();
    }
    let batches = decoded(Format::Csv, text.as_bytes(), id_and_note(), 100_000);
    let rows: usize = batches.iter().map(|b| b.rows.num_rows()).sum();
    let rejects: usize = batches.iter().map(|b| b.undecoded.len()).sum();
    assert_eq!((rows, rejects), (1_999_999, 1));
}

// ---- properties ----

/// One row of every kind, nullable.
#[derive(Clone, Debug)]
struct Row {
    truth: Option<bool>,
    int: Option<i64>,
    float: Option<f64>,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    time: Option<i64>,
}

fn row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0),
        Just(0.1)
    ];
    let text = prop_oneof![
        "[ -~]{0,12}",
        "[,\"\r\na\u{e4}\u{1F600}]{0,6}",
        any::<String>()
    ];
    let some = |p| prop::option::weighted(0.8, p);
    (
        prop::option::of(any::<bool>()),
        prop::option::of(any::<i64>()),
        prop::option::of(float),
        some(text.boxed()),
        prop::option::of(prop::collection::vec(any::<u8>(), 1..9)),
        prop::option::of(-62_135_596_800_000_000_i64..253_402_300_799_999_999),
    )
        .prop_map(|(truth, int, float, text, bytes, time)| Row {
            truth,
            int,
            float: float.map(|x| if x.is_nan() { f64::NAN } else { x }),
            text,
            bytes,
            time,
        })
}

fn every_kind() -> Vec<Field> {
    [
        ("truth", Kind::Bool),
        ("int", Kind::I64),
        ("float", Kind::F64),
        ("text", Kind::Text),
        ("bytes", Kind::Bytes),
        ("time", Kind::Timestamp),
    ]
    .map(|(name, kind)| Field::new(name, kind).nullable())
    .to_vec()
}

fn arrays(rows: &[Row]) -> Vec<ArrayRef> {
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.time).collect();
    vec![
        Arc::new(rows.iter().map(|r| r.truth).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|r| r.int).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.float).collect::<Float64Array>()),
        Arc::new(
            rows.iter()
                .map(|r| r.text.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(
            rows.iter()
                .map(|r| r.bytes.as_deref())
                .collect::<BinaryArray>(),
        ),
        Arc::new(times.with_timezone("UTC")),
    ]
}

fn batch(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(Schema::new(every_kind()).arrow(), arrays(rows)).unwrap()
}

fn float_text(x: f64) -> String {
    if x.is_nan() {
        "NaN".into()
    } else {
        format!("{x:?}")
    }
}

fn csv_text(rows: &[Row]) -> String {
    let mut text = "truth,int,float,text,bytes,time\n".to_owned();
    for r in rows {
        let quoted = r
            .text
            .as_ref()
            .map(|t| format!("\"{}\"", t.replace('"', "\"\"")));
        let cells = [
            r.truth.map(|b| b.to_string()),
            r.int.map(|n| n.to_string()),
            r.float.map(float_text),
            quoted,
            r.bytes.as_ref().map(|b| base64::encode(b)),
            r.time.map(time::text),
        ];
        text.push_str(&cells.map(Option::unwrap_or_default).join(","));
        text.push('\n');
    }
    text
}

fn json_text(rows: &[Row]) -> String {
    let mut text = String::new();
    for r in rows {
        let float = r.float.map(|x| match x.is_finite() {
            true => format!("{x:?}"),
            false => format!("\"{}\"", float_text(x)),
        });
        let fields = [
            ("time", r.time.map(|t| format!("\"{}\"", time::text(t)))),
            (
                "bytes",
                r.bytes
                    .as_ref()
                    .map(|b| format!("\"{}\"", base64::encode(b))),
            ),
            (
                "text",
                r.text.as_ref().map(|t| serde_json::to_string(t).unwrap()),
            ),
            ("float", float),
            ("int", r.int.map(|n| n.to_string())),
            ("truth", r.truth.map(|b| b.to_string())),
        ];
        let pairs: Vec<String> = fields
            .iter()
            .filter_map(|(name, value)| Some(format!("\"{name}\": {}", value.as_ref()?)))
            .collect();
        writeln!(text, "{{{}}}", pairs.join(", ")).unwrap();
    }
    text
}

fn all_rows(batches: &[Decoded]) -> RecordBatch {
    let schema = Schema::new(every_kind()).arrow();
    arrow_select::concat::concat_batches(&schema, batches.iter().map(|b| &b.rows)).unwrap()
}

/// Equal rows, floats by their bits.
fn assert_same(found: &RecordBatch, wanted: &RecordBatch) {
    for (found, wanted) in found.columns().iter().zip(wanted.columns()) {
        if wanted.data_type() == &arrow_schema::DataType::Float64 {
            let bits = |a: &ArrayRef| -> Vec<Option<u64>> {
                a.as_primitive::<Float64Type>()
                    .iter()
                    .map(|x| x.map(f64::to_bits))
                    .collect()
            };
            assert_eq!(bits(found), bits(wanted));
        } else {
            assert_eq!(found, wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_written_are_the_rows_read(rows in prop::collection::vec(row(), 1..20), rows_max in 1_usize..9) {
        let wanted = batch(&rows);
        for (format, text) in [(Format::Csv, csv_text(&rows)), (Format::Jsonl, json_text(&rows))] {
            let batches = decoded(format, text.as_bytes(), every_kind(), rows_max);
            let rejects: Vec<String> = batches.iter().flat_map(reasons).collect();
            prop_assert_eq!(rejects, Vec::<String>::new(), "{}", text);
            assert_same(&all_rows(&batches), &wanted);
            let numbers: Vec<u64> = batches.iter().flat_map(|b| b.row_numbers.clone()).collect();
            prop_assert_eq!(numbers, (1..=rows.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn parquet_written_is_parquet_read(rows in prop::collection::vec(row(), 1..20), rows_max in 1_usize..9) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let wanted = batch(&rows);
        write_parquet(&path, &wanted);
        let mut decoder = decode_file(Format::Parquet, &path, options(every_kind())).unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = decoder.next(rows_max).unwrap() {
            batches.push(batch);
        }
        assert_same(&all_rows(&batches), &wanted);
    }

    #[test]
    fn broken_text_never_panics_and_loses_no_row(bytes in prop::collection::vec(prop_oneof![
        Just(b'\n'), Just(b'"'), Just(b','), Just(b'{'), Just(b'}'), Just(b':'), Just(b'\r'), Just(b'1'), any::<u8>()
    ], 0..200)) {
        for format in [Format::Csv, Format::Jsonl] {
            let mut text = if format == Format::Csv { b"id,note\n".to_vec() } else { Vec::new() };
            text.extend_from_slice(&bytes);
            let batches = decoded(format, &text, id_and_note(), 3);
            let mut numbers: Vec<u64> = batches.iter().flat_map(|b| {
                b.row_numbers.iter().copied().chain(b.undecoded.iter().map(|u| u.row))
            }).collect();
            numbers.sort_unstable();
            let count = numbers.len() as u64;
            prop_assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn write_parquet(path: &Path, rows: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_takes_what_fits_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let narrow: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![Some(1), None, Some(3)]));
    let huge: ArrayRef = Arc::new(arrow_array::UInt64Array::from(vec![1, 2, u64::MAX]));
    let single: ArrayRef = Arc::new(arrow_array::Float32Array::from(vec![0.5, 1.5, 2.5]));
    let nanos: ArrayRef = Arc::new(arrow_array::TimestampNanosecondArray::from(vec![
        1000, 2000, 3000,
    ]));
    let day: ArrayRef = Arc::new(arrow_array::Date32Array::from(vec![0, 1, 2]));
    let columns = [
        ("narrow", narrow),
        ("huge", huge),
        ("single", single),
        ("nanos", nanos),
        ("day", day),
    ];
    write_parquet(&path, &RecordBatch::try_from_iter(columns).unwrap());
    let fields = vec![
        Field::new("day", Kind::Timestamp),
        Field::new("narrow", Kind::I64),
        Field::new("huge", Kind::I64),
        Field::new("single", Kind::F64),
        Field::new("nanos", Kind::Timestamp),
    ];
    let mut decoder = decode_file(Format::Parquet, &path, options(fields)).unwrap();
    let decoded = decoder.next(10).unwrap().unwrap();
    assert_eq!(ints(&decoded, 1), [1]);
    assert_eq!(decoded.row_numbers, [1]);
    insta::assert_snapshot!("parquet_rejects", reasons(&decoded).join("\n"));
    let fields = vec![Field::new("single", Kind::I64)];
    let refused = decode_file(Format::Parquet, &path, options(fields))
        .err()
        .unwrap();
    insta::assert_snapshot!(
        "parquet_refused",
        refused
            .to_string()
            .replace(&path.display().to_string(), "PATH")
    );
}

/// Rows per second of each format: `cargo nextest run --release --workspace --run-ignored only -E 'test(speed)' --no-capture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a duration for people")]
fn speed() {
    let fields = || {
        vec![
            Field::new("at", Kind::Timestamp),
            Field::new("content_id", Kind::I64),
            Field::new("user_id", Kind::I64),
            Field::new("kind", Kind::Text),
            Field::new("watch_ms", Kind::I64),
        ]
    };
    const ROWS: i64 = 2_000_000;
    let mut csv = "at,content_id,user_id,kind,watch_ms\n".to_owned();
    let mut json = String::new();
    for i in 0..ROWS {
        let (at, content, user, watch) = (
            1_700_000_000_000 + i / 100,
            i * 7919 % 10_000,
            i * 104_729 % 1_000_000,
            i % 60_000,
        );
        let kind = ["view", "like", "complete"][usize::try_from(i % 3).unwrap()];
        writeln!(csv, "{at},{content},{user},{kind},{watch}").unwrap();
        writeln!(json, "{{\"at\":{at},\"content_id\":{content},\"user_id\":{user},\"kind\":\"{kind}\",\"watch_ms\":{watch}}}").unwrap();
    }
    for (format, text) in [(Format::Csv, csv), (Format::Jsonl, json)] {
        let reader = Box::new(Cursor::new(text.into_bytes()));
        let mut decoder = decode_stream(format, reader, options(fields())).unwrap();
        let start = std::time::Instant::now();
        let mut rows = 0;
        while let Some(batch) = decoder.next(16_384).unwrap() {
            rows += batch.rows.num_rows();
        }
        let ns = start.elapsed().as_secs_f64() * 1e9 / rows as f64;
        println!("{format:?}: {ns:.0} ns a row, {:.2} M rows/s", 1000.0 / ns);
    }
}
