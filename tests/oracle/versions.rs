//! Versions at random: nodes of random graphs are upgraded, replayed with other options, cut over and rolled back while rows
//! come in; after each of it every version is proven from the log, and what is read is what a life says in which it was so
//! from the beginning. Versions that begin elsewhere: `beginnings`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use refrain_engine::host::Host;
use refrain_engine::receipt::Receipt;
use refrain_engine::receipt::audit::{Audit, Tools};
use refrain_engine::receipt::audits;
use refrain_engine::receipt::base::Base;
use refrain_engine::receipt::claim::{Claim, ClaimOrder};
use refrain_engine::receipt::ground::Ground;
use refrain_engine::receipt::private::Pace;
use refrain_engine::receipt::prove::{Components, Means, Proof, prove};
use refrain_engine::receipt::sample::Sample;
use refrain_engine::request::{From, Request, Response};
use refrain_engine::run::RunOptions;
use refrain_engine::upgrade::UpgradeOrder;
use refrain_engine::versions::VersionName;
use refrain_engine::versions::request::{Beginning, CutoverOrder, ReplayOrder};
use refrain_log::ids::Sequence;

use crate::graph::{Graph, Node, Work};
use crate::home::{Home, cache, guests, run_once, wait_until};
use crate::random::{self, Case, Dice, Rows};
use crate::scenes::{SECOND, fold, node, once, rows, source, well};

/// Random lives when `REFRAIN_CASES` says nothing.
const CASES: u64 = 16;
const SEED: u64 = 20_261_129_018;

/// What was done and looked at, over all lives.
#[derive(Debug, Default)]
pub(crate) struct Done {
    upgrades: usize,
    backs: usize,
    replays: usize,
    cutovers: usize,
    rollbacks: usize,
    proven: usize,
    audited: usize,
    of_process: usize,
    on_disk: usize,
    /// Versions that begin later than the log, and rows of theirs that were compared with those that are read.
    pub(crate) later: usize,
    pub(crate) compared: u64,
    /// Groups that went on from a savepoint, and those of them whose nodes stood at several cuts there.
    pub(crate) saved: usize,
    pub(crate) uneven: usize,
    /// Receipts proven from a savepoint.
    pub(crate) based: usize,
}

#[test]
fn every_version_is_proven_and_is_what_a_life_of_its_own_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("REFRAIN_SEED") {
        Some(seed) => vec![seed],
        None => (SEED..SEED + number("REFRAIN_CASES").unwrap_or(CASES)).collect(),
    };
    let mut done = Done::default();
    for seed in &seeds {
        let life = std::panic::AssertUnwindSafe(|| Life::new(*seed).lead(&mut done));
        if std::panic::catch_unwind(life).is_err() {
            panic!(
                "case {seed} failed (above). Again: REFRAIN_SEED={seed} cargo nextest run --release --workspace -E \
                 'test(every_version_is_proven)' --no-capture\n{}",
                random::case(*seed).graph.text()
            );
        }
    }
    println!("{} cases: {done:?}", seeds.len());
    if seeds.len() >= CASES as usize {
        let each = [
            done.upgrades,
            done.backs,
            done.replays,
            done.cutovers,
            done.rollbacks,
            done.proven,
            done.audited,
            done.of_process,
            done.on_disk,
            done.later,
            done.saved,
            done.based,
        ];
        assert!(
            each.iter().all(|n| *n > 0),
            "the lives are too tame: {done:?}"
        );
    }
    if seeds.len() >= 10 * CASES as usize {
        assert!(
            done.compared > 0 && done.uneven > 0,
            "the lives are too tame: {done:?}"
        );
    }
}

/// A project in which versions come and go.
pub(crate) struct Life {
    pub(crate) home: Home,
    rows: Rows,
    pub(crate) dice: Dice,
    host: Option<Host>,
    /// The graph before the last cutover, which can be gone back to.
    pub(crate) before: Option<(String, Graph)>,
    /// The last node upgraded, while it can be gone back.
    pub(crate) upgraded: Option<String>,
    /// By view: which of its keys are audited, and the audit that goes on.
    audits: BTreeMap<String, (Option<Sample>, Audit)>,
    /// The last savepoint, while what is read now was read in it.
    pub(crate) saved: Option<String>,
    scratch: tempfile::TempDir,
    pub(crate) marks: u8,
}

impl Life {
    fn new(seed: u64) -> Life {
        let Case {
            mut graph, rows, ..
        } = random::case(seed);
        let mut dice = Dice::new(seed ^ 0x7e55);
        graph.cache = *dice.pick(&[None, None, Some(1), Some(700)]);
        let rows = Rows::new(seed, rows, graph.source.fields.clone());
        let home = Home::new(graph, true);
        Life {
            host: Some(home.open()),
            home,
            rows,
            dice,
            before: None,
            upgraded: None,
            audits: BTreeMap::new(),
            saved: None,
            scratch: tempfile::tempdir().unwrap(),
            marks: 0,
        }
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        drop(self.host.take());
        self.host = Some(self.home.open());
    }

    fn lead(mut self, done: &mut Done) {
        done.on_disk += usize::from(self.home.graph.cache.is_some());
        for _ in 0..5 + self.dice.below(4) {
            self.grow();
            match self.dice.below(14) {
                0 | 1 => self.upgrade(done),
                2 | 3 => self.back(done),
                4..=6 => self.replay(done),
                7 | 8 => self.roll_back(done),
                9 => self.reopen(),
                10 | 11 => self.begin_later(done),
                12 => self.begin_saved(done),
                _ => {}
            }
            if self.dice.one_in(2) {
                self.grow();
            }
            self.look(done);
        }
    }

    /// Rows come, and are taken.
    pub(crate) fn grow(&mut self) {
        self.append();
        let options = RunOptions {
            workers: *self.dice.pick(&[1, 2, 4]),
            drop_instances: self.dice.one_in(2).then(|| self.dice.next()),
            ..once()
        };
        well(&run_once(self.host(), &options));
    }

    /// Rows come.
    pub(crate) fn append(&mut self) {
        for _ in 0..=self.dice.below(3) {
            let size = *self.dice.pick(&[1, 20, 90]);
            let batch: Vec<_> = (0..size).map(|_| self.rows.row()).collect();
            let host = self.host.take().unwrap();
            self.home.append(&host, &batch);
            self.host = Some(host);
            self.home.wait(*self.dice.pick(&[1_000, 3_000_000]));
        }
    }

    pub(crate) fn node(&mut self) -> Node {
        self.dice.pick(&self.home.graph.nodes).clone()
    }

    /// Another component that does the same takes over.
    fn upgrade(&mut self, done: &mut Done) {
        let node = self.node();
        self.marks += 1;
        let component = marked(plugin(&node), self.marks);
        let order = UpgradeOrder {
            name: node.name.clone(),
            component: Some((format!("marked-{}", self.marks), component)),
            back: false,
        };
        self.host().upgrade(&order).unwrap();
        self.upgraded = Some(node.name);
        done.upgrades += 1;
        done.of_process += usize::from(matches!(node.work, Work::Process { .. }));
    }

    /// And the one before again.
    fn back(&mut self, done: &mut Done) {
        let Some(name) = self.upgraded.take() else {
            return;
        };
        let order = UpgradeOrder {
            name,
            component: None,
            back: true,
        };
        self.host().upgrade(&order).unwrap();
        done.backs += 1;
    }

    /// A candidate of a node with another option, and of all that reads it; cut over sometimes.
    fn replay(&mut self, done: &mut Done) {
        let node = self.node();
        let mut graph = self.home.graph.clone();
        let changed = graph.nodes.iter_mut().find(|n| n.name == node.name);
        let set = change(&mut changed.unwrap().work, &mut self.dice);
        let order = ReplayOrder {
            name: node.name.clone(),
            from: Beginning::Log(From::Earliest),
            component: None,
            set: vec![set],
            downstream: true,
            rate: None,
        };
        let replaying = self.host().replay(&order).unwrap();
        let options = RunOptions {
            nodes: replaying.to_run.clone(),
            ..once()
        };
        well(&run_once(self.host(), &options));
        done.replays += 1;
        done.of_process += usize::from(matches!(node.work, Work::Process { .. }));
        let wanted = self.fresh(&graph);
        let mut of_candidates = 0;
        for (view, state) in self.views() {
            let (name, number) = view.split_once('@').unwrap_or((&view, "1"));
            let is_candidate = replaying
                .nodes
                .iter()
                .any(|n| view.strip_prefix("v_") == Some(n.as_str()));
            if is_candidate {
                assert_eq!(state, wanted[name], "version {number} of {name}");
                of_candidates += 1;
            }
        }
        let with_views = replaying.nodes.iter().filter(|n| {
            let (name, _) = n.split_once('@').unwrap();
            graph.nodes.iter().any(|n| n.name == name && !n.to_topic)
        });
        assert_eq!(of_candidates, with_views.count());
        if self.dice.one_in(3) {
            return;
        }
        // By its number: one that was begun before, and goes on, need not be the newest.
        let order = CutoverOrder {
            name: node.name.clone(),
            version: Some(VersionName::parse(&replaying.nodes[0]).number),
            consumers: Vec::new(),
            require: Vec::new(),
        };
        self.host().cutover(&order).unwrap();
        let before = std::mem::replace(&mut self.home.graph, graph);
        self.before = Some((node.name, before));
        self.upgraded = None;
        self.saved = None;
        self.reopen();
        done.cutovers += 1;
    }

    fn roll_back(&mut self, done: &mut Done) {
        let Some((name, graph)) = self.before.take() else {
            return;
        };
        self.host().rollback(&name, None).unwrap();
        self.home.graph = graph;
        self.upgraded = None;
        self.saved = None;
        self.reopen();
        done.rollbacks += 1;
    }

    /// Digest and rows of each view of the host, by its own name.
    pub(crate) fn views(&self) -> Vec<(String, (u128, u64))> {
        let views = self.host().state().views();
        let state = |v: &Arc<refrain_state::view::View>| (v.state().digest, v.state().rows);
        let views = views.iter().map(|v| (v.spec().name.clone(), state(v)));
        views.collect()
    }

    /// What a life of its own says, when this one has taken as much of the log: ticks are written by a thread of the log, when
    /// it finds that they are due, so one life may have one that the other has not yet.
    fn settled(&mut self) -> BTreeMap<String, (u128, u64)> {
        let (mut wanted, mut end) = self.fresh_to(&self.home.graph);
        // Each partition may get one.
        for _ in 0..=self.home.graph.source.partitions {
            let views = self.home.graph.nodes.iter().filter(|n| !n.to_topic);
            let mut live = views.map(|n| self.host().view_named(&n.output()).unwrap().unwrap());
            if live.all(|view| view.state().cut == end) {
                break;
            }
            wait_until(|| self.host().log().durable() >= end);
            well(&run_once(self.host(), &once()));
            (wanted, end) = self.fresh_to(&self.home.graph);
        }
        wanted
    }

    /// The same of a life on this log in which the graph was this from the beginning.
    pub(crate) fn fresh(&self, graph: &Graph) -> BTreeMap<String, (u128, u64)> {
        self.fresh_to(graph).0
    }

    /// And up to where that life has taken the log.
    fn fresh_to(&self, graph: &Graph) -> (BTreeMap<String, (u128, u64)>, Sequence) {
        let home = self.home.another(graph.clone());
        let host = home.open();
        well(&run_once(&host, &once()));
        let (views, nodes) = (host.state().views(), host.state().nodes());
        let cuts = nodes
            .iter()
            .filter_map(|name| Some(host.state().node(name)?.cut));
        let state = |v: &Arc<refrain_state::view::View>| (v.state().digest, v.state().rows);
        let states = views.iter().map(|v| (v.spec().name.clone(), state(v)));
        (states.collect(), cuts.max().unwrap_or(Sequence(0)))
    }

    /// What is read is what a fresh life says; every version is proven; audits go on.
    fn look(&mut self, done: &mut Done) {
        let wanted = self.settled();
        for node in self.home.graph.nodes.clone() {
            if node.to_topic {
                continue;
            }
            let view = node.output();
            let live = self.host().view_named(&view).unwrap().unwrap().state();
            assert_eq!(
                (live.digest, live.rows),
                wanted[&view],
                "{view} as it is read"
            );
            let (_, known) = self.host().node_versions(&node.name).unwrap();
            for version in known.versions.keys() {
                proven(&self.home, self.host(), &view, *version);
                done.proven += 1;
            }
            self.prove_from_savepoint(&view, done);
            self.audit(&view);
            done.audited += 1;
        }
    }

    fn audit(&mut self, view: &str) {
        let (sample, mut audit) = match self.audits.remove(view) {
            Some(known) => known,
            None => {
                let ppm = *self.dice.pick(&[1_000_000, 300_000, 600_000]);
                let sample = Sample::of_ppm(ppm).filter(|s| s.ppm < 1_000_000);
                (sample, Audit::new(self.tools()))
            }
        };
        let order = ClaimOrder {
            name: view.to_owned(),
            version: None,
            sample,
        };
        let claim = self.claim(order);
        let round = audit.round(&claim).unwrap();
        assert_eq!(round.code, 0, "{view}: {}", round.report.what);
        if let Some(receipt) = &round.report.receipt {
            let made = self.host().receipt(view, None).unwrap();
            assert_eq!(**receipt, made, "receipt of {view}");
        }
        self.audits.insert(view.to_owned(), (sample, audit));
    }

    fn claim(&self, order: ClaimOrder) -> Claim {
        let request = Request::Audits(audits::Request::Claim(order));
        match self.host().handle(request) {
            Response::Audits(answer) => match *answer {
                audits::Answer::Claim(claim) => *claim,
                audits::Answer::Noted(_) => panic!("a claim was asked for"),
            },
            other => panic!("not a claim: {other:?}"),
        }
    }

    fn tools(&self) -> Tools {
        Tools {
            root: self.home.folder().to_owned(),
            components: Components::default(),
            cache: Some(cache()),
            scratch: self.scratch.path().to_owned(),
            pace: Arc::new(Pace::new(2, None)),
            afresh: Duration::from_secs(3600),
        }
    }
}

/// Proves the receipt of a version.
fn proven(home: &Home, host: &Host, view: &str, version: u32) {
    let receipt = host.receipt(view, Some(version)).unwrap();
    let proof = proof_of(home, &receipt, None).unwrap();
    assert!(
        proof.equal,
        "version {version} of {view}: {:?}",
        proof.differs
    );
}

/// Proves a receipt, from the beginning or from a savepoint.
pub(crate) fn proof_of(
    home: &Home,
    receipt: &Receipt,
    base: Option<&str>,
) -> refrain_engine::Result<Proof> {
    let mut components = Components::default();
    components.gather(home.folder(), &receipt.components());
    let scratch = tempfile::tempdir().unwrap();
    let open = |name| Base::open(home.folder(), name, scratch.path());
    let base = base.map(open).transpose()?;
    let means = Means {
        ground: &Ground::open(home.folder()).unwrap(),
        components: &components,
        cache: Some(cache()),
        scratch: scratch.path(),
        workers: 2,
    };
    prove(receipt, &means, base.as_ref())
}

/// A tick has no columns: a topic with one once was taken for damaged, and had no receipt.
#[test]
fn a_topic_with_ticks_has_a_receipt_that_is_proven() {
    let nodes = vec![node(
        "windows",
        "events",
        fold(&["ka"], Some(5 * SECOND)),
        false,
    )];
    let source = source(&["kb"], 3, Some(2 * SECOND));
    let mut home = Home::new(Graph::new(source, nodes), true);
    let host = home.open();
    home.append(&host, &rows(40));
    home.wait(3 * SECOND);
    let ticks = || {
        let frames = home.frames(&host, Sequence(u64::MAX));
        frames.iter().any(|frame| !frame.data)
    };
    wait_until(ticks);
    assert!(ticks(), "the writer lives");
    well(&run_once(&host, &once()));
    proven(&home, &host, "v_windows", 1);
}

/// The bytes of the component that a node runs by the pipeline file.
fn plugin(node: &Node) -> Vec<u8> {
    let name = match node.work {
        Work::Transform { .. } => "oracle_transform.wasm",
        Work::Fold { .. } => "oracle.wasm",
        Work::Process { .. } => "oracle_process.wasm",
    };
    read(&guests().join(name))
}

#[expect(clippy::disallowed_methods, reason = "a file of the test")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// The same component with a section that means nothing: other bytes, another digest.
fn marked(mut component: Vec<u8>, mark: u8) -> Vec<u8> {
    let content = [b"\x04mark".as_slice(), &[mark]].concat();
    component.extend([0, content.len() as u8]);
    component.extend(content);
    component
}

/// Changes an option; its name and value.
pub(crate) fn change(work: &mut Work, dice: &mut Dice) -> (String, String) {
    match work {
        Work::Transform { shift } => {
            *shift += 1_000_000 * (1 + dice.below(3).cast_signed());
            ("shift".into(), shift.to_string())
        }
        Work::Fold { options, .. } => {
            options.hide = (options.hide + 1) % 4;
            ("hide".into(), options.hide.to_string())
        }
        Work::Process { options, .. } => {
            options.gap_us += 1_000_000;
            ("gap".into(), options.gap_us.to_string())
        }
    }
}
