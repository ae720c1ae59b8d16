//! One process plugin in Python, JavaScript and TypeScript: row by row and to the digest what the same gives in Rust, at once
//! and while rows come in; what is made by `plugin new` passes its fixture; what is said is heard where a voice is, and what
//! falls says where. All where the compilers are (`--run-ignored`, as .ci/full does).

use std::path::Path;

use refrain_plugin::build::{Language, build_plugin, default_cache};
use refrain_tests::{Done, Home, component, repository};

use crate::joins::rows::{Row, append, parts, rows};

const LANGUAGES: [Language; 3] = [Language::Python, Language::JavaScript, Language::TypeScript];
const ROWS: usize = 2_500;

/// Sales with the price of their time: facts in a topic, and the last one of each product in a view.
fn home(component: &[u8], call_rows: usize) -> Home {
    let home = Home::new(&format!(
        r#"
[topic.sales]
schema = {{ at = "timestamp(ms)", product = "i64", sale_id = "i64", pieces = "i64" }}
time = "at"
key = ["product"]
disorder = "5s"
partitions = 2

[topic.prices]
schema = {{ at = "timestamp(ms)", product = "i64", cents = "i64?" }}
time = "at"
key = ["product"]
disorder = "5s"
partitions = 2

[node.priced]
plugin = "priced"
input = {{ sales = "sales", prices = "prices" }}
key = ["product"]
topic = "priced"
call_rows = {call_rows}

[node.last]
plugin = "priced"
input = {{ sales = "sales", prices = "prices" }}
key = ["product"]
view = "last"
call_rows = {call_rows}

[run]
commit_interval = "20ms"
"#
    ));
    home.write("plugins/priced.wasm", component);
    home
}

/// The view's digest, the topic, and the rows that were refused with their reasons.
fn outcome(home: &Home) -> [String; 3] {
    let (given, refused) = (
        home.topic_text("priced"),
        home.topic_text("priced.rejected"),
    );
    [home.digest("last"), given, refused]
}

fn once(component: &[u8], call_rows: usize, rows: &[Row]) -> [String; 3] {
    let home = home(component, call_rows);
    append(&home, "all", rows);
    home.run().ok();
    outcome(&home)
}

/// A host that runs while the same rows come in four parts.
fn continuous(component: &[u8], rows: &[Row]) -> [String; 3] {
    let home = home(component, 4096);
    let running = home.start();
    for (i, part) in parts(rows, 4).into_iter().enumerate() {
        append(&home, &format!("part{i}"), part);
    }
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    outcome(&home)
}

fn built(language: Language, folder: &Path) -> std::path::PathBuf {
    let package = repository().join(format!("plugin-sdk/{}/priced", language.name()));
    let out = folder.join(format!("{}.wasm", language.name()));
    let say = &mut |line: &str| println!("{line}");
    build_plugin(&package, &out, &default_cache(), say).unwrap()
}

#[test]
#[ignore = "needs the compilers of Python, JavaScript and TypeScript"]
fn a_process_in_any_script_gives_what_rust_gives() {
    let mut rows = rows(23, ROWS);
    rows.retain(|row| ["sales", "prices"].contains(&row.topic));
    let rust = std::fs::read(component("priced")).unwrap();
    let wanted = once(&rust, 4096, &rows);
    let [_, given, refused] = &wanted;
    assert!(given.lines().count() > 100 && refused.lines().count() > 20);
    for reason in ["behind the watermark", "newer is in force"] {
        assert!(refused.contains(reason), "{refused}");
    }
    let folder = tempfile::tempdir().unwrap();
    for language in LANGUAGES {
        let script = std::fs::read(built(language, folder.path())).unwrap();
        let name = language.name();
        assert_eq!(once(&script, 4096, &rows), wanted, "{name}, at once");
        assert_eq!(once(&script, 1, &rows), wanted, "{name}, one row a call");
        let live = continuous(&script, &rows);
        assert_eq!(live, wanted, "{name}, while rows come in");
    }
}

#[test]
#[ignore = "needs the compilers of Python, JavaScript and TypeScript"]
fn the_processes_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    for language in LANGUAGES {
        let file = built(language, folder.path()).display().to_string();
        let home = Home::new("");
        home.refrain(&["plugin", "test", "--conformance", &file])
            .ok();
    }
}

#[test]
#[ignore = "needs the compilers of Python, JavaScript and TypeScript"]
fn a_new_process_in_any_script_passes_its_fixture() {
    let home = Home::new("");
    for language in LANGUAGES.map(Language::name) {
        let new = ["plugin", "new", language, "--kind", "process"];
        home.refrain(&[&new[..], &["--language", language]].concat())
            .ok();
        let done = home.refrain(&["plugin", "test", language]).ok();
        done.says(&[&format!("{language}/first: passed")]);
        home.refrain(&["plugin", "test", "--conformance", language])
            .ok();
    }
}

/// Functions of a plugin can be tested without Wasm.
#[test]
#[ignore = "needs Python"]
fn the_examples_in_python_pass_their_native_tests() {
    for example in ["engagement", "priced"] {
        let tested = std::process::Command::new("python3")
            .args(["-m", "unittest"])
            .current_dir(repository().join("plugin-sdk/python").join(example))
            .env("PYTHONPATH", "..:.")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&tested.stderr);
        assert!(tested.status.success() && said.contains("OK"), "{said}");
    }
}

/// Names by place, as they are called and taken back; no times. Other than the examples: one input, a view's key, rows deleted.
const PLACES: [(&str, &str); 2] = [
    (
        "python",
        r#"
from refrain import Reject, Timestamp, dataclass, export_process


@dataclass
class Call:
    place: int
    name: str | None
    blob: bytes
    at: Timestamp


class Places:
    inputs = {"calls": Call}
    timed = False
    view_key = ["place"]

    @dataclass
    class State:
        calls: int = 0

    @dataclass
    class Output:
        place: int
        name: str
        blob: bytes
        at: Timestamp
        calls: int

    @staticmethod
    def check_calls(kept, call, now):
        if kept.calls == 3:
            raise Reject("three calls are enough")

    @staticmethod
    def process_calls(kept, call, context):
        kept.calls += 1
        if call.name is None:
            kept.calls = 0
            context.delete(Places.Output(call.place, "", b"", 0, 0))
        else:
            context.emit(Places.Output(call.place, call.name, call.blob + b"!", call.at, kept.calls))


About, Process = export_process(Places, "places")
"#,
    ),
    (
        "javascript",
        r#"
import { exportProcess, Reject } from "../.sdk/javascript/refrain.js";

export const { about, process } = exportProcess({
  name: "places",
  inputs: { calls: { place: "i64", name: "text?", blob: "bytes", at: "timestamp" } },
  outputs: { place: "i64", name: "text", blob: "bytes", at: "timestamp", calls: "i64" },
  timed: false,
  viewKey: ["place"],
  state: () => ({ calls: 0 }),
  check: {
    calls(kept) {
      if (kept.calls === 3) throw new Reject("three calls are enough");
    },
  },
  process: {
    calls(kept, { place, name, blob, at }, context) {
      kept.calls++;
      if (name === null) {
        kept.calls = 0;
        context.delete({ place });
      } else context.emit({ place, name, blob: [...blob, 33], at, calls: kept.calls });
    },
  },
});
"#,
    ),
];

#[test]
#[ignore = "needs the compilers of Python, JavaScript and TypeScript"]
fn keys_of_a_view_and_rows_taken_back_cross() {
    let home = Home::new("");
    for (language, source) in PLACES {
        let new = ["plugin", "new", language, "--kind", "process"];
        home.refrain(&[&new[..], &["--language", language]].concat())
            .ok();
        let file = language.parse::<Language>().unwrap().source();
        home.write(&format!("plugins/{language}/{file}"), source);
        let case = format!("plugins/{language}/fixtures/first");
        let inputs = r#"{ "inputs": { "calls": { "key": ["hall"] } } }"#;
        home.write(&format!("{case}/fixture.json"), inputs);
        let row = |place: i64, name: &str| {
            format!(
                "{{\"@input\": \"calls\", \"hall\": \"a\", \"place\": {place}, \"name\": {name}, \"blob\": \"AP8=\", \"at\": \"1969-12-31T23:59:59.999999Z\"}}\n"
            )
        };
        let rows = [
            row(1, "\"日本\""),
            row(2, "\"\""),
            row(1, "null"),
            row(1, "\"b\""),
            row(1, "\"c\""),
            row(3, "\"d\""),
            row(3, "\"e\""),
        ];
        home.write(&format!("{case}/input.jsonl"), rows.concat());
        let out = |place: i64, name: &str, calls: i64| {
            format!(
                "{{\"hall\": \"a\", \"place\": {place}, \"name\": \"{name}\", \"blob\": \"AP8h\", \"at\": \"1969-12-31T23:59:59.999999Z\", \"calls\": {calls}}}\n"
            )
        };
        let gone = "{\"@deleted\": true, \"hall\": \"a\", \"place\": 1}\n".to_owned();
        let refused = "{\"@rejected\": 7, \"reason\": \"three calls are enough\"}\n".to_owned();
        let expected = [
            out(1, "日本", 1),
            out(2, "", 2),
            gone,
            out(1, "b", 1),
            out(1, "c", 2),
            out(3, "d", 3),
            refused,
        ];
        home.write(&format!("{case}/expected.jsonl"), expected.concat());
        test(&home, language).ok();
        home.refrain(&["plugin", "test", "--conformance", language])
            .ok();
    }
}

/// What an author puts into a plugin that was just made: in the place of `fine`, lines that say something and lines that fall.
struct Fall {
    language: &'static str,
    kind: &'static str,
    fine: &'static str,
    says: &'static str,
    falls: &'static str,
    words: &'static str,
}

const FALLS: [Fall; 4] = [
    Fall {
        language: "python",
        kind: "process",
        fine: "        open.order_id = order.order_id\n",
        says: "        print(\"taken\", order.order_id, file=__import__(\"sys\").stderr)\n        print(\"quietly\")\n",
        falls: "        assert order.order_id != 2, \"not this one\"\n",
        words: "plugin.py:LINE: AssertionError: not this one",
    },
    Fall {
        language: "javascript",
        kind: "fold",
        fine: "    totals.rows++;\n",
        says: "    console.warn(\"taken\", event.value);\n    console.log({ quietly: true });\n",
        falls: "    if (event.value < 0) throw new Error(`a value of ${event.value}`);\n",
        words: "plugin.js:LINE:",
    },
    Fall {
        language: "typescript",
        kind: "fold",
        fine: "    totals.rows++;\n",
        says: "    console.warn(\"taken\", event.value);\n    console.log({ quietly: true });\n",
        falls: "    if (event.value < 0) throw new Error(`a value of ${event.value}`);\n",
        words: "plugin.ts:LINE:",
    },
    Fall {
        language: "typescript",
        kind: "process",
        fine: "      open.orderId = order.order_id;\n",
        says: "      console.warn(\"taken\", order.order_id);\n      console.log({ quietly: true });\n",
        falls: "      if (order.order_id === 2) throw new TypeError(\"not this one\");\n",
        words: "plugin.ts:LINE:",
    },
];

fn test(home: &Home, name: &str) -> Done {
    home.refrain(&["plugin", "test", name])
}

#[test]
#[ignore = "needs the compilers of Python, JavaScript and TypeScript"]
fn what_a_script_says_is_heard_and_what_falls_says_where() {
    let home = Home::new("");
    for fall in FALLS {
        let Fall { language, kind, .. } = fall;
        let name = format!("{language}_{kind}");
        let new = ["plugin", "new", &name, "--kind", kind];
        home.refrain(&[&new[..], &["--language", language]].concat())
            .ok();
        let language: Language = language.parse().unwrap();
        let path = format!("plugins/{name}/{}", language.source());
        let text = std::fs::read_to_string(home.path(&path)).unwrap();
        let with = |lines: &str| {
            assert!(text.contains(fall.fine), "{text}");
            text.replace(fall.fine, &[lines, fall.fine].concat())
        };

        // Without a voice what is said goes nowhere, and does no harm.
        home.write(&path, with(fall.says));
        test(&home, &name).ok();

        let falling = with(&[fall.says, fall.falls].concat());
        let line = falling
            .lines()
            .position(|line| line == fall.falls.trim_end());
        let words = fall.words.replace("LINE", &(line.unwrap() + 1).to_string());
        home.write(&path, falling);
        let function = if kind == "fold" {
            "fold.update"
        } else {
            "process.process"
        };
        let done = test(&home, &name).code(2);
        done.says(&[function, "it said: ", &words, "taken", "plugin=\""]);
        let inspect = ["plugin", "inspect", &name, "--output", "json"];
        let imports = |home: &Home| home.refrain(&inspect).ok().json()["imports"].to_string();
        assert!(imports(&home).contains("no function imports"), "{name}");
        home.refrain(&["plugin", "build", &name, "--talk"]).ok();
        let grants = "grants = [\\\"logging\\\"]";
        assert!(
            imports(&home).contains(grants),
            "{name}: {}",
            imports(&home)
        );
    }
}

/// What is wrong before the first call is said by the build, with its line.
#[test]
#[ignore = "needs the compilers of Python, JavaScript and TypeScript"]
fn a_script_that_falls_while_it_is_built_says_where() {
    let home = Home::new("");
    for (language, ends, said) in [
        ("python", "nothing.at_all", "NameError"),
        ("javascript", "nothing.atAll;", "nothing is not defined"),
        ("typescript", "nothing.atAll;", "Cannot find name 'nothing'"),
    ] {
        home.refrain(&["plugin", "new", language, "--language", language])
            .ok();
        let source = language.parse::<Language>().unwrap().source();
        let path = format!("plugins/{language}/{source}");
        let text = std::fs::read_to_string(home.path(&path)).unwrap();
        let line = text.lines().count() + 1;
        home.write(&path, format!("{text}{ends}\n"));
        let done = home.refrain(&["plugin", "build", language]).code(2);
        let place = match language {
            "python" => format!("plugin.py\", line {line}"),
            "javascript" => format!("plugin.js:{line}"),
            _ => format!("plugin.ts({line},"),
        };
        done.says(&[said, &place, "does not compile"]);
    }
}
