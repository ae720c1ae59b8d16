//! Every class of system call of the write path, failed, cut short and made deadly through strace, under `append`,
//! `run --once` and a host with live appends. After each: run again, and no acknowledged row is lost, none is there
//! twice, and the results are those of a life without accidents.
//!
//! A class is a call and the part of the data folder that it meets. A case counts only when strace says that its accident
//! happened there; one that did not is drawn again, and a class that never had its accident fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use refrain_tests::strace::{Accident, Area, Call, Strace, strace_is_there};
use refrain_tests::{Done, Home, Luck, count, events_csv, events_csv_parts, pipeline, poll};

const ROWS: usize = 12_000;
const PARTS: usize = 6;
const APPEND: [&str; 11] = [
    "topic",
    "append",
    "events",
    "0.csv",
    "1.csv",
    "2.csv",
    "3.csv",
    "4.csv",
    "5.csv",
    "--producer",
    "p",
];
const RUN: [&str; 4] = ["run", "--once", "--workers", "2"];
/// Draws for one class before it counts as never met.
const DRAWS_MAX: usize = 25;
/// Done; an error of the system; no space; a failed write or sync. Damage (5) is never an answer to an honest failure.
const CODES: [i32; 4] = [0, 1, 7, 9];

fn home() -> Home {
    // Segments of a few frames, so that beginning and sealing them is part of the life.
    let home = Home::new(&pipeline().replace("1MiB", "64KiB")).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ]);
    for (i, part) in events_csv_parts(31, ROWS, PARTS).iter().enumerate() {
        home.write(&format!("{i}.csv"), part);
    }
    home.write("begin.csv", events_csv(32, 500));
    home
}

#[derive(Debug, PartialEq)]
struct Outcome(Vec<String>);

fn outcome(home: &Home) -> Outcome {
    let topics = ["events", "views", "engagement.late"].map(|topic| home.topic_text(topic));
    let digests = ["engagement", "total"].map(|view| home.digest(view));
    Outcome(topics.into_iter().chain(digests).collect())
}

type Class = (String, Area);

fn class(call: &Call) -> Option<Class> {
    Some((call.name.clone(), call.area("events")?))
}

/// What a command did under an accident.
struct Acted {
    calls: Vec<Call>,
    /// It ended by a signal.
    killed: bool,
    /// What it said, and how it ended.
    told: String,
}

/// A step of a user's day that accidents happen to.
struct Scene {
    /// What comes before, in a folder that is new, or was in use already.
    prepare: fn(&Home, begun: bool),
    act: fn(&Home, Option<&Accident>) -> Acted,
    /// What the user does when it is over: the same again, and a run.
    finish: fn(&Home),
}

const APPENDING: Scene = Scene {
    prepare: begin,
    act: |home, accident| {
        let acted = command(home, &APPEND, accident);
        let acknowledged = acknowledged(&acted.told);
        let there = home.rows("events");
        assert!(there >= acknowledged, "lost rows: {}", acted.told);
        acted
    },
    finish: |home| {
        home.refrain(&APPEND).ok();
        home.refrain(&APPEND).ok().says(&["0 rows appended"]);
        home.run().ok();
    },
};

const RUNNING: Scene = Scene {
    prepare: |home, begun| {
        begin(home, begun);
        home.refrain(&APPEND).ok();
    },
    act: |home, accident| command(home, &RUN, accident),
    finish: |home| {
        home.run().ok();
    },
};

const LIVING: Scene = Scene {
    prepare: begin,
    act: live,
    finish: |home| {
        for part in 0..PARTS {
            append_part(home, part).ok().says(&["0 rows appended"]);
        }
        home.run().ok();
    },
};

/// Some rows of another producer, taken and committed.
fn begin(home: &Home, begun: bool) {
    if begun {
        home.append("events", "begin.csv", "begin").ok();
        home.run().ok();
    }
}

/// A command from its start to its end.
fn command(home: &Home, arguments: &[&str], accident: Option<&Accident>) -> Acted {
    let strace = Strace::of(home.root());
    let done = Done::of(home.command_under(&strace.prefix(accident), arguments));
    let told = format!("{accident:?}: {:?}\n{}", done.code, done.err);
    check_end(done.code, &done.err, &told);
    Acted {
        calls: strace.calls(None),
        killed: done.code.is_none(),
        told,
    }
}

/// A documented code, and a sentence that names the place and what to do when it is not 0.
fn check_end(code: Option<i32>, said: &str, told: &str) {
    assert!(!said.contains("panicked"), "{told}");
    let Some(code) = code else { return };
    assert!(CODES.contains(&code), "{told}");
    if code != 0 {
        let why = [
            "os error",
            "write zero",
            "no space left",
            "write whole buffer",
        ];
        assert!(said.contains("error: "), "{told}");
        assert!(why.iter().any(|why| said.contains(why)), "{told}");
    }
}

fn append_part(home: &Home, part: usize) -> Done {
    home.append("events", &format!("{part}.csv"), &format!("p{part}"))
}

/// A host under the accident, and appends through it one after another. One that is refused ends the host, and is sent
/// again to whoever has the folder then.
fn live(home: &Home, accident: Option<&Accident>) -> Acted {
    let strace = Strace::of(home.root());
    let mut command = home.command_under(&strace.prefix(accident), &["run", "--workers", "2"]);
    let err = std::fs::File::create(home.path("run.err")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(err).spawn().unwrap();
    let pid = child.id();
    let socket = home.path("data/control.sock");
    poll("the host to answer or to end", || {
        let ended = child.try_wait().unwrap().is_some();
        (ended || std::os::unix::net::UnixStream::connect(&socket).is_ok()).then_some(())
    });
    let mut running = home.adopt(child);
    let mut code = None;
    for part in 0..PARTS {
        let first = append_part(home, part);
        if first.code != Some(0) {
            let told = format!("{accident:?}, part {part}: {:?}\n{}", first.code, first.err);
            assert!(!first.err.contains("panicked"), "{told}");
            running.signal(rustix::process::Signal::TERM);
            code = running.wait();
            append_part(home, part).ok();
        }
    }
    if running.lives() {
        settled(home);
        running.signal(rustix::process::Signal::TERM);
        code = running.wait();
    } else if code.is_none() {
        code = running.wait();
    }
    let said = running.said();
    let told = format!("{accident:?}: {code:?}\n{said}");
    check_end(code, &said, &told);
    Acted {
        calls: strace.calls(Some(pid)),
        killed: code.is_none(),
        told,
    }
}

/// Waits until a host has taken all it will take: all there is, or it is gone, or a node of it has stopped.
fn settled(home: &Home) {
    poll(
        "the host to take all there is, or to say that it cannot",
        || {
            let asked = home.refrain(&["status", "--output", "json"]);
            // A host killed while it answers: the next status says that none is running.
            if asked.code == Some(1) && asked.err.contains("the running host went away") {
                return None;
            }
            let status = asked.ok().json();
            let nodes = status["nodes"].as_array().unwrap();
            let stopped = nodes
                .iter()
                .any(|node| node["phase"]["stopped"].is_string());
            let taken = nodes.iter().all(|node| node["lag_rows"] == 0);
            (stopped || taken || status["running"] != true).then_some(())
        },
    );
}

/// The row up to which an append says that all is acknowledged.
fn acknowledged(told: &str) -> u64 {
    let up_to = |words: &str| Some(told.rsplit_once(words)?.1.to_string());
    let Some(after) = up_to("up to row ") else {
        return 0;
    };
    let digits: String = after
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ',')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// A place for an accident: in a new folder or one in use, and the call.
type Site = (bool, Call);

/// Where accidents can happen in a new folder and in one in use, and what comes out without them.
struct Calm {
    sites: BTreeMap<Class, Vec<Site>>,
    outcomes: [Outcome; 2],
}

fn calm(scene: &Scene) -> Calm {
    let mut sites: BTreeMap<Class, Vec<Site>> = BTreeMap::new();
    let outcomes = [false, true].map(|begun| {
        let home = home();
        (scene.prepare)(&home, begun);
        for call in (scene.act)(&home, None).calls {
            if let Some(class) = class(&call) {
                sites.entry(class).or_default().push((begun, call));
            }
        }
        (scene.finish)(&home);
        outcome(&home)
    });
    Calm { sites, outcomes }
}

/// This accident in every class among `names`, at a random place of it; every class `REFRAIN_KILLS` / 50 times.
fn accidents(test: &str, scene: &Scene, how: &str, names: &[&str]) {
    if !strace_is_there() {
        return;
    }
    let mut luck = Luck::printed(test);
    let calm = calm(scene);
    let classes: BTreeSet<&Class> = calm
        .sites
        .keys()
        .filter(|(name, _)| names.is_empty() || names.contains(&&**name))
        .collect();
    assert!(!classes.is_empty(), "{test}: no such call is made");
    let mut met: BTreeMap<Class, usize> = BTreeMap::new();
    let rounds = count("REFRAIN_KILLS", 50).div_ceil(50);
    for round in 1..=rounds {
        for class in &classes {
            let mut draws = 0;
            while met.get(class).is_none_or(|times| *times < round) {
                draws += 1;
                assert!(
                    draws <= DRAWS_MAX,
                    "{test}: {how} never happened to {class:?} in {DRAWS_MAX} cases"
                );
                let sites = &calm.sites[class];
                let site = &sites[luck.below(sites.len() as u64) as usize];
                for hit in case(scene, how, site, &calm) {
                    *met.entry(hit).or_default() += 1;
                }
            }
        }
    }
    println!("{test}: {met:?}");
}

/// One accident, and what follows. The classes that it happened to.
fn case(scene: &Scene, how: &str, (begun, site): &Site, calm: &Calm) -> BTreeSet<Class> {
    let home = home();
    (scene.prepare)(&home, *begun);
    let accident = Accident {
        name: site.name.clone(),
        how: how.into(),
        when: site.nth.to_string(),
        path: site.path.clone(),
    };
    let acted = (scene.act)(&home, Some(&accident));
    (scene.finish)(&home);
    let wanted = &calm.outcomes[usize::from(*begun)];
    assert!(outcome(&home) == *wanted, "begun {begun}, {}", acted.told);
    let happened = |call: &&Call| {
        call.nth == site.nth && call.path == site.path && (call.injected || acted.killed)
    };
    acted
        .calls
        .iter()
        .filter(happened)
        .filter_map(class)
        .collect()
}

macro_rules! cases {
    ($($name:ident: $scene:ident, $how:literal, $calls:expr;)*) => {$(
        #[test]
        fn $name() {
            accidents(stringify!($name), &$scene, $how, $calls);
        }
    )*};
}

const ALL: &[&str] = &[];
const WRITES: &[&str] = &["write", "pwritev"];

cases! {
    an_append_killed_at_any_call: APPENDING, "signal=KILL", ALL;
    an_append_whose_calls_fail: APPENDING, "error=EIO", ALL;
    an_append_without_space: APPENDING, "error=ENOSPC", ALL;
    an_append_whose_writes_write_nothing: APPENDING, "retval=0", WRITES;
    a_run_killed_at_any_call: RUNNING, "signal=KILL", ALL;
    a_run_whose_calls_fail: RUNNING, "error=EIO", ALL;
    a_run_without_space: RUNNING, "error=ENOSPC", ALL;
    a_run_whose_writes_write_nothing: RUNNING, "retval=0", WRITES;
    a_host_killed_at_any_call: LIVING, "signal=KILL", ALL;
    a_host_whose_calls_fail: LIVING, "error=EIO", ALL;
    a_host_without_space: LIVING, "error=ENOSPC", ALL;
    a_host_whose_writes_write_nothing: LIVING, "retval=0", WRITES;
}

/// A signal that arrives in the middle of a call is no failure.
#[test]
fn interrupted_calls_are_made_again() {
    if !strace_is_there() {
        return;
    }
    let [wanted, _] = calm(&APPENDING).outcomes;
    for name in ["fallocate", "pwritev", "fdatasync", "fsync"] {
        let home = home();
        // Every second call: the one made again goes through.
        let accident = Accident {
            name: name.into(),
            how: "error=EINTR".into(),
            when: "1+2".into(),
            path: None,
        };
        for arguments in [&APPEND[..], &RUN] {
            let acted = command(&home, arguments, Some(&accident));
            assert!(acted.told.contains("Some(0)"), "{}", acted.told);
            let happened = acted.calls.iter().any(|call| call.injected);
            assert!(happened, "{name} was never interrupted");
        }
        assert!(outcome(&home) == wanted, "{name}");
    }
}

/// A file may not be written beyond some byte: the write that meets it does its first part and fails then.
#[test]
fn an_append_whose_writes_stop_in_the_middle() {
    let mut luck = Luck::printed("writes_that_stop");
    let wanted = {
        let home = home();
        begin(&home, true);
        (APPENDING.finish)(&home);
        outcome(&home)
    };
    let mut cut_short = 0;
    for _ in 0..20 * count("REFRAIN_KILLS", 50).div_ceil(50) {
        let home = home();
        (APPENDING.prepare)(&home, true);
        let limit = 8_000 + luck.below(60_000);
        let limited = format!("trap '' XFSZ; exec prlimit --fsize={limit} \"$0\" \"$@\"");
        let prefix = ["sh", "-c", &limited].map(String::from);
        let done = Done::of(home.command_under(&prefix, &APPEND));
        let told = format!("up to {limit}: {:?}\n{}", done.code, done.err);
        check_end(done.code, &done.err, &told);
        cut_short += usize::from(done.err.contains("write failed (File too large"));
        (APPENDING.finish)(&home);
        assert!(outcome(&home) == wanted, "{told}");
    }
    assert!(cut_short > 0, "no write met its limit");
}
