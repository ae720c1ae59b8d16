//! Well-behaved guests.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use refrain_plugin::{Entries, Host, HostOptions, Input, Instance, Limits, PluginKind};

use crate::guest;

pub(crate) fn host() -> Host {
    Host::new(HostOptions {
        instances_max: 8,
        ..HostOptions::default()
    })
    .unwrap()
}

fn sums(host: &Host) -> Instance {
    let plugin = host.load("sums", &guest::sums().build()).unwrap();
    plugin.instantiate(&[], Limits::default()).unwrap()
}

fn update(fold: &mut Instance, ns: &[i64], rows: &[u32], slots: &[u32]) -> Vec<u32> {
    let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(ns.to_vec()))];
    let input = Input {
        columns: &columns,
        start: 0,
        count: ns.len(),
    };
    fold.update(input, Entries { rows, slots })
        .unwrap()
        .iter()
        .map(|reject| {
            assert_eq!(reject.reason, "negative");
            reject.row
        })
        .collect()
}

fn evaluate(fold: &mut Instance, slots: &[u32]) -> Vec<Option<i64>> {
    let none = Input {
        columns: &[],
        start: 0,
        count: slots.len(),
    };
    let shown = fold.evaluate(slots, none).unwrap();
    let values = shown.columns[0].as_primitive::<Int64Type>();
    let present = |i| shown.present.as_ref().is_none_or(|bits| bits.value(i));
    (0..values.len())
        .map(|i| present(i).then(|| values.value(i)))
        .collect()
}

#[test]
fn a_fold_says_what_it_is() {
    let host = host();
    let plugin = host.load("sums", &guest::sums().build()).unwrap();
    let about = plugin.about();
    assert_eq!(
        (about.name.as_str(), about.kind),
        ("sums", PluginKind::Fold)
    );
    assert_eq!(about.inputs[0].to_string(), "n: i64");
    assert_eq!(about.outputs[0].to_string(), "sum: i64");
    assert_eq!(about.state_version, 1);
}

/// Counting is another engine with other code: the two share no compiled file, and come to the same.
#[test]
fn fuel_is_counted_by_export_in_a_host_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let host = |fuel| {
        Host::new(HostOptions {
            cache: Some(folder.path().join("code")),
            instances_max: 8,
            fuel,
            ..HostOptions::default()
        })
        .unwrap()
    };
    let life = |host: &Host| {
        let mut fold = sums(host);
        let rejected = update(&mut fold, &[1, -2, 3], &[], &[0, 1, 0]);
        (rejected, evaluate(&mut fold, &[0, 1]))
    };
    let (plain, counting) = (host(false), host(true));
    assert_eq!(life(&plain), life(&counting));
    assert!(plain.burnt().is_none());
    let burnt = || counting.burnt().unwrap().read();
    let once = burnt();
    assert_eq!(
        once.keys().copied().collect::<Vec<_>>(),
        ["fold.evaluate", "fold.update"]
    );
    assert!(
        once.values().all(|used| used.calls == 1 && used.fuel > 0),
        "{once:?}"
    );
    life(&counting);
    for (export, used) in burnt() {
        assert_eq!(
            (used.calls, used.fuel),
            (2, 2 * once[export].fuel),
            "{export}"
        );
    }
    let files = std::fs::read_dir(folder.path().join("code")).unwrap();
    assert_eq!(files.count(), 2, "a file for each engine");
}

#[test]
fn a_fold_takes_rows_into_slots() {
    let host = host();
    let mut fold = sums(&host);
    assert_eq!(update(&mut fold, &[1, 2, 3], &[], &[0, 1, 0]), [0; 0]);
    assert_eq!(
        update(&mut fold, &[10, -1, 30], &[0, 1, 2, 2], &[1, 0, 0, 2]),
        [1]
    );
    assert_eq!(
        evaluate(&mut fold, &[0, 1, 2, 3]),
        [Some(34), Some(12), Some(30), None]
    );
}

#[test]
fn states_move_to_another_instance_and_slot() {
    let host = host();
    let mut fold = sums(&host);
    update(&mut fold, &[5, 7], &[], &[0, 1]);
    let states = fold.save(&[1, 0]).unwrap();
    assert_eq!(states.get(0), 7i64.to_le_bytes());
    drop(fold);
    let mut fold = sums(&host);
    fold.restore(&[4, 9], &states).unwrap();
    update(&mut fold, &[100], &[], &[9]);
    assert_eq!(evaluate(&mut fold, &[4, 9, 0]), [Some(7), Some(105), None]);
}

#[test]
fn a_released_slot_is_new_again() {
    let host = host();
    let mut fold = sums(&host);
    update(&mut fold, &[5, 7], &[], &[0, 1]);
    fold.release(&[0]).unwrap();
    assert_eq!(evaluate(&mut fold, &[0, 1]), [None, Some(7)]);
}

#[test]
fn empty_calls_are_calls() {
    let host = host();
    let mut fold = sums(&host);
    assert_eq!(update(&mut fold, &[], &[], &[]), [0; 0]);
    assert_eq!(evaluate(&mut fold, &[]), []);
    assert_eq!(fold.save(&[]).unwrap().ends, [0; 0]);
    fold.release(&[]).unwrap();
}

#[test]
fn instances_move_between_threads() {
    let host = host();
    let plugin = host.load("sums", &guest::sums().build()).unwrap();
    drop(host);
    let workers: Vec<_> = (0..4)
        .map(|i| {
            let plugin = plugin.clone();
            std::thread::spawn(move || {
                let mut fold = plugin.instantiate(&[], Limits::default()).unwrap();
                update(&mut fold, &[i, 1], &[], &[3, 3]);
                fold
            })
        })
        .collect();
    for (i, worker) in workers.into_iter().enumerate() {
        let mut fold = worker.join().unwrap();
        assert_eq!(evaluate(&mut fold, &[3]), [Some(i as i64 + 1)]);
    }
}
