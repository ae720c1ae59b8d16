//! Every misbehaviour of tests/guests/bad, which is Rust and not WAT, ends in the fault that its README promises.

#![allow(clippy::disallowed_methods, reason = "tests handle files of their own")]
#![expect(clippy::unwrap_used, reason = "a test file")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use refrain_plugin::{Entries, Fault, FaultKind, Host, HostOptions, Input, Instance, Limits};

const VALUES: [i64; 4] = [1, 13, 2, 13];
const SLOTS: [u32; 4] = [0, 1, 2, 3];

fn bad() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/bad")
}

#[expect(clippy::disallowed_methods, reason = "a file of the test")]
fn read(name: &str) -> Vec<u8> {
    std::fs::read(bad().join(name)).unwrap()
}

fn instance(host: &Host, file: &str, behaviour: &str) -> Result<Instance, Fault> {
    let plugin = host.load("bad", &read(file)).unwrap();
    let limits = Limits {
        memory_bytes_max: 128 << 20,
        call_ms_max: 1500,
        answer_bytes_max: 8 << 20,
    };
    plugin.instantiate(&[("behaviour".to_string(), behaviour.to_string())], limits)
}

fn columns() -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(VALUES.to_vec()))]
}

/// One round of a fold's calls; the first fault.
fn fold(host: &Host, behaviour: &str) -> Result<usize, Fault> {
    let mut fold = instance(host, "bad.wasm", behaviour)?;
    let columns = columns();
    let input = Input {
        columns: &columns,
        start: 0,
        count: VALUES.len(),
    };
    let mut rejects = 0;
    for _ in 0..3 {
        rejects += fold
            .update(
                input,
                Entries {
                    rows: &[],
                    slots: &SLOTS,
                },
            )?
            .len();
    }
    fold.evaluate(
        &SLOTS,
        Input {
            columns: &[],
            start: 0,
            count: SLOTS.len(),
        },
    )?;
    let states = fold.save(&SLOTS)?;
    fold.restore(&SLOTS, &states)?;
    fold.release(&SLOTS)?;
    Ok(rejects)
}

fn transform(host: &Host, behaviour: &str) -> Result<usize, Fault> {
    let mut transform = instance(host, "bad_transform.wasm", behaviour)?;
    let columns = columns();
    let answer = transform.transform(Input {
        columns: &columns,
        start: 0,
        count: VALUES.len(),
    })?;
    Ok(answer.rejects.len())
}

type Round = fn(&Host, &str) -> Result<usize, Fault>;

#[track_caller]
fn check(host: &Host, round: Round, behaviours: &[&str], kind: FaultKind) {
    for behaviour in behaviours {
        let fault = round(host, behaviour).map(|_| ()).unwrap_err();
        assert_eq!(fault.kind, kind, "{behaviour}: {fault}");
        println!("{behaviour}: {fault}");
    }
}

/// More than an answer may be: refused by its size, or by the memory that it takes in the guest.
#[track_caller]
fn check_huge(host: &Host, round: Round, behaviours: &[&str]) {
    for behaviour in behaviours {
        let fault = round(host, behaviour).map(|_| ()).unwrap_err();
        let by_size = matches!(fault.kind, FaultKind::Malformed | FaultKind::Memory);
        assert!(by_size, "{behaviour}: {fault}");
    }
}

const OF_ROWS: [&str; 4] = ["trap", "panic", "divide", "access"];
const OF_ANSWERS: [&str; 18] = [
    "rejects-twice",
    "rejects-falling",
    "rejects-beyond",
    "rejects-huge",
    "rows-short",
    "rows-long",
    "column-missing",
    "column-extra",
    "column-short",
    "column-type",
    "null",
    "valid-short",
    "ends-falling",
    "ends-beyond",
    "ends-before",
    "ends-missing",
    "utf8",
    "utf8-split",
];

#[test]
fn a_fold_that_misbehaves_ends_in_the_promised_fault() {
    let host = Host::new(HostOptions::default()).unwrap();
    assert_eq!(fold(&host, "none").unwrap(), 0);
    assert_eq!(fold(&host, "nan").unwrap(), 0);
    assert_eq!(fold(&host, "reject").unwrap(), 6);
    check(&host, fold, &OF_ROWS, FaultKind::Trap);
    check(&host, fold, &["trap-third-call"], FaultKind::Trap);
    check(&host, fold, &["loop"], FaultKind::Deadline);
    check(&host, fold, &["memory", "memory-quiet"], FaultKind::Memory);
    check(&host, fold, &["stack"], FaultKind::Stack);
    check(
        &host,
        fold,
        &["fatal", "fatal-evaluate", "fatal-restore"],
        FaultKind::Fatal,
    );
    check(&host, fold, &["refuse"], FaultKind::Options);
    check(&host, fold, &OF_ANSWERS, FaultKind::Malformed);
    let of_states = [
        "present-short",
        "save-short",
        "save-ends-falling",
        "save-ends-beyond",
    ];
    check(&host, fold, &of_states, FaultKind::Malformed);
    check_huge(&host, fold, &["huge", "save-huge"]);
}

#[test]
fn a_transform_that_misbehaves_ends_in_the_promised_fault() {
    let host = Host::new(HostOptions::default()).unwrap();
    assert_eq!(transform(&host, "none").unwrap(), 0);
    assert_eq!(transform(&host, "reject").unwrap(), 2);
    check(&host, transform, &OF_ROWS, FaultKind::Trap);
    check(&host, transform, &["loop"], FaultKind::Deadline);
    check(
        &host,
        transform,
        &["memory", "memory-quiet"],
        FaultKind::Memory,
    );
    check(&host, transform, &["stack"], FaultKind::Stack);
    check(&host, transform, &["fatal"], FaultKind::Fatal);
    check(&host, transform, &OF_ANSWERS, FaultKind::Malformed);
    let of_origins = [
        "origins-falling",
        "origins-beyond",
        "origins-short",
        "rejects-kept",
    ];
    check(&host, transform, &of_origins, FaultKind::Malformed);
    check_huge(&host, transform, &["huge"]);
}

#[test]
fn what_must_not_load_does_not() {
    let host = Host::new(HostOptions::default()).unwrap();
    let mut files: Vec<PathBuf> = std::fs::read_dir(bad().join("load"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 8);
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = read(&format!("load/{name}"));
        let is_text = path.extension().is_some_and(|kind| kind == "wat");
        let bytes = if is_text {
            wat::parse_bytes(&bytes).unwrap().into_owned()
        } else {
            bytes
        };
        println!("{}", host.load(&name, &bytes).map(|_| ()).unwrap_err());
    }
}
