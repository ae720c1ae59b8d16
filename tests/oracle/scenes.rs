//! Scenes that a user may meet, each against the model: rows that trap, plugins that remember, nodes that stop, changed
//! nodes, a store that is gone, quiet partitions.

use refrain_engine::host::Host;
use refrain_engine::request::{Request, Response};
use refrain_engine::run::{RunOptions, RunReport};
use refrain_log::log::Append;
use refrain_log::schema::{Field, Kind, Schema};

use crate::compare::{Seen, compare};
use crate::graph::{Graph, Kinds, Node, Source, Window, Work, transformed_fields};
use crate::guests::{FoldOptions, TRAP};
use crate::home::{Home, guests, run_meanwhile, run_once, status};
use crate::random::{RowStyle, Rows};
use crate::value::{Row, Value, to_batch};

pub const SECOND: i64 = 1_000_000;

pub fn source(key: &[&str], partitions: u32, idle_us: Option<i64>) -> Source {
    Source {
        fields: transformed_fields(),
        key: key.iter().map(|k| k.to_string()).collect(),
        partitions,
        disorder_us: SECOND,
        idle_us,
        ahead_us: 3600 * SECOND,
    }
}

pub fn node(name: &str, input: &str, work: Work, to_topic: bool) -> Node {
    Node {
        name: name.into(),
        inputs: vec![input.into()],
        partitions: None,
        work,
        to_topic,
        call_rows: 4096,
        rhythm: "continuous".into(),
    }
}

pub fn fold(key: &[&str], window_us: Option<i64>) -> Work {
    Work::Fold {
        key: key.iter().map(|k| k.to_string()).collect(),
        window: window_us.map(|size_us| Window {
            kind: Kinds::Tumbling { size_us },
            lateness_us: SECOND,
            name: "window_start".into(),
        }),
        keep_us: None,
        options: FoldOptions {
            hide: 0,
            refuse: true,
        },
    }
}

pub fn rows(count: usize) -> Vec<Row> {
    let style = RowStyle {
        pace_us: 1_500_000,
        disorder_us: SECOND,
        traps: 0,
        extreme_times: false,
        keys: 3,
    };
    let mut rows = Rows::new(7, style, transformed_fields());
    (0..count).map(|_| rows.row()).collect()
}

pub fn once() -> RunOptions {
    RunOptions {
        once: true,
        workers: 2,
        ..RunOptions::default()
    }
}

pub fn well(report: &RunReport) {
    assert!(report.stopped.is_empty(), "{:?}", report.stopped);
}

pub fn digests(host: &Host) -> Vec<(String, u128)> {
    let views = host.state().views();
    views
        .iter()
        .map(|v| (v.spec().name.clone(), v.state().digest))
        .collect()
}

#[test]
fn a_trapping_row_is_a_dead_letter_and_its_neighbours_survive() {
    for (call_rows, partitions) in [(1, 1), (7, 3), (4096, 1), (4096, 3)] {
        let mut nodes = vec![
            node("total", "events", fold(&["kb"], None), false),
            node("windowed", "events", fold(&["ka"], Some(5 * SECOND)), false),
            node("copies", "events", Work::Transform { shift: 0 }, true),
            node("after", "t_copies", fold(&["kb"], Some(5 * SECOND)), false),
        ];
        nodes.iter_mut().for_each(|n| n.call_rows = call_rows);
        let source = source(&["kb"], partitions, None);
        let mut home = Home::new(Graph::new(source, nodes), false);
        let mut rows = rows(60);
        for trapping in [0, 20, 21, 59] {
            rows[trapping][7] = Value::Int(TRAP);
        }
        let host = home.open();
        let (first, second) = rows.split_at(30);
        home.append(&host, first);
        well(&run_once(&host, &once()));
        home.append(&host, second);
        well(&run_once(&host, &once()));
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(
            seen.rejected >= 12,
            "four rows trap in three nodes: {seen:?}"
        );
    }
}

/// Each trapping row once had its node read everything since the last commit again.
#[test]
fn many_traps_in_one_round_cost_as_many_rows_as_few() {
    let mut nodes = vec![
        node("total", "events", fold(&["kb"], None), false),
        node("windowed", "events", fold(&["ka"], Some(5 * SECOND)), false),
        node("copies", "events", Work::Transform { shift: 0 }, false),
    ];
    nodes.iter_mut().for_each(|n| n.call_rows = 1024);
    let (count, each) = (20_000, nodes.len() as u64);
    let source = source(&["kb"], 1, None);
    let mut home = Home::new(Graph::new(source, nodes), false);
    let mut rows = rows(count);
    for trapping in (0..count).step_by(25) {
        rows[trapping][7] = Value::Int(TRAP);
    }
    let host = home.open();
    home.append(&host, &rows);
    let report = run_once(&host, &once());
    well(&report);
    let mut seen = Seen::default();
    compare(&home, &host, &mut seen);
    assert!(seen.rejected >= 500 * each, "{seen:?}");
    assert!(report.rounds_again <= each, "{report:?}");
    // A call of 1024 is halved until its culprits are alone: ten times at most.
    let bound = (2 * 10 + 2) * count as u64 * each;
    assert!(
        report.rows_handed <= bound,
        "{} > {bound}",
        report.rows_handed
    );
}

#[test]
fn a_trap_that_does_not_repeat_stops_its_node_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
    let bad = guests().join("../bad/bad.wasm");
    std::fs::copy(bad, folder.path().join("plugins/bad.wasm")).unwrap();
    let project = refrain_engine::host::Project::new(folder.path());
    let node = |name: &str, behaviour: &str| {
        format!(
            "[node.{name}]\nplugin = \"bad\"\ninput = \"events\"\nkey = [\"k\"]\nview = \"{name}\"\ncall_rows = 1\n\
             options = {{ behaviour = \"{behaviour}\" }}\n"
        )
    };
    let text = format!(
        "[run]\ncommit_interval = \"1ms\"\n[topic.events]\nschema = {{ k = \"i64\", value = \"i64\" }}\nkey = [\"k\"]\n{}{}",
        node("forgetful", "trap-third-call"),
        node("sound", "none")
    );
    #[expect(clippy::disallowed_methods, reason = "a file of the test")]
    std::fs::write(project.pipeline_file(), text).unwrap();
    let schema = Schema::new(vec![
        Field::new("k", Kind::I64),
        Field::new("value", Kind::I64),
    ]);
    let append = |host: &Host| {
        let rows: Vec<Row> = (0..6).map(|i| vec![Value::Int(i), Value::Int(i)]).collect();
        let appended = host.log().append(Append {
            topic: "events".into(),
            rows: to_batch(&schema, &rows),
            row_numbers: Vec::new(),
            input: "test".into(),
            undecoded: Vec::new(),
            producer: None,
        });
        appended.unwrap();
    };
    let host = Host::open(project).unwrap();
    append(&host);
    let report = run_once(&host, &once());
    assert_eq!(report.stopped.len(), 1, "{:?}", report.stopped);
    let (name, error) = &report.stopped[0];
    assert_eq!(name, "forgetful");
    assert!(error.to_string().contains("remembers something"), "{error}");
    append(&host);
    // Continuous: the one stops again, the other takes what comes.
    let report = std::thread::scope(|scope| {
        let options = RunOptions {
            once: false,
            ..once()
        };
        let host = &host;
        let run = scope.spawn(move || host.run(&options, Some(crate::home::cache())));
        append(host);
        let taken = || {
            status(host)
                .iter()
                .any(|n| n.name == "sound" && n.counts.get("rows") == Some(&18))
        };
        crate::home::wait_until(taken);
        host.stopper().stop();
        run.join().unwrap().unwrap()
    });
    assert_eq!(report.stopped.len(), 1, "{:?}", report.stopped);
    let nodes = status(&host);
    assert_eq!(
        nodes[0].counts.get("rows").copied().unwrap_or(0),
        0,
        "{:?}",
        nodes[0]
    );
    assert_eq!(nodes[1].counts["rows"], 18);
}

#[test]
fn a_changed_node_is_refused_until_it_is_rebuilt_with_all_that_read_it() {
    let nodes = vec![
        node("windowed", "events", fold(&["ka"], Some(5 * SECOND)), true),
        node("total", "t_windowed", fold(&["ka"], None), false),
        node("other", "events", fold(&["kb"], None), false),
    ];
    let source = source(&["kb"], 3, None);
    let mut home = Home::new(Graph::new(source, nodes), false);
    let host = home.open();
    home.append(&host, &rows(80));
    well(&run_once(&host, &once()));
    let mut seen = Seen::default();
    compare(&home, &host, &mut seen);
    drop(host);
    if let Work::Fold { options, .. } = &mut home.graph.nodes[0].work {
        options.hide = 2;
    }
    let host = home.open();
    let before = digests(&host);
    let report = run_once(&host, &once());
    let (node, said) = &report.kept[0];
    assert_eq!((report.kept.len(), node.as_str()), (1, "windowed"));
    assert!(said.contains("--rebuild windowed"), "{said}");
    assert_eq!(digests(&host), before, "a node goes on as it was built");
    let rebuild = RunOptions {
        rebuild: vec!["windowed".into()],
        ..once()
    };
    well(&run_once(&host, &rebuild));
    compare(&home, &host, &mut seen);
    assert_ne!(digests(&host), before);
    assert!(seen.derived > 0);
}

#[test]
fn the_store_can_be_deleted_at_any_time() {
    for derived in [false, true] {
        let nodes = vec![
            node("copies", "events", Work::Transform { shift: 0 }, true),
            node(
                "windowed",
                "t_copies",
                fold(&["ka"], Some(5 * SECOND)),
                true,
            ),
            node("total", "t_windowed", fold(&["ka"], None), false),
            node("open", "events", fold(&["kb"], Some(60 * SECOND)), false),
        ];
        let source = source(&["kb"], 3, None);
        let mut home = Home::new(Graph::new(source, nodes), false);
        let host = home.open();
        for batch in rows(90).chunks(30) {
            home.append(&host, batch);
            well(&run_once(&host, &once()));
        }
        let before = digests(&host);
        assert!(
            before.len() == 2 && before.iter().all(|d| d.1 != 0),
            "{before:?}"
        );
        drop(host);
        home.forget(derived);
        let host = home.open();
        well(&run_once(&host, &once()));
        assert_eq!(digests(&host), before);
        compare(&home, &host, &mut Seen::default());
    }
}

/// A derived topic did not inherit `idle`: one quiet partition of the source held back every window behind a transform.
#[test]
fn a_quiet_partition_holds_back_nobody_behind_a_transform() {
    let nodes = vec![
        node("copies", "events", Work::Transform { shift: 0 }, true),
        node(
            "windowed",
            "t_copies",
            fold(&["ka"], Some(5 * SECOND)),
            false,
        ),
    ];
    let source = source(&["kb"], 3, Some(2 * SECOND));
    let mut home = Home::new(Graph::new(source, nodes), false);
    let host = home.open();
    let mut rows = rows(60);
    for row in &mut rows {
        (row[2], row[7]) = (Value::Int(7), Value::Int(1));
    }
    for row in rows.chunks(20) {
        home.append(&host, row);
        home.wait(3 * SECOND);
    }
    well(&run_once(&host, &once()));
    let mut seen = Seen::default();
    compare(&home, &host, &mut seen);
    assert!(seen.finals > 0, "{seen:?}");
}

/// A window without a key was opened as a transform.
#[test]
fn a_window_needs_no_key() {
    let nodes = vec![node("all", "events", fold(&[], Some(5 * SECOND)), false)];
    let source = source(&["kb"], 3, None);
    let mut home = Home::new(Graph::new(source, nodes), false);
    let host = home.open();
    home.append(&host, &rows(60));
    well(&run_once(&host, &once()));
    let mut seen = Seen::default();
    compare(&home, &host, &mut seen);
    assert!(seen.finals > 0, "{seen:?}");
}

/// A stop asked for when nothing runs is no business of the next run.
#[test]
fn a_stop_between_runs_stops_no_later_run() {
    let nodes = vec![node("total", "events", fold(&["kb"], None), false)];
    let mut home = Home::new(Graph::new(source(&["kb"], 1, None), nodes), false);
    let host = home.open();
    home.append(&host, &rows(10));
    assert!(matches!(
        host.handle(Request::Stop),
        Response::Stopping | Response::Refused { .. }
    ));
    well(&run_once(&host, &once()));
    let mut seen = Seen::default();
    compare(&home, &host, &mut seen);
    assert!(seen.rows > 0, "the run did nothing");
    let options = RunOptions {
        once: false,
        ..once()
    };
    well(&run_meanwhile(&host, &options, || {
        home.append(&host, &rows(10))
    }));
    compare(&home, &host, &mut seen);
}
