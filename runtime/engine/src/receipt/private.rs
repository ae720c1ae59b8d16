//! Nodes executed in private up to a cut: they read source topics of a log, and keep what they write, derived topics and
//! commits, in a folder of their own that goes with them. Nothing of the project is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use refrain_log::clock::{Clock, SystemClock};
use refrain_log::ids::Sequence;
use refrain_log::log::Log;
use refrain_log::storage::{DiskStorage, Storage};
use refrain_log::topic::Topic;
use refrain_plugin::Plugin;
use refrain_state::commit::State;
use refrain_state::view::{View, ViewSpec};

use super::How;
use super::sample::Sample;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pipeline::{Output, PlannedNode};
use crate::run::{Event, Run, RunOptions, Stopper, Terms, Timing, Upstream};
use crate::status::StatusBoard;
use crate::task::NodeSetup;
use crate::upgrade::taken_over;

/// Time between commits; nobody waits for them.
const TIMING: Timing = Timing {
    interval: Duration::from_secs(5),
    stall_after: Duration::MAX,
};
/// What names of folders begin with.
const PREFIX: &str = "refrain-";
/// A file in each, locked as long as somebody works there.
const LOCK: &str = "lock";

/// A node to be executed, under the names of its version.
#[derive(Clone, Debug)]
pub(crate) struct PrivateNode {
    pub(crate) planned: PlannedNode,
    pub(crate) plugin: Plugin,
    /// Source frames up to this one are not taken.
    pub(crate) after: Sequence,
    /// Only these keys; none: all.
    pub(crate) sample: Option<Sample>,
}

/// How nodes are executed.
pub struct Pace {
    /// Worker threads.
    pub(crate) workers: usize,
    /// Rows a second that a node takes at most; none: no limit.
    pub(crate) rate: Option<u64>,
    events: (Sender<Event>, Receiver<Event>),
    stopped: AtomicBool,
}

impl Pace {
    /// With so many worker threads, and rows a second at most.
    pub fn new(workers: usize, rate: Option<u64>) -> Pace {
        let events = unbounded();
        Pace {
            workers,
            rate,
            events,
            stopped: AtomicBool::new(false),
        }
    }

    /// Ends what is executed at a commit, and all that would be executed later at once. May be called from any thread.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        Stopper(self.events.0.clone()).stop();
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// Nodes with a folder of their own.
pub(crate) struct Private {
    pub(crate) log: Arc<Log>,
    pub(crate) state: State,
    _folder: Scratch,
}

/// A folder that goes when this is dropped, and else with the next one: whoever is killed leaves it unlocked.
pub(super) struct Scratch {
    path: PathBuf,
    _lock: Box<dyn Send + Sync>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in a folder for temporary files.
        let _ = DiskStorage.remove_dir_all(&self.path);
    }
}

impl Scratch {
    pub(super) fn new(parent: &Path) -> Result<Scratch> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        sweep(parent);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let made = DiskStorage.remove_dir_all(&path);
        let made = made.and_then(|()| DiskStorage.create_dir_all(&path));
        let lock = made.and_then(|()| DiskStorage.lock(&path.join(LOCK)));
        let lock = lock.map_err(|source| Error::Io {
            action: "make",
            path: path.display().to_string(),
            source,
        })?;
        Ok(Scratch { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what processes that were killed have left here.
fn sweep(parent: &Path) {
    for name in DiskStorage.list(parent).unwrap_or_default() {
        let Some((process, number)) = name.strip_prefix(PREFIX).and_then(|n| n.split_once('-'))
        else {
            continue;
        };
        let is_ours = process.parse::<u32>().is_ok() && number.parse::<u64>().is_ok();
        let path = parent.join(&name);
        if is_ours
            && path.join(LOCK).is_file()
            && let Ok(_lock) = DiskStorage.lock(&path.join(LOCK))
        {
            // What cannot be removed belongs to somebody else.
            let _ = DiskStorage.remove_dir_all(&path);
        }
    }
}

impl Private {
    /// With a new folder in this one.
    pub(crate) fn new(parent: &Path) -> Result<Private> {
        let folder = Scratch::new(parent)?;
        let storage: Arc<dyn Storage> = Arc::new(DiskStorage);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (log, _) = Log::open(
            Arc::clone(&storage),
            Arc::clone(&clock),
            folder.path.join("topics"),
        )?;
        let (state, _) = State::open(storage, clock, folder.path.join("commits"))?;
        Ok(Private {
            log: Arc::new(log),
            state,
            _folder: folder,
        })
    }

    /// Brings nodes, each after what it reads, from where they are to commits at exactly this cut, unless it is stopped
    /// before: whether they have got there.
    pub(crate) fn run(
        &self,
        source: &Log,
        nodes: &[PrivateNode],
        cut: Sequence,
        pace: &Pace,
    ) -> Result<bool> {
        self.log.raise_sequence(cut);
        let mut ready: Vec<(Node, Vec<Upstream>)> = Vec::new();
        for node in nodes {
            self.declare(&node.planned)?;
            let setup = self.setup(source, node)?;
            let upstreams = upstreams(&node.planned, &ready);
            let mut node = Node::recover(setup, &self.log, &self.state)?.starting_after(node.after);
            node.terms = Terms {
                background: false,
                rate: pace.rate,
            };
            ready.push((node, upstreams));
        }
        let options = RunOptions {
            once: true,
            workers: pace.workers,
            ..RunOptions::default()
        };
        let board = StatusBoard::default();
        let report = Run::run(
            &self.log,
            &self.state,
            &board,
            ready,
            TIMING,
            &options,
            pace.events.clone(),
        )?;
        match report.stopped.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(!pace.is_stopped()),
        }
    }

    /// Lets go of rows of derived topics that all nodes have read: nobody else will.
    pub(crate) fn let_go(&self) -> Result<()> {
        for topic in self.log.topics() {
            for partition in 0..topic.spec().partitions {
                let name = &topic.spec().name;
                self.log.seal(name, partition)?;
                self.log.trim(name, partition, topic.end(partition))?;
            }
        }
        Ok(())
    }

    /// Lets another build take over a node at its last commit.
    pub(crate) fn take_over(&self, heir: &PrivateNode, how: How, from: u32) -> Result<()> {
        let (commit, _) = taken_over(&self.state, &heir.planned, &heir.plugin, how, from)?;
        Ok(self.state.commit(vec![commit])?)
    }

    /// The view that a node keeps.
    pub(crate) fn view(&self, node: &str) -> Result<Arc<View>> {
        let views = self.state.views();
        let view = views.into_iter().find(|v| v.spec().node == node);
        view.ok_or_else(|| Error::Refused(format!("node {node} keeps no view")))
    }

    pub(super) fn declare(&self, node: &PlannedNode) -> Result<()> {
        for spec in node.derived_topics() {
            self.log.declare(spec)?;
        }
        if let Output::View(view) = &node.output {
            self.state.declare_view(ViewSpec {
                name: view.clone(),
                node: node.name.clone(),
                schema: node.output_schema.clone(),
                key_fields: node.output_key_fields,
            })?;
        }
        Ok(())
    }

    fn setup(&self, source: &Log, node: &PrivateNode) -> Result<Arc<NodeSetup>> {
        let mut topics = Vec::new();
        for (place, input) in node.planned.inputs.iter().enumerate() {
            let log = match input.derived {
                true => &self.log,
                false => source,
            };
            let topic = log.topic(&input.topic).ok_or_else(|| {
                Error::Refused(format!(
                    "node {} reads topic {}, which is not there",
                    node.planned.name, input.topic
                ))
            })?;
            topics.push(as_read(&node.planned, place, topic));
        }
        Ok(Arc::new(NodeSetup {
            plan: node.planned.clone(),
            plugin: node.plugin.clone(),
            topics,
            sample: node.sample,
        }))
    }
}

/// A topic in the newest version of its schema that has the fields of an input as the node reads them: types may have
/// been widened since it ran.
fn as_read(node: &PlannedNode, input: usize, topic: Arc<Topic>) -> Arc<Topic> {
    let mut versions = topic.history().versions().iter().rev();
    let fits = versions.find(|v| node.finds(input, &v.schema));
    match fits.map(|version| version.version) {
        Some(version) if version != topic.version() => Arc::new(topic.under(version)),
        _ => topic,
    }
}

fn upstreams(node: &PlannedNode, ready: &[(Node, Vec<Upstream>)]) -> Vec<Upstream> {
    let upstream = |topic: &String| {
        let output = Output::Topic(topic.clone());
        let writes = |(node, _): &(Node, Vec<Upstream>)| node.setup.plan.output == output;
        let writer = ready.iter().position(writes);
        writer.map_or(Upstream::Source, Upstream::Node)
    };
    node.input_topics().iter().map(upstream).collect()
}
