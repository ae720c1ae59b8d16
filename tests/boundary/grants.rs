//! Imports: refused until a node grants them, and without a voice in any result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use refrain_plugin::build::default_cache;
use refrain_tests::{EVENTS, Home, component, events_csv, repository};

fn pipeline(more: &str) -> String {
    format!(
        "{EVENTS}2\n\n[node.engagement]\nplugin = \"engagement\"\ninput = \"events\"\nkey = [\"content_id\"]\n\
         window = {{ tumbling = \"1m\", lateness = \"10s\" }}\nview = \"engagement\"\n{more}\n"
    )
}

#[test]
fn an_import_is_refused_until_its_node_grants_it() {
    let home = Home::new(&pipeline(""));
    let component = wat::parse_bytes(&crate::guest("load/unknown_import.wat"))
        .unwrap()
        .into_owned();
    home.write("plugins/engagement.wasm", component);
    let wasm = "imports wasi:clocks/monotonic-clock@0.2.0";
    let said = home.refrain(&["check"]).code(2).err.replace("\n  │ ", " ");
    assert!(
        said.contains(wasm) && said.contains("grants = [\"clocks\"]"),
        "{said}"
    );
    // Another grant is not enough; with the right one it is found that it is no plugin.
    for (grants, gets_on) in [
        ("[\"random\"]", false),
        ("[\"clocks\"]", true),
        ("[\"wasi\"]", true),
    ] {
        home.write("refrain.toml", pipeline(&format!("grants = {grants}")));
        let said = home.refrain(&["check"]).code(2).err.replace("\n  │ ", " ");
        assert_eq!(said.contains("without the function"), gets_on, "{said}");
        assert_eq!(said.contains(wasm), !gets_on, "{said}");
    }
    home.write("refrain.toml", pipeline("grants = [\"clock\"]"));
    let said = home.refrain(&["check"]).code(2);
    said.says(&[
        "bad-grant",
        "`clock` cannot be granted",
        "logging, clocks, random",
    ]);
}

fn numbers(more: &str) -> String {
    format!(
        "[topic.numbers]\nschema = {{ n = \"i64\" }}\n\n[node.curious]\nplugin = \"curious\"\ninput = \"numbers\"\n\
         topic = \"told\"\n{more}\n"
    )
}

/// A home whose node `curious` runs that component, with 20 rows in its topic.
fn curious(name: &str, more: &str) -> Home {
    let home = Home::new(&numbers(more));
    home.write("plugins/curious.wasm", crate::curious::bytes(name));
    let lines: String = (0..20).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    home.write("numbers.jsonl", lines);
    home
}

/// Rows of what it wrote, and how the run went.
fn told(home: &Home, live: bool) -> (Option<i32>, String, String) {
    let (code, err) = if live {
        let host = home.start();
        home.append("numbers", "numbers.jsonl", "p").ok();
        home.wait_until_taken();
        (host.stop(), String::new())
    } else {
        home.append("numbers", "numbers.jsonl", "p").ok();
        let done = home.run();
        (done.code, done.err)
    };
    (code, home.topic_text("told"), err)
}

/// Who asks what, the grants that it needs, and as pipeline files write them.
const ANSWERED: &[(&str, &str)] = &[
    ("clock", "\"clocks\""),
    ("wall-clock", "\"clocks\""),
    ("random", "\"random\""),
    ("preopens", "\"filesystem\""),
    ("stderr", "\"cli\", \"io\""),
    ("logging", "\"logging\""),
];

/// What is asked of these is refused when it is asked, with these words.
const REFUSED: &[(&str, &str, &str)] = &[
    ("tcp", "\"sockets\"", "it asked for the network"),
    ("exit", "\"cli\"", "it ended itself (exit)"),
];

#[test]
fn each_import_is_refused_with_the_line_to_write() {
    let all = ANSWERED.iter().copied();
    for (name, grants) in all.chain(REFUSED.iter().map(|(name, grants, _)| (*name, *grants))) {
        let home = curious(name, "");
        let said = home.refrain(&["check"]).code(2).err.replace("\n  │ ", " ");
        assert!(
            said.contains(&format!("grants = [{grants}]")),
            "{name}: {said}"
        );
        home.write("refrain.toml", numbers(&format!("grants = [{grants}]")));
        home.refrain(&["check"]).ok();
        let inspect = ["plugin", "inspect", "curious", "--output", "json"];
        let imports = home.refrain(&inspect).ok().json()["imports"].to_string();
        assert!(
            imports.contains("answers are constants") && imports.contains("grants ="),
            "{imports}"
        );
    }
}

/// Answers from outside are constants: not how many rows a call has, nor when they come, nor which instance it is shows.
#[test]
fn what_is_granted_is_the_same_for_every_way_to_run() {
    for (name, grants) in ANSWERED {
        let run = |rows: u32, live: bool| {
            let home = curious(name, &format!("grants = [{grants}]\ncall_rows = {rows}"));
            let (code, rows, _) = told(&home, live);
            assert_eq!(code, Some(0), "{name}");
            assert_eq!(home.rows("told"), 20, "{name}");
            rows
        };
        let wanted = run(1, false);
        for (rows, live) in [(7, false), (4096, false), (4096, true), (1, true)] {
            assert_eq!(
                run(rows, live),
                wanted,
                "{name}, {rows} rows a call, live {live}"
            );
        }
        curious(name, "")
            .refrain(&["plugin", "test", "--conformance", "curious"])
            .ok();
    }
}

/// Files, the network and the end of the process are not had even with a grant: the row that asks is a row that traps.
#[test]
fn what_no_plugin_gets_is_refused_when_it_is_asked_for() {
    for (name, grants, words) in REFUSED {
        let home = curious(name, &format!("grants = [{grants}]"));
        let (code, rows, err) = told(&home, false);
        assert_eq!(
            (code, home.rows("told")),
            (Some(0), 0),
            "{name}: {rows} {err}"
        );
        let rejected = home.topic_text("curious.rejected");
        assert!(rejected.contains(words), "{name}: {rejected}");
    }
    // There is no folder, and so no handle of one to open a file with: a made-up one is a fault of the plugin.
    let home = curious("open-at", "grants = [\"filesystem\"]");
    let (code, _, err) = told(&home, false);
    assert_eq!((code, home.rows("told")), (Some(4), 0), "{err}");
    assert!(err.contains("unknown handle"), "{err}");
}

/// A line of the log with the plugin's name; last words with the fault, and not in a topic.
#[test]
fn what_a_plugin_says_is_told_and_changes_nothing() {
    let home = curious("logging", "grants = [\"logging\"]");
    let (_, _, err) = told(&home, false);
    assert!(err.contains("told") && err.contains("curious"), "{err}");
    let falls = curious("falls", "grants = [\"logging\"]\non_trap = \"fail\"");
    let (code, _, err) = told(&falls, false);
    assert_eq!(code, Some(4));
    assert!(err.contains("it said: told"), "{err}");
    let falls = curious("falls", "grants = [\"logging\"]");
    told(&falls, false);
    assert_eq!(falls.rows("curious.rejected"), 20);
    let rejected = falls.topic_text("curious.rejected");
    assert!(!rejected.contains("told"), "{rejected}");
}

/// A component of JavaScript that imports WASI, as its compiler makes it.
fn with_wasi(folder: &Path, source: &str) -> Vec<u8> {
    let tool = fs::read_dir(default_cache().join("tools")).unwrap();
    let tool = tool.map(|entry| entry.unwrap().path());
    let mut tool = tool.filter(|path| path.display().to_string().contains("componentize-qjs"));
    let tool = tool
        .next()
        .expect("`refrain plugin build` has fetched the compiler");
    let copy = |from: &str, to: &str| {
        let folder = folder.join(to);
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(repository().join(from)).unwrap() {
            let file: PathBuf = file.unwrap().path();
            if file.is_file() {
                fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
    };
    copy("plugin-sdk/javascript", ".sdk/javascript");
    copy("wit", ".sdk/wit");
    fs::create_dir_all(folder.join("plugin")).unwrap();
    fs::write(folder.join("plugin/plugin.js"), source).unwrap();
    let out = folder.join("plugin.wasm");
    let made = Command::new(tool.join("node_modules/.bin/componentize-qjs"))
        .current_dir(folder)
        .args([
            "--wit",
            ".sdk/wit",
            "-n",
            "fold-plugin",
            "--sync",
            "--opt-size",
        ])
        .args(["--js", "plugin/plugin.js", "--module-root", ".", "-o"])
        .arg(&out)
        .status();
    assert!(made.unwrap().success());
    fs::read(out).unwrap()
}

fn digest(bytes: &[u8], more: &str, live: bool) -> String {
    let home = Home::new(&pipeline(more));
    home.write("plugins/engagement.wasm", bytes);
    home.write("events.csv", events_csv(5, 4_000));
    if live {
        let host = home.start();
        home.append("events", "events.csv", "p").ok();
        home.wait_until_taken();
        assert_eq!(host.stop(), Some(0));
    } else {
        home.append("events", "events.csv", "p").ok();
        home.run().ok();
    }
    home.digest("engagement")
}

#[test]
#[ignore = "needs the compiler of JavaScript"]
fn a_component_with_wasi_comes_to_one_result_however_it_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let source = repository().join("plugin-sdk/javascript/engagement/plugin.js");
    let source = fs::read_to_string(source).unwrap();
    let plain = with_wasi(folder.path(), &source);
    let wanted = digest(&fs::read(component("engagement")).unwrap(), "", false);
    assert_eq!(digest(&plain, "grants = [\"wasi\"]", false), wanted);
    // One that looks at the clock for each row.
    let sum = "totals.watch_ms += event.watch_ms;";
    assert!(source.contains(sum), "{source}");
    let clock = format!("{sum} totals.watch_ms += 1 + Date.now();");
    let chance = source.replace(sum, &clock);
    let chancy = with_wasi(folder.path(), &chance);
    let runs: Vec<String> = [1, 7, 4096]
        .iter()
        .flat_map(|rows| {
            let more = format!("grants = [\"wasi\"]\ncall_rows = {rows}");
            [digest(&chancy, &more, false), digest(&chancy, &more, true)]
        })
        .collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
}
