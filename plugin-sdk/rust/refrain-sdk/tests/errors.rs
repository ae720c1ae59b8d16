//! What the compiler says of common mistakes: the sentence that the SDK has for each, through `rustc` as it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What every plugin begins with.
const HEAD: &str = "#![allow(dead_code)]\nuse refrain_sdk::prelude::*;\n#[state] #[derive(Default)] struct Totals { rows: i64 }\n\
                    #[derive(Row)] struct Shown { rows: i64 }\n#[derive(Row)] struct Event { rows: i64 }\n";

/// A fold that is right, but for what is put in the place of its parts.
fn fold(about: &str, input: &str, state: &str, output: &str) -> String {
    format!(
        "{about} struct Counts;\nimpl Fold for Counts {{ type Input<'a> = {input}; type State = {state}; type Output = {output};\n\
         fn update(&self, _: &mut {state}, _: {input}) {{}}\nfn evaluate(&self, _: &{state}) -> Option<{output}> {{ None }} }}\n"
    )
}

/// A process that is right.
const PROCESS: &str = "#[derive(Plugin)] struct Counts;\n#[derive(Inputs)] enum Came { Events(Event) }\nimpl Process for Counts {\n\
                       type Input<'a> = Came; type State = Totals; type Output = Shown;\n\
                       fn process(&self, _: &mut Totals, _: Came, _: &mut Context<Shown>) {} }\n";

fn good() -> String {
    fold("#[derive(Plugin)]", "Event", "Totals", "Shown")
}

/// The folder with what this test was linked from.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_path_buf()
}

/// The newest build of the SDK as a library, which is the one that this test stands on.
fn library() -> PathBuf {
    let entries = std::fs::read_dir(built()).unwrap().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("librefrain_sdk-") && name.ends_with(".rlib")
    });
    let changed = |path: &PathBuf| -> SystemTime { path.metadata().unwrap().modified().unwrap() };
    files
        .max_by_key(changed)
        .expect("the SDK was built before its test")
}

/// What the compiler says; nothing: it takes it.
fn said(folder: &Path, source: &str) -> String {
    let file = folder.join("plugin.rs");
    std::fs::write(&file, format!("{HEAD}{source}")).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let done = Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .args(["--crate-name", "plugin", "--out-dir"])
        .arg(folder)
        .arg(format!("-Ldependency={}", built().display()))
        .arg(format!("--extern=refrain_sdk={}", library().display()))
        .arg(&file)
        .env("CARGO_PKG_NAME", "plugin")
        .env("CARGO_PKG_VERSION", "0.1.0")
        .output()
        .unwrap();
    match done.status.success() {
        true => String::new(),
        false => String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let folder = std::env::temp_dir().join(format!("refrain-errors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let right = good() + "export_fold!(Counts);";
    assert_eq!(said(&folder, &right), "", "what is right compiles");
    let right = PROCESS.to_owned() + "export_process!(Counts);";
    assert_eq!(said(&folder, &right), "", "what is right compiles");
    let cases: Vec<(String, &[&str])> = vec![
        (
            "#[derive(Plugin)] struct Counts;\nexport_fold!(Counts);".into(),
            &["`Counts` is not a fold", "needs `impl Fold for Counts`"],
        ),
        (
            fold("", "Event", "Totals", "Shown") + "export_fold!(Counts);",
            &["`Counts` is not a plugin", "put #[derive(Plugin)] on it"],
        ),
        (
            "struct Bare { rows: i64 }\n".to_owned()
                + &fold("#[derive(Plugin)]", "Bare", "Totals", "Shown"),
            &["`Bare` is not a row", "put #[derive(Row)] on a struct"],
        ),
        (
            "struct Bare { rows: i64 }\n".to_owned()
                + &fold("#[derive(Plugin)]", "Event", "Bare", "Shown"),
            &[
                "`Bare` cannot be the state of a plugin",
                "put #[state] and #[derive(Default)] on it",
            ],
        ),
        (
            "#[derive(Row)] struct Odd { n: u32 }".into(),
            &["`u32` has no column, use i64"],
        ),
        (
            "#[derive(Row)] struct Odd { n: std::net::IpAddr }".into(),
            &[
                "`IpAddr` cannot be a field of a row",
                "a field is one of: bool, i64, f64",
            ],
        ),
        (
            "#[derive(Plugin)] struct Odd { #[setting(default = \"::1\")] n: std::net::IpAddr }"
                .into(),
            &[
                "`IpAddr` cannot be an option of a plugin",
                "an option is one of",
            ],
        ),
        (
            good() + "export_fold!(Counts, merge);",
            &[
                "`Counts` cannot join two states",
                "it cannot have session windows",
            ],
        ),
        (
            good() + "export_fold!(Counts, migrate);",
            &["`Counts` cannot take over states of an older version"],
        ),
        (
            good() + "export_fold!(Counts, keys);",
            &[
                "`Counts` does not say what its key is",
                "needs `impl Keyed for Counts`",
            ],
        ),
        (
            good() + "export_transform!(Counts);",
            &[
                "`Counts` is not a transform",
                "a plugin with state is exported with export_fold!",
            ],
        ),
        (
            good() + "export_process!(Counts);",
            &["`Counts` is not a process", "a plugin with one input"],
        ),
        (
            PROCESS.to_owned() + "export_process!(Counts, migrate);",
            &[
                "`Counts` cannot take over states of an older version",
                "needs `impl MigrateProcess for Counts`",
            ],
        ),
    ];
    for (source, wanted) in cases {
        let said = said(&folder, &source);
        for part in wanted {
            assert!(
                said.contains(part),
                "{part:?} is not said of\n{source}\nbut\n{said}"
            );
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
