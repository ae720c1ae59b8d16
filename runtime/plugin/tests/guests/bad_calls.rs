//! Every way to misbehave in a call: each ends in a fault of the right kind with a sentence, and the host goes on.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use refrain_plugin::{Entries, Fault, FaultKind, HostOptions, Input, Instance, Limits, States};

use crate::good::host;
use crate::guest::{self, Guest};
use crate::memory::{Column, Description, Memory, Rows, Values};

fn said() -> Description<'static> {
    Description {
        name: "bad",
        inputs: vec![("n", "i64", false)],
        outputs: vec![("out", "i64", false)],
        wants_keys: false,
        settings: vec![],
    }
}

fn giving(kind: &'static str, nullable: bool) -> Description<'static> {
    Description {
        outputs: vec![("out", kind, nullable)],
        ..said()
    }
}

fn limits() -> Limits {
    Limits {
        memory_bytes_max: 16 << 20,
        call_ms_max: 10_000,
        answer_bytes_max: 1 << 20,
    }
}

fn start(guest: &Guest, limits: Limits) -> Result<Instance, Fault> {
    let plugin = host().load("bad.wasm", &guest.build()).unwrap();
    plugin.instantiate(&[("a".into(), "1".into())], limits)
}

/// Three rows.
fn with_rows<T>(call: impl FnOnce(Input<'_>) -> T) -> T {
    let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1, 2, 3]))];
    call(Input {
        columns: &columns,
        start: 0,
        count: 3,
    })
}

fn transform(guest: &Guest) -> Result<refrain_plugin::Transformed, Fault> {
    let mut instance = start(guest, limits())?;
    with_rows(|rows| instance.transform(rows))
}

fn update(instance: &mut Instance) -> Result<Vec<refrain_plugin::Reject>, Fault> {
    let entries = Entries {
        rows: &[0, 2],
        slots: &[0, 1],
    };
    with_rows(|rows| instance.update(rows, entries))
}

fn evaluate(guest: &Guest) -> Result<refrain_plugin::Evaluated, Fault> {
    let none = Input {
        columns: &[],
        start: 0,
        count: 3,
    };
    start(guest, limits())?.evaluate(&[5, 6, 7], none)
}

#[track_caller]
fn faults<T: std::fmt::Debug>(result: Result<T, Fault>, kind: FaultKind, what: &str) {
    let fault = result.expect_err("the guest misbehaved");
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.what.contains(what), "{fault}");
    assert!(
        fault.to_string().starts_with("plugin bad.wasm, function "),
        "{fault}"
    );
    assert!(!fault.what.contains("0x"), "no addresses: {fault}");
}

#[track_caller]
fn malformed<T: std::fmt::Debug>(result: Result<T, Fault>, what: &str) {
    faults(result, FaultKind::Malformed, what);
}

/// A transform that answers this.
fn answering(
    said: &Description<'_>,
    values: impl Into<Column>,
    count: u32,
    origins: &[u32],
    rejects: &[(u32, &[u8])],
) -> Result<refrain_plugin::Transformed, Fault> {
    let rows = Rows {
        count,
        columns: vec![values.into()],
    };
    transform(&Guest::transform(said).answer("process", |m| m.transformed(&rows, origins, rejects)))
}

fn ints(n: usize) -> Values {
    Values::Ints(vec![7; n])
}

#[test]
fn traps() {
    let traps = |body| transform(&Guest::transform(&said()).body("process", body));
    let trap = FaultKind::Trap;
    faults(
        traps("unreachable"),
        trap,
        "trapped: it panicked or aborted",
    );
    faults(
        traps("(i32.div_u (i32.const 1) (i32.const 0))"),
        trap,
        "trapped: integer divide by zero",
    );
    faults(
        traps("(i32.load (i32.const -4))"),
        trap,
        "trapped: out of bounds memory access",
    );
}

#[test]
fn a_loop_without_end() {
    let spin = "(loop $l (br $l)) unreachable";
    let guest = Guest::fold(&said())
        .body("update", spin)
        .body("release", "(loop $l (br $l))");
    let limits = Limits {
        call_ms_max: 30,
        ..limits()
    };
    faults(
        update(&mut start(&guest, limits).unwrap()),
        FaultKind::Deadline,
        "took longer than the 30 ms",
    );
    faults(
        start(&guest, limits).unwrap().release(&[1]),
        FaultKind::Deadline,
        "took longer",
    );
}

#[test]
fn memory_beyond_the_limit() {
    let grow = "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable";
    faults(
        transform(&Guest::transform(&said()).body("process", grow)),
        FaultKind::Memory,
        "where 16 MiB are allowed",
    );
    let huge = "(drop (memory.grow (i32.const -1))) unreachable";
    faults(
        transform(&Guest::transform(&said()).body("process", huge)),
        FaultKind::Memory,
        "of memory where",
    );
}

#[test]
fn more_memory_at_the_start_than_allowed() {
    let small = Limits {
        memory_bytes_max: 1 << 20,
        ..limits()
    };
    let fault = start(&guest::sums(), small).unwrap_err();
    assert_eq!((fault.kind, fault.function), (FaultKind::Memory, "start"));
    assert!(
        fault
            .what
            .starts_with("asked for 4 MiB of memory where 1 MiB are allowed")
    );
}

#[test]
fn memory_within_the_limit_is_counted() {
    let grow = "(drop (memory.grow (i32.const 16)))";
    let mut instance = start(&Guest::fold(&said()).body("release", grow), limits()).unwrap();
    assert_eq!(instance.memory_bytes(), 4 << 20);
    instance.release(&[0]).unwrap();
    assert_eq!(instance.memory_bytes(), 5 << 20);
}

#[test]
fn deep_recursion() {
    let deeper = "(func $deeper (param i32) (result i32)
        (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))";
    faults(
        transform(
            &Guest::transform(&said())
                .with(deeper)
                .body("process", "(call $deeper (i32.const 0))"),
        ),
        FaultKind::Stack,
        "recursed too deeply",
    );
}

#[test]
fn deep_recursion_on_a_worker_thread() {
    std::thread::spawn(deep_recursion).join().unwrap();
}

#[test]
fn a_failure_of_its_own() {
    faults(
        transform(&Guest::transform(&said()).answer("process", |m| m.fatal("no table"))),
        FaultKind::Fatal,
        "gave up: no table",
    );
}

#[test]
fn options_refused() {
    let guest = guest::sums().answer("configure", |m| m.refused("`a` must be even"));
    let fault = start(&guest, limits()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Options);
    assert_eq!(
        fault.to_string(),
        "plugin bad.wasm, function about.configure: `a` must be even"
    );
}

#[test]
fn a_fault_is_for_ever() {
    let mut instance = start(&Guest::fold(&said()), limits()).unwrap();
    faults(update(&mut instance), FaultKind::Trap, "trapped");
    faults(update(&mut instance), FaultKind::Trap, "called again");
    faults(instance.release(&[0]), FaultKind::Trap, "called again");
}

#[test]
fn the_other_kind_of_call() {
    let mut fold = start(&guest::sums(), limits()).unwrap();
    malformed(with_rows(|rows| fold.transform(rows)), "no transform");
    let mut echo = start(&guest::echo(&said()), limits()).unwrap();
    malformed(update(&mut echo), "no fold");
}

#[test]
fn row_counts() {
    malformed(
        answering(&said(), ints(2), 3, &[0, 1, 2], &[]),
        "2 values of `out` for 3 rows",
    );
    malformed(
        answering(&said(), ints(4), 3, &[0, 1, 2], &[]),
        "4 values of `out` for 3 rows",
    );
    malformed(
        answering(&said(), ints(2), 2, &[], &[]),
        "2 rows for 3 and no origins",
    );
    malformed(
        answering(&said(), ints(2), 2, &[0], &[]),
        "1 origins for 2 rows",
    );
    malformed(
        answering(&said(), ints(0), u32::MAX, &[], &[]),
        "4294967295 rows for 3",
    );
    answering(&said(), ints(3), 3, &[], &[]).unwrap();
    answering(&said(), ints(0), 0, &[], &[(0, b"no")]).unwrap();
}

#[test]
fn columns() {
    let none = Rows {
        count: 3,
        columns: vec![],
    };
    malformed(
        transform(&Guest::transform(&said()).answer("process", |m| m.transformed(&none, &[], &[]))),
        "0 columns where 1 output fields are declared",
    );
    malformed(
        answering(&said(), Values::Floats(vec![1.0; 3]), 3, &[], &[]),
        "gave `out` as floats, where i64 is declared",
    );
    malformed(
        answering(&giving("text", false), ints(3), 3, &[], &[]),
        "as ints, where text",
    );
}

#[test]
fn origins_and_rejects() {
    let case = |origins: &[u32], rejects: &[(u32, &[u8])]| {
        answering(
            &said(),
            ints(origins.len()),
            origins.len() as u32,
            origins,
            rejects,
        )
    };
    malformed(case(&[1, 0], &[]), "origins that decrease");
    malformed(case(&[0, 3], &[]), "an origin that is no input row");
    malformed(
        case(&[0, 1], &[(1, b"no")]),
        "rejected a row and gave output for it",
    );
    malformed(case(&[0], &[(2, b"b"), (1, b"a")]), "rejects out of order");
    malformed(case(&[0], &[(1, b"a"), (1, b"a")]), "rejects out of order");
    malformed(
        case(&[0], &[(3, b"a")]),
        "rejected a row that it was not given",
    );
    malformed(case(&[0], &[(1, b"\xff")]), "a text that is not UTF-8");
    malformed(
        answering(&said(), ints(3), 3, &[], &[(1, b"no")]),
        "rejected a row and gave output for it",
    );
    let good = case(&[0, 0, 2], &[(1, b"no")]).unwrap();
    assert_eq!((good.count, good.origins), (3, vec![0, 0, 2]));
}

#[test]
fn long_reasons_are_cut() {
    let reason = "é".repeat(3000);
    let good = answering(&said(), ints(0), 0, &[], &[(0, reason.as_bytes())]).unwrap();
    let reason = &good.rejects[0].reason;
    assert!(
        reason.len() <= 4096 && reason.ends_with("é…"),
        "{}",
        reason.len()
    );
}

#[test]
fn a_reject_of_a_row_without_an_entry() {
    let rejecting = |row| {
        let guest = Guest::fold(&said()).answer("update", |m| m.updated(&[(row, b"no")]));
        update(&mut start(&guest, limits()).unwrap())
    };
    assert_eq!(rejecting(2).unwrap()[0].row, 2);
    malformed(rejecting(1), "rejected a row that it was not given");
    malformed(rejecting(3), "rejected a row that it was not given");
}

#[test]
fn ends() {
    let text = |ends: &[u32], bytes: &[u8]| {
        let values = Values::Spans(ends.to_vec(), bytes.to_vec());
        answering(&giving("text", false), values, 3, &[], &[])
    };
    malformed(text(&[2, 1, 3], b"abc"), "ends of `out` that decrease");
    malformed(text(&[1, 2, 4], b"abc"), "up to 4 for 3 bytes");
    malformed(text(&[1, 2, 2], b"abc"), "up to 2 for 3 bytes");
    malformed(text(&[1, 2], b"ab"), "2 values of `out` for 3 rows");
    malformed(text(&[0, 0, u32::MAX], b""), "up to 4294967295");
    text(&[0, 3, 3], b"abc").unwrap();
}

#[test]
fn utf8() {
    let text = |kind, ends: &[u32], bytes: &[u8]| {
        let values = Values::Spans(ends.to_vec(), bytes.to_vec());
        answering(&giving(kind, false), values, 3, &[], &[])
    };
    malformed(text("text", &[1, 2, 3], b"a\xffc"), "not UTF-8");
    malformed(text("text", &[1, 2, 3], "aé".as_bytes()), "not UTF-8");
    text("bytes", &[1, 2, 3], b"a\xffc").unwrap();
}

#[test]
fn nulls_and_bitmaps() {
    let valid = |nullable, valid: &[u8]| {
        let column = Column {
            values: ints(3),
            valid: valid.to_vec(),
        };
        answering(&giving("i64", nullable), column, 3, &[], &[])
    };
    malformed(valid(false, &[0b101]), "gave null in `out`");
    malformed(
        valid(true, &[0b101, 0]),
        "a bitmap `valid` of `out` of 2 bytes for 3 rows",
    );
    assert!(
        valid(false, &[0b1111_1111]).unwrap().columns[0]
            .nulls()
            .is_none()
    );
    assert_eq!(valid(true, &[0b101]).unwrap().columns[0].null_count(), 1);
}

#[test]
fn times() {
    let time = |micros: i64| {
        answering(
            &giving("timestamp", false),
            Values::Ints(vec![0, micros, 0]),
            3,
            &[],
            &[],
        )
    };
    malformed(time(i64::MAX), "outside the years 1 to 9999");
    malformed(time(253_402_300_800_000_000), "outside the years 1 to 9999");
    malformed(time(-62_135_596_800_000_001), "outside the years 1 to 9999");
    time(253_402_300_799_999_999).unwrap();
    time(-62_135_596_800_000_000).unwrap();
}

#[test]
fn nans_leave_as_one() {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    let nan = f64::from_bits(0xfff8_0000_dead_beef);
    let values = Values::Floats(vec![nan, -0.0, f64::INFINITY]);
    let good = answering(&giving("f64", false), values, 3, &[], &[]).unwrap();
    let bits: Vec<u64> = good.columns[0]
        .as_primitive::<Float64Type>()
        .values()
        .iter()
        .map(|f| f.to_bits())
        .collect();
    assert_eq!(
        bits,
        [0x7ff8_0000_0000_0000, 1 << 63, 0x7ff0_0000_0000_0000]
    );
}

#[test]
fn evaluations() {
    let shown = |count: u32, valid: &[u8], present: &[u8]| {
        let column = Column {
            values: ints(count as usize),
            valid: valid.to_vec(),
        };
        let rows = Rows {
            count,
            columns: vec![column],
        };
        evaluate(&Guest::fold(&said()).answer("evaluate", |m| m.evaluated(&rows, present)))
    };
    malformed(shown(2, &[], &[]), "2 rows for 3 slots");
    malformed(shown(3, &[], &[0, 0]), "a bitmap `present` of 2 bytes");
    malformed(shown(3, &[0b011], &[0b111]), "gave null in `out`");
    let good = shown(3, &[0b011], &[0b011]).unwrap();
    assert_eq!(good.present.unwrap().count_set_bits(), 2);
    assert!(
        good.columns[0].nulls().is_none(),
        "an absent row may be null"
    );
}

#[test]
fn saved_states() {
    let save = |ends: &[u32], bytes: &[u8]| {
        let guest = Guest::fold(&said()).answer("save", |m| m.saved(ends, bytes));
        start(&guest, limits()).unwrap().save(&[0, 1])
    };
    malformed(save(&[1], b"a"), "1 states for 2 slots");
    malformed(
        save(&[1, 3], b"ab"),
        "ends of its states up to 3 for 2 bytes",
    );
    malformed(save(&[2, 1], b"a"), "ends of its states that decrease");
    assert_eq!(save(&[0, 2], b"ab").unwrap().get(1), b"ab");
}

#[test]
fn restores_and_releases() {
    let guest = Guest::fold(&said()).answer("restore", |m| m.fatal("version 9"));
    let states = States {
        ends: vec![1],
        bytes: vec![1],
    };
    faults(
        start(&guest, limits()).unwrap().restore(&[0], &states),
        FaultKind::Fatal,
        "gave up: version 9",
    );
    let guest = Guest::fold(&said()).body("release", "unreachable");
    faults(
        start(&guest, limits()).unwrap().release(&[0]),
        FaultKind::Trap,
        "trapped",
    );
}

/// An answer whose lists point anywhere.
fn wild(words: [u32; 8]) -> Result<refrain_plugin::Transformed, Fault> {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    transform(&Guest::transform(&said()).answer("process", |m: &mut Memory| m.put(&bytes)))
}

#[test]
fn wild_pointers() {
    malformed(wild([0, 3, u32::MAX, 1, 0, 0, 0, 0]), "cannot be read");
    malformed(wild([0, 3, 8, u32::MAX, 0, 0, 0, 0]), "cannot be read");
    malformed(wild([0, 3, 9, 1, 0, 0, 0, 0]), "cannot be read");
    malformed(wild([7, 0, 0, 0, 0, 0, 0, 0]), "cannot be read");
    let at = |at: &str| transform(&Guest::transform(&said()).body("process", at));
    malformed(at("(i32.const -4)"), "cannot be read");
    malformed(at("(i32.const 4097)"), "cannot be read");
}

#[test]
fn an_answer_too_large() {
    let limit = "an answer of more than 1048576 bytes";
    malformed(wild([0, 3, 0, 0, 0, 0x7_0000, 0, 0]), limit);
    // Many columns that lie in the same place cost the guest nothing.
    malformed(wild([0, 3, 8, 100_000, 0, 0, 0, 0]), limit);
}

#[test]
fn an_allocator_that_lies() {
    for at in ["-8", "3"] {
        let lie = format!("(i32.const {at}))\n(func $reset");
        let module = guest::sums()
            .module()
            .replace("(local.get $at))\n(func $reset", &lie);
        let plugin = host()
            .load("bad.wasm", &guest::component("fold-plugin", &module))
            .unwrap();
        let started = plugin.instantiate(&[("a".into(), "1".into())], limits());
        malformed(started, "cannot be read: realloc return");
    }
}

#[test]
fn a_trap_after_the_answer() {
    let guest = guest::sums();
    let module = guest.module().replace(
        "#update\") (param i32) (call $reset)",
        "#update\") (param i32) unreachable",
    );
    let plugin = host()
        .load("bad.wasm", &guest::component("fold-plugin", &module))
        .unwrap();
    let mut instance = plugin.instantiate(&[], limits()).unwrap();
    faults(update(&mut instance), FaultKind::Trap, "trapped");
}

#[test]
fn no_room_for_one_more() {
    let host = refrain_plugin::Host::new(HostOptions {
        instances_max: 1,
        ..HostOptions::default()
    })
    .unwrap();
    let plugin = host.load("bad.wasm", &guest::sums().build()).unwrap();
    let mut live = vec![];
    let fault = loop {
        match plugin.instantiate(&[], limits()) {
            Ok(instance) => live.push(instance),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::Memory);
    assert!(
        fault.what.contains("no room for one more instance"),
        "{fault}"
    );
    live.pop();
    plugin.instantiate(&[], limits()).unwrap();
}

#[test]
fn the_host_goes_on() {
    let host = host();
    let bad = host
        .load("bad.wasm", &Guest::fold(&said()).build())
        .unwrap();
    let good = host.load("sums", &guest::sums().build()).unwrap();
    let mut good = good.instantiate(&[], limits()).unwrap();
    for _ in 0..100 {
        let mut bad = bad.instantiate(&[], limits()).unwrap();
        faults(update(&mut bad), FaultKind::Trap, "trapped");
        assert_eq!(update(&mut good).unwrap(), []);
    }
}
