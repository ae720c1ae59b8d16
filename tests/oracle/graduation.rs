//! Nodes that get other rhythms while they run: windows, sessions, chains through derived topics, process nodes with
//! timers. What they say at a cut is what a host says that never changed a rhythm, and what the model says.

use refrain_engine::host::Host;
use refrain_engine::pipeline::Rhythm;
use refrain_engine::run::{Graduation, RunOptions};

use crate::compare::{Seen, compare};
use crate::graph::{Graph, Kinds, Node, Window, Work};
use crate::home::{Home, last_sequence, run_meanwhile, run_once, status, wait_until};
use crate::process::ProcessOptions;
use crate::random::Dice;
use crate::scenes::{SECOND, digests, fold, node, once, rows, source, well};

/// What nodes become. A time of the calendar does not come while a case runs: the node stands still.
const RHYTHMS: [&str; 5] = ["once", "continuous", "every 2ms", "every 30ms", "0 2 1 1 *"];

/// Changes of rhythm, drawn from a seed.
pub struct Changes {
    dice: Dice,
    /// How many there were.
    pub count: u64,
}

impl Changes {
    pub fn new(seed: u64) -> Changes {
        Changes {
            dice: Dice::new(seed ^ 0x6772_6164),
            count: 0,
        }
    }

    /// Some nodes of a run get other rhythms; what each of them is now.
    pub fn some(&mut self, graph: &Graph, host: &Host) -> Vec<(String, &'static str)> {
        let mut changed = Vec::new();
        for node in &graph.nodes {
            if self.dice.one_in(3) {
                let rhythm = *self.dice.pick(&RHYTHMS);
                changed.push((node.name.clone(), rhythm));
            }
        }
        self.count += changed.len() as u64;
        give(
            host,
            changed
                .iter()
                .map(|(node, rhythm)| (node.as_str(), *rhythm)),
        );
        changed
    }

    /// All nodes get the rhythms of their file again.
    pub fn back(&self, graph: &Graph, host: &Host) {
        let nodes = graph.nodes.iter();
        give(host, nodes.map(|n| (n.name.as_str(), n.rhythm.as_str())));
    }
}

fn give<'a>(host: &Host, rhythms: impl Iterator<Item = (&'a str, &'a str)>) {
    let list = rhythms.map(|(node, rhythm)| Graduation {
        node: node.into(),
        rhythm: Rhythm::parse(rhythm).expect("a rhythm"),
        auto: false,
    });
    host.stopper().graduate(list.collect());
}

fn windowed(name: &str, key: &str, kind: Kinds, to_topic: bool) -> Node {
    let mut work = fold(&[key], None);
    if let Work::Fold { window, .. } = &mut work {
        *window = Some(Window {
            kind,
            lateness_us: SECOND,
            name: "window_start".into(),
        });
    }
    node(name, "events", work, to_topic)
}

fn nodes() -> Vec<Node> {
    let timers = Work::Process {
        key: vec!["kb".into()],
        options: ProcessOptions {
            gap_us: 5 * SECOND,
            step_us: SECOND,
        },
    };
    let mut pairs = node("pairs", "", timers.clone(), false);
    pairs.inputs = vec!["events".into(), "t_copies".into()];
    let mut written = node("written", "", timers, true);
    written.inputs = vec!["t_copies".into(), "events".into()];
    let sliding = Kinds::Sliding {
        size_us: 10 * SECOND,
        every_us: 4 * SECOND,
    };
    let session = Kinds::Session { gap_us: 6 * SECOND };
    vec![
        node("copies", "events", Work::Transform { shift: 0 }, true),
        node("closed", "t_copies", fold(&["ka"], Some(5 * SECOND)), true),
        node("total", "t_closed", fold(&["ka"], None), false),
        windowed("sliding", "kb", sliding, false),
        windowed("sessions", "ka", session, false),
        windowed("counted", "kb", Kinds::Count { rows: 7 }, false),
        pairs,
        written,
        node(
            "after",
            "t_written",
            fold(&["kb"], Some(20 * SECOND)),
            false,
        ),
    ]
}

fn home(call_rows: usize) -> Home {
    let mut nodes = nodes();
    nodes.iter_mut().for_each(|n| n.call_rows = call_rows);
    Home::new(Graph::new(source(&["kb"], 3, None), nodes), false)
}

/// At each of many cuts, with all nodes under way in rhythms that change: the digests of a host that ran once to each cut.
#[test]
fn digests_at_a_cut_are_the_same_however_often_rhythms_change() {
    const CHUNK: usize = 60;
    let rows = rows(6 * CHUNK);
    let mut plain = home(4096);
    let host = plain.open();
    let mut wanted = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        plain.append(&host, chunk);
        well(&run_once(&host, &once()));
        wanted.push((last_sequence(&host), digests(&host)));
    }
    assert!(
        wanted.windows(2).all(|w| w[0] != w[1]),
        "each chunk changes views"
    );
    for (seed, call_rows) in [(1, 1), (2, 7), (3, 4096)] {
        let mut home = home(call_rows);
        let host = home.open();
        let mut changes = Changes::new(seed);
        let mut found = Vec::new();
        let options = RunOptions {
            workers: 2,
            drop_instances: Some(seed),
            ..RunOptions::default()
        };
        let report = run_meanwhile(&host, &options, || {
            let standing = |r: &str| r == "once" || r.starts_with('0');
            for chunk in rows.chunks(CHUNK) {
                changes.some(&home.graph, &host);
                home.append(&host, chunk);
                let changed = changes.some(&home.graph, &host);
                // Those that would stand still make a pass more, or go on.
                give(
                    &host,
                    changed
                        .iter()
                        .filter(|c| c.1 == "once")
                        .map(|c| (c.0.as_str(), "once")),
                );
                let rest = home.graph.nodes.iter().filter(|node| {
                    let drawn = changed.iter().find(|c| c.0 == node.name);
                    drawn.is_none_or(|c| standing(c.1) && c.1 != "once")
                });
                give(&host, rest.map(|node| (node.name.as_str(), "every 2ms")));
                let last = last_sequence(&host);
                wait_until(|| status(&host).iter().all(|node| node.cut.0 >= last));
                found.push((last, digests(&host)));
            }
            changes.back(&home.graph, &host);
        });
        well(&report);
        assert!(changes.count > 20, "seed {seed}: {} changes", changes.count);
        assert_eq!(found, wanted, "seed {seed}, {call_rows} rows a call");
        let mut seen = Seen::default();
        compare(&home, &host, &mut seen);
        assert!(
            seen.finals > 0 && seen.fired > 0 && seen.sessions > 0,
            "{seen:?}"
        );
    }
}
