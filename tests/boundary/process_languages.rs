//! One process plugin in several languages: the same view, topics and refusals over the same log, at once and while rows come
//! in, whatever the calls and workers, and across restarts. Rust, C and Zig always; the others where their compilers are.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use refrain_plugin::build::{Language, build_plugin, default_cache, examine};
use refrain_tests::{Home, Luck, component, program, repository};

/// Languages in which `settled` is written, and those whose components are committed.
const WRITTEN: &[Language] = &[
    Language::Rust,
    Language::C,
    Language::Zig,
    Language::Go,
    Language::AssemblyScript,
];
const COMMITTED: &[Language] = &[Language::C, Language::Zig];

/// Small ones, so that no input is far ahead of the other.
const FILES: usize = 24;
const ROWS: usize = 50;
const TOPICS: [&str; 3] = ["events", "settled.rejected", "events.rejected"];

/// How a project runs.
#[derive(Clone, Copy, Debug)]
struct Way {
    call_rows: usize,
    workers: &'static str,
    rhythm: &'static str,
    store: &'static str,
}

const ONE_BY_ONE: Way = Way {
    call_rows: 1,
    workers: "1",
    rhythm: "once",
    store: "memory",
};

fn pipeline(way: Way) -> String {
    let Way {
        call_rows,
        rhythm,
        store,
        ..
    } = way;
    let node = |name: &str, more: &str| {
        format!(
            r#"
[node.{name}]
plugin = "settled"
input = {{ orders = "orders", payments = "payments" }}
key = ["customer"]
timer_step = "2s"
call_rows = {call_rows}
rhythm = "{rhythm}"
{more}
"#
        )
    };
    format!(
        r#"
[topic.orders]
schema = {{ at = "timestamp(ms)", customer = "text", order_id = "i64", cents = "i64?" }}
time = "at"
key = ["customer"]
partitions = 2
disorder = "3s"

[topic.payments]
schema = {{ at = "timestamp(ms)", customer = "text", order_id = "i64", cents = "i64", method = "text?" }}
time = "at"
key = ["customer"]
partitions = 2
disorder = "1s"
{}{}
[state]
store = "{store}"

[run]
commit_interval = "5ms"
"#,
        node(
            "settled",
            "options = { patience = \"4s\", renew = true }\nview = \"settled\""
        ),
        node(
            "events",
            "options = { patience = \"2500ms\" }\ntopic = \"events\""
        ),
    )
}

/// Orders and payments by turns, in files: some late, some refused, prices that are unknown or nothing, words of many kinds.
fn write_rows(home: &Home) {
    let mut luck = Luck::of(43);
    let mut now_ms = 1_700_000_000_000_i64;
    let customers = ["anna", "büro", "日本", "", "🂡", "o'neil", "a\\u0000b", "z"];
    let methods = ["null", "\"\"", "\"card\"", "\"ñ cash 🂡\"", "\"\\u0000\""];
    for file in 0..FILES {
        let (mut orders, mut payments) = (String::new(), String::new());
        for _ in 0..ROWS {
            now_ms += luck.below(70) as i64;
            let at = now_ms - luck.below(4_800) as i64;
            let customer = customers[luck.below(8) as usize];
            let customer = format!("{customer}{}", luck.below(4));
            let cents = ["null", "0", "1", "333", "9007199254740993"][luck.below(5) as usize];
            let order_id = luck.below(6);
            let _ = writeln!(
                orders,
                r#"{{"at":{at},"customer":"{customer}","order_id":{order_id},"cents":{cents}}}"#
            );
            let (paid, method) = (luck.below(700) as i64 - 50, luck.below(5) as usize);
            let order_id = if luck.below(3) == 0 {
                luck.below(6)
            } else {
                order_id
            };
            let _ = writeln!(
                payments,
                r#"{{"at":{},"customer":"{customer}","order_id":{order_id},"cents":{},"method":{}}}"#,
                at + luck.below(3_000) as i64,
                if paid < 20 { 0 } else { paid - 40 },
                methods[method]
            );
        }
        home.write(&format!("orders{file}.jsonl"), orders);
        home.write(&format!("payments{file}.jsonl"), payments);
    }
}

fn home(component: &[u8], way: Way) -> Home {
    let home = Home::new(&pipeline(way));
    home.write("plugins/settled.wasm", component);
    write_rows(&home);
    home
}

fn append(home: &Home, file: usize) {
    for topic in ["orders", "payments"] {
        let name = format!("{topic}{file}");
        home.append(topic, &format!("{name}.jsonl"), &name).ok();
    }
}

/// Digest of the view, and what topics hold.
fn outcome(home: &Home) -> Vec<String> {
    let topics = TOPICS.map(|topic| home.topic_text(topic));
    std::iter::once(home.digest("settled"))
        .chain(topics)
        .collect()
}

/// All rows, then one run.
fn once(component: &[u8], way: Way) -> Vec<String> {
    let home = home(component, way);
    (0..FILES).for_each(|file| append(&home, file));
    home.refrain(&["run", "--once", "--workers", way.workers])
        .ok();
    outcome(&home)
}

/// A host that runs while the same rows come in, and is stopped or killed now and then.
fn continuous(component: &[u8], way: Way) -> Vec<String> {
    let home = home(component, way);
    let run = ["run", "--workers", way.workers];
    for (life, files) in (0..FILES).collect::<Vec<_>>().chunks(5).enumerate() {
        let running = home.start_under(home.command(&run));
        files.iter().for_each(|file| append(&home, *file));
        match life % 2 {
            // In the middle of its work.
            0 => running.kill(),
            _ => {
                home.wait_until_taken();
                assert_eq!(running.stop(), Some(0));
            }
        }
    }
    let running = home.start_under(home.command(&run));
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    outcome(&home)
}

/// What one row a call gives with the plugin in Rust; all that can happen is in it.
fn wanted() -> Vec<String> {
    let wanted = once(&std::fs::read(component("settled")).unwrap(), ONE_BY_ONE);
    let (events, refused) = (&wanted[1], &wanted[2]);
    for word in ["true", "false", "NaN", "inf", "ñ cash 🂡"] {
        assert!(events.contains(word), "{word}: {events}");
    }
    for reason in [
        "too late",
        "another order is open",
        "less than nothing is paid",
    ] {
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    wanted
}

#[track_caller]
fn same(found: &[String], wanted: &[String], way: &str) {
    for (topic, (found, wanted)) in TOPICS.iter().zip(found[1..].iter().zip(&wanted[1..])) {
        assert!(found == wanted, "rows of {topic} differ, {way}");
    }
    assert_eq!(found[0], wanted[0], "digest of the view, {way}");
}

/// The component in each way to run, against what is wanted.
fn comes_to(wanted: &[String], bytes: &[u8], language: &str) {
    for way in [
        ONE_BY_ONE,
        Way {
            call_rows: 4096,
            workers: "2",
            ..ONE_BY_ONE
        },
        Way {
            call_rows: 7,
            store: "disk",
            ..ONE_BY_ONE
        },
    ] {
        same(&once(bytes, way), wanted, &format!("{language}, {way:?}"));
    }
    let way = Way {
        call_rows: 64,
        workers: "2",
        rhythm: "continuous",
        store: "memory",
    };
    same(
        &continuous(bytes, way),
        wanted,
        &format!("{language}, {way:?}"),
    );
}

fn fixture(language: Language) -> PathBuf {
    repository().join(format!(
        "tests/guests/languages/settled_{}.wasm",
        language.name()
    ))
}

fn example(language: Language) -> PathBuf {
    match language {
        Language::Rust => repository().join("plugins/settled"),
        other => repository().join(format!("plugin-sdk/{}/settled", other.name())),
    }
}

fn built(language: Language, folder: &Path) -> Vec<u8> {
    let out = folder.join(format!("{}.wasm", language.name()));
    let say = &mut |line: &str| println!("{line}");
    build_plugin(&example(language), &out, &default_cache(), say).unwrap();
    std::fs::read(out).unwrap()
}

/// The languages of [`WRITTEN`] that can be built here.
fn buildable() -> Vec<Language> {
    let checks = examine(&default_cache());
    let works = |language: &&Language| {
        let check = checks
            .iter()
            .find(|check| check.language == language.name());
        check.is_some_and(|check| check.ready || check.fetches)
    };
    WRITTEN.iter().filter(works).copied().collect()
}

#[test]
fn a_process_in_rust_c_and_zig_comes_to_the_same() {
    let wanted = wanted();
    comes_to(
        &wanted,
        &std::fs::read(component("settled")).unwrap(),
        "rust",
    );
    for language in COMMITTED {
        let bytes = std::fs::read(fixture(*language)).unwrap();
        comes_to(&wanted, &bytes, language.name());
    }
}

#[test]
#[ignore = "needs the compilers of all languages"]
fn a_process_in_all_languages_comes_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = wanted();
    for language in buildable() {
        comes_to(&wanted, &built(language, folder.path()), language.name());
    }
}

#[test]
#[ignore = "needs the compilers of all languages"]
fn a_process_in_all_languages_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new("");
    for language in buildable() {
        built(language, folder.path());
        let file = folder.path().join(format!("{}.wasm", language.name()));
        let words = [
            "plugin",
            "test",
            "--conformance",
            &file.display().to_string(),
        ];
        let done = home.refrain(&words);
        println!("{}\n{}{}", language.name(), done.out, done.err);
        done.ok();
        // And it has the fixtures of the one in Rust.
        let name = format!("settled_{}", language.name());
        home.write(
            &format!("plugins/{name}.wasm"),
            std::fs::read(&file).unwrap(),
        );
        copy_fixtures(&home, &name);
        home.refrain(&["plugin", "test", &name]).ok();
    }
}

/// The fixtures of the plugin in Rust, without those that show bytes of states: each language has its own.
fn copy_fixtures(home: &Home, name: &str) {
    let from = repository().join("plugins/settled/fixtures");
    for case in std::fs::read_dir(from).unwrap() {
        let case = case.unwrap();
        for file in std::fs::read_dir(case.path()).unwrap() {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let path = format!(
                "plugins/{name}/fixtures/{}/{}",
                case.file_name().display(),
                file.file_name().display()
            );
            let lines = text.lines().filter(|line| !line.contains("@state"));
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            home.write(&path, text.replace("\"states\": true", "\"states\": false"));
        }
    }
}

/// What `plugin new` makes builds, and gives what the one in Rust gives of the same rows. In a folder that stays, so that
/// the compilers find what they have built before.
#[test]
#[ignore = "needs the compilers of all languages"]
fn new_processes_pass_their_first_fixture() {
    let folder = program().with_file_name("test-new-process");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let home = Home::at(&folder);
    home.write("refrain.toml", "");
    for language in buildable() {
        let name = format!("new_{}", language.name());
        let words = ["--language", language.name(), "--kind", "process"];
        home.refrain(&[&["plugin", "new", &name], &words[..]].concat())
            .ok();
        home.refrain(&["plugin", "test", &name])
            .ok()
            .says(&[&format!("{name}/first: passed")]);
        home.refrain(&["plugin", "test", "--conformance", &name])
            .ok();
        // What is no length of time is said, in the same words everywhere.
        let fixture = format!("plugins/{name}/fixtures/first/fixture.json");
        let text = std::fs::read_to_string(home.path(&fixture)).unwrap();
        let wrong = text.replacen('{', "{ \"options\": { \"patience\": \"10 parsecs\" },", 1);
        home.write(&fixture, wrong);
        home.refrain(&["plugin", "test", &name])
            .code(2)
            .says(&["option `patience`: `10 parsecs` is not a length of time, as in \"90s\""]);
        home.write(&fixture, text);
    }
}

/// The committed components are what their sources make, where the compiler is.
#[test]
#[ignore = "needs the compiler of C and Zig"]
fn the_committed_processes_are_those_of_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    for language in COMMITTED {
        let made = built(*language, folder.path());
        if std::env::var_os("REFRAIN_WRITE_GUESTS").is_some() {
            std::fs::write(fixture(*language), &made).unwrap();
        }
        let kept = std::fs::read(fixture(*language)).unwrap();
        assert!(
            made == kept,
            "run with REFRAIN_WRITE_GUESTS=1 and commit {}",
            fixture(*language).display()
        );
    }
}
