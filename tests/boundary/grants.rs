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
