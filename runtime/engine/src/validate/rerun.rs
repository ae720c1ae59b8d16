//! A version computed again from the log, in memory, beside everything: it reads the topics of the host and writes to a
//! log and a state of its own, which nobody else sees and which go with it.
//!
//! It goes forward in steps. What a step changes can be looked at before it is kept: kept, the version stands there; given
//! up, it stands where it stood. So a step that went too far costs itself, and nothing is computed from the beginning twice.
//!
//! A version that was upgraded is what its builds made of the log one after another: each takes over where it did, and no
//! step goes over such a cut.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use refrain_log::clock::SystemClock;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::log::Log;
use refrain_log::storage::{MemoryStorage, Storage};
use refrain_state::commit::State;
use refrain_state::view::{View, ViewChanges, ViewSpec};
use serde::Deserialize;

use super::value::Value;
use crate::error::{Error, Result};
use crate::host::{Host, load_with};
use crate::node::Node;
use crate::pipeline::{Output, PlannedNode};
use crate::receipt::How;
use crate::request::Table;
use crate::task::{Failure, NodeSetup, Prepared, Progress};
use crate::upgrade::{Past, taken_over};
use crate::versions::roster::Member;
use crate::versions::{Version, VersionName};

/// One version, computed again.
pub(crate) struct Rerun {
    node: Node,
    /// None: it writes a topic.
    view: Option<Arc<View>>,
    log: Log,
    state: State,
    /// Rows taken so far, those of steps given up included.
    pub(crate) rows: u64,
    /// Builds that are still to take over, the next one last.
    heirs: Vec<Heir>,
}

/// A build that takes over at a cut.
struct Heir {
    at: Sequence,
    how: How,
    /// Version of the states that it takes.
    from: u32,
    setup: Arc<NodeSetup>,
}

/// What a step changes, not kept yet.
pub(crate) struct Step {
    cut: Sequence,
    prepared: Vec<Prepared>,
}

/// Keys of a view, each with where it was seen.
#[derive(Default)]
pub(super) struct Keys {
    batches: Vec<RecordBatch>,
    at: BTreeMap<Vec<Value>, (usize, usize)>,
}

impl Keys {
    /// Adds the keys of these rows, which begin with the key fields.
    pub(super) fn add(&mut self, rows: &RecordBatch, key_fields: usize) {
        let places: Vec<usize> = (0..key_fields).collect();
        let keys = rows
            .project(&places)
            .expect("a view's rows begin with its key");
        for row in 0..keys.num_rows() {
            let key = keys.columns().iter().map(|c| Value::of(c, row)).collect();
            self.at.insert(key, (self.batches.len(), row));
        }
        self.batches.push(keys);
    }

    /// Adds the keys of others.
    pub(super) fn extend(&mut self, others: &Keys) {
        for batch in &others.batches {
            self.add(batch, batch.num_columns());
        }
    }

    fn holds(&self, key: &[Value]) -> bool {
        self.at.contains_key(key)
    }

    fn each(&self) -> impl Iterator<Item = (&Vec<Value>, RecordBatch)> {
        let one = |(batch, row): (usize, usize)| self.batches[batch].slice(row, 1);
        self.at.iter().map(move |(key, at)| (key, one(*at)))
    }
}

impl Host {
    /// A version as a run would have it.
    pub(super) fn member(&self, version: &VersionName) -> Result<Member> {
        let loaded = load_with(self.project(), self.declaration(), &mut self.loader())?;
        let members = self.roster(&loaded)?.members;
        let found = members.into_iter().find(|m| m.version == *version);
        found.ok_or_else(|| Error::Refused(format!("there is no version {version}")))
    }

    /// Begins to compute a version again, as all the builds that it was.
    pub(super) fn rerun_version(&self, member: &Member) -> Result<Rerun> {
        let (name, number) = (&member.version.name, member.version.number);
        let (_, known) = self.node_versions(name)?;
        let Some(version) = known.versions.get(&number) else {
            return Err(Error::Refused(format!(
                "there is no version {name}@{number}"
            )));
        };
        let takeovers = &version.takeovers;
        let mut members = Vec::new();
        for past in &takeovers.past {
            members.push(self.as_built(member, version, past)?);
        }
        members.push(member.clone());
        let cuts = takeovers.past.iter().map(|past| (past.how, past.since));
        let cuts = cuts.chain([(takeovers.how, takeovers.since)]);
        let mut heirs = Vec::new();
        for ((heir, (how, at)), before) in members.iter().zip(cuts).skip(1).zip(&members) {
            heirs.push(Heir {
                at,
                how,
                from: before.planned.about.state_version,
                setup: self.setup(&heir.planned, heir.plugin.clone())?,
            });
        }
        heirs.reverse();
        let first = members
            .into_iter()
            .next()
            .expect("there is the present build");
        Ok(Rerun {
            heirs,
            ..self.rerun(&first)?
        })
    }

    /// A version as it was before another build took over.
    fn as_built(&self, member: &Member, version: &Version, past: &Past) -> Result<Member> {
        let planned = PlannedNode::deserialize(&past.plan).map_err(|error| {
            Error::Refused(format!(
                "what version {} was before its upgrade cannot be read ({error})",
                member.version
            ))
        })?;
        let bytes = self.components.get(&past.component)?;
        let planned = planned.operated_as(&member.planned);
        let plugin = self.loader().load_for(&planned, &bytes)?;
        Ok(Member {
            planned: planned.of_version(member.version.number, &version.inputs),
            plugin,
            ..member.clone()
        })
    }

    /// Begins to compute a version again, as one build.
    pub(crate) fn rerun(&self, member: &Member) -> Result<Rerun> {
        self.rerun_in(member, Arc::new(MemoryStorage::new(0)), Path::new(""))
    }

    /// The same, with what it writes in this folder, which has nothing yet.
    pub(crate) fn rerun_in(
        &self,
        member: &Member,
        storage: Arc<dyn Storage>,
        folder: &Path,
    ) -> Result<Rerun> {
        refuse_gone(self, member)?;
        let clock = Arc::new(SystemClock);
        let topics = folder.join("topics");
        let (log, _) = Log::open(Arc::clone(&storage), clock.clone(), topics)?;
        let (state, _) = State::open(storage, clock, folder.join("commits"))?;
        for spec in member.planned.derived_topics() {
            log.declare(spec)?;
        }
        let view = match &member.planned.output {
            Output::Topic(_) => None,
            Output::View(view) => Some(state.declare_view(ViewSpec {
                name: view.clone(),
                node: member.planned.name.clone(),
                schema: member.planned.output_schema.clone(),
                key_fields: member.planned.output_key_fields,
            })?),
        };
        let setup = self.setup(&member.planned, member.plugin.clone())?;
        let node = Node::recover(setup, &log, &state)?.starting_after(member.start.after);
        Ok(Rerun {
            node,
            view,
            log,
            state,
            rows: 0,
            heirs: Vec::new(),
        })
    }
}

/// What is no longer kept cannot be taken again.
fn refuse_gone(host: &Host, member: &Member) -> Result<()> {
    for name in member.planned.input_topics() {
        let Some(topic) = host.log().topic(&name) else {
            continue;
        };
        for partition in 0..topic.spec().partitions {
            let start = topic.start(partition);
            let first = host.first_after(&topic, partition, member.start.after);
            if start > Offset(0) && first <= start {
                return Err(Error::Refused(format!(
                    "version {} began before what is still kept of topic {name} (partition {partition} begins at offset \
                     {start}), so it cannot be computed again from the log; compare versions that begin later",
                    member.version
                )));
            }
        }
    }
    Ok(())
}

impl Rerun {
    /// The node as planned.
    pub(super) fn plan(&self) -> &PlannedNode {
        &self.node.setup.plan
    }

    fn view(&self) -> &View {
        let view = self.view.as_ref();
        view.expect("only versions that keep a view are compared")
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> Sequence {
        self.node.committed
    }

    /// Bytes that its commits took in the commit log, and those of the topics that it writes.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let topics = self.log.topics();
        let topics = topics.iter().map(|topic| topic.bytes());
        (self.state.written().commit_bytes, topics.sum())
    }

    /// The next cut over which no step may go: there, another build takes over.
    pub(super) fn next_takeover(&self) -> Option<Sequence> {
        self.heirs.last().map(|heir| heir.at)
    }

    /// Takes all up to a cut, and keeps it.
    pub(super) fn advance(&mut self, cut: Sequence) -> Result<()> {
        while self.at() < cut {
            let to = self
                .next_takeover()
                .map_or(cut, |takeover| cut.min(takeover));
            let step = self.step(to, None)?;
            self.keep(step)?;
        }
        Ok(())
    }

    /// Lets builds take over whose cut this is.
    fn take_over(&mut self) -> Result<()> {
        let at = self.at();
        while let Some(heir) = self.heirs.pop_if(|heir| heir.at <= at) {
            let (plan, plugin) = (&heir.setup.plan, &heir.setup.plugin);
            // Of a version that had taken nothing yet there is nothing to take over.
            if self.state.node(&plan.name).is_some() {
                let (commit, _) = taken_over(&self.state, plan, plugin, heir.how, heir.from)?;
                self.state.commit(vec![commit])?;
            }
            self.node.become_build(heir.setup);
        }
        Ok(())
    }

    /// Takes all up to a cut, without keeping it. `rows`: of the frame at the cut only the rows before this one.
    pub(crate) fn step(&mut self, cut: Sequence, rows: Option<u32>) -> Result<Step> {
        let clip = rows.map(|rows| (cut, rows));
        if self.node.clip != clip {
            self.node.clip = clip;
            self.node.tasks.clear();
        }
        loop {
            if self.node.tasks.is_empty() {
                self.node.open_tasks(&self.log, &self.state)?;
            }
            match self.attempt(cut) {
                Ok(mut prepared) => {
                    prepared.sort_by_key(|p| p.changes.task);
                    self.rows += prepared.iter().map(|p| p.counts.rows).sum::<u64>();
                    return Ok(Step { cut, prepared });
                }
                Err((task, Failure::Suspect(suspicion))) => {
                    self.node.roll_back(&self.state)?;
                    self.node.suspicions.insert(task, *suspicion);
                }
                Err((_, Failure::Stop(error))) => {
                    self.node.roll_back(&self.state)?;
                    return Err(error);
                }
            }
        }
    }

    fn attempt(&mut self, cut: Sequence) -> Result<Vec<Prepared>, (u32, Failure)> {
        let mut prepared = Vec::new();
        let mut open: Vec<usize> = (0..self.node.tasks.len()).collect();
        while !open.is_empty() {
            let mut waiting = Vec::new();
            for place in open {
                let task = self.node.tasks[place].as_mut();
                let task = task.expect("tasks of a version that is computed again stay at home");
                let done = loop {
                    match task.step(cut) {
                        Ok(Progress::More) => {}
                        Ok(Progress::Wait) => break None,
                        Ok(Progress::Done) => break Some(task.prepare()),
                        Err(failure) => break Some(Err(failure)),
                    }
                };
                match done {
                    None => waiting.push(place),
                    Some(Ok(done)) => prepared.push(done),
                    Some(Err(failure)) => {
                        task.abandon();
                        return Err((place as u32, failure));
                    }
                }
            }
            open = waiting;
        }
        Ok(prepared)
    }

    /// Stands at the step's cut from now on.
    pub(crate) fn keep(&mut self, step: Step) -> Result<()> {
        let commit = self.node.commit(step.cut, step.prepared);
        self.state.commit(vec![commit])?;
        self.node.committed_at(step.cut);
        self.take_over()
    }

    /// Stands where it stood before the step.
    pub(super) fn give_up(&mut self) -> Result<()> {
        self.node.roll_back(&self.state)
    }

    /// Keys whose rows a step puts or deletes.
    pub(super) fn keys(&self, step: &Step) -> Keys {
        let mut keys = Keys::default();
        let key_fields = self.view().key_schema().fields().len();
        for changes in step.views() {
            keys.add(&changes.rows, key_fields);
            if let Some(deletes) = &changes.deletes {
                keys.add(deletes, key_fields);
            }
        }
        keys
    }

    /// The rows with these keys as the view would be with the step.
    pub(super) fn rows_with(&self, step: &Step, keys: &Keys) -> Result<Table> {
        let own = self.keys(step);
        let mut parts: Vec<RecordBatch> = step.views().map(|v| v.rows.clone()).collect();
        for (_, key) in keys.each().filter(|(key, _)| !own.holds(key)) {
            parts.push(self.view().get(&key)?.rows);
        }
        let schema = (**self.view().schema()).clone();
        super::joined(schema, &parts)
    }

    /// One key as a batch of its fields.
    pub(super) fn key_batch(&self, key: &[Value]) -> Result<RecordBatch> {
        let schema = self.view().key_schema().arrow();
        let columns = key.iter().zip(schema.fields());
        let columns = columns.map(|(value, field)| value.column(field.data_type()));
        RecordBatch::try_new(Arc::clone(&schema), columns.collect())
            .map_err(|e| Error::Refused(format!("a key of the view is not as declared: {e}")))
    }

    /// What the last commit says of a key's state.
    pub(super) fn state_of(&self, task: u32, key: &[u8]) -> Result<Option<Box<[u8]>>> {
        Ok(self.state.task_state(&self.plan().name, task, key)?)
    }
}

impl Step {
    fn views(&self) -> impl Iterator<Item = &ViewChanges> {
        self.prepared.iter().filter_map(|p| p.changes.view.as_ref())
    }

    /// Whether both change the same rows in the same way, which most steps of two versions do.
    pub(super) fn is_same(&self, other: &Step) -> bool {
        let same =
            |(a, b): (&ViewChanges, &ViewChanges)| a.rows == b.rows && a.deletes == b.deletes;
        self.views().count() == other.views().count() && self.views().zip(other.views()).all(same)
    }

    /// States and rows of the view that it changes.
    pub(crate) fn changed(&self) -> u64 {
        self.prepared.iter().map(Prepared::changed).sum()
    }

    /// What it did to each task.
    pub(super) fn tasks(&self) -> &[Prepared] {
        &self.prepared
    }

    /// Rows that were late, and rows that were refused.
    pub(super) fn set_aside(&self) -> (u64, u64) {
        let sum = |of: &dyn Fn(&Prepared) -> u64| self.prepared.iter().map(of).sum();
        (sum(&|p| p.counts.late), sum(&|p| p.counts.rejected))
    }
}
