//! A node while it runs: its tasks, its frontier, its last commit. Opens tasks where the last commit left them.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::Log;
use refrain_log::topic::TopicSpec;
use refrain_plugin::PluginKind;
use refrain_state::commit::{DerivedEnd, Lineage, NodeCommit, SourceEnd, State};

use crate::error::{Error, Result};
use crate::input::{Exchange, Feed, Reader, Splitter};
use crate::pipeline::{Output, PlannedNode, dead_letter_schema};
use crate::run::Terms;
use crate::task::fold::{self, FoldOuts, FoldStart, FoldTask};
use crate::task::letters::Letters;
use crate::task::out::Out;
use crate::task::process::{self, ProcessOuts, ProcessStart, ProcessTask};
use crate::task::transform::{TransformOuts, TransformTask};
use crate::task::{Care, Memo, NodeSetup, Prepared, Suspicion, Task};
use crate::watermark::Watermark;

/// A node's tasks and what is committed of them.
pub struct Node {
    /// What its tasks share.
    pub setup: Arc<NodeSetup>,
    /// What its results are made by.
    pub lineage: Lineage,
    /// Cut of its last commit.
    pub committed: Sequence,
    /// How far it has got; beyond the last commit only where there was nothing to take.
    pub frontier: Sequence,
    /// Its tasks, at home while the node waits.
    pub tasks: Vec<Option<Box<dyn Task>>>,
    /// How it may use the machine.
    pub terms: Terms,
    /// Calls that trapped since the last commit, by task.
    pub suspicions: BTreeMap<u32, Suspicion>,
    /// Takes of this source frame only the rows before this one, and nothing behind it: to look at a row of it.
    pub clip: Option<(Sequence, u32)>,
    counts: BTreeMap<String, u64>,
    /// How far each partition of each input was read.
    ends: BTreeMap<(String, u32), Offset>,
    watermark: Timestamp,
}

impl PlannedNode {
    /// The derived topics that the node writes: its rejected rows, its late rows, its results.
    pub fn derived_topics(&self) -> Vec<TopicSpec> {
        let letters = std::iter::once(self.rejected_topic()).chain(self.late_topic());
        letters.chain(self.output_topic.clone()).collect()
    }
}

impl Node {
    /// Finds the node's last commit, checks that it was made by the same component and configuration, and cuts its
    /// derived topics back to it.
    pub fn recover(setup: Arc<NodeSetup>, log: &Log, state: &State) -> Result<Node> {
        let plan = &setup.plan;
        let lineage = Lineage {
            component: setup.plugin.digest().to_string(),
            configuration: plan.configuration(),
        };
        let last = state.node(&plan.name);
        if let Some(last) = &last {
            refuse_other_lineage(&plan.name, &last.lineage, &lineage)?;
        }
        let committed = last.as_ref().map_or(Sequence(0), |l| l.cut);
        for spec in plan.derived_topics() {
            let topic = spec.name;
            for partition in 0..plan.tasks {
                let end = last.as_ref().and_then(|l| {
                    l.derived
                        .iter()
                        .find(|d| d.topic == topic && d.partition == partition)
                        .map(|d| d.end)
                });
                log.cut_derived(&topic, partition, end.unwrap_or(Offset(0)), committed)?;
            }
        }
        let (counts, sources, watermark) = last
            .map(|l| (l.counts, l.sources, l.watermark))
            .unwrap_or((BTreeMap::new(), Vec::new(), Timestamp::MIN));
        Ok(Node {
            lineage,
            committed,
            frontier: committed,
            tasks: Vec::new(),
            terms: Terms::default(),
            suspicions: BTreeMap::new(),
            clip: None,
            counts,
            ends: ends_of(sources),
            watermark,
            setup,
        })
    }

    /// Lets a node that has never committed begin after this sequence, as if there was nothing up to it.
    #[must_use]
    pub fn starting_after(mut self, start: Sequence) -> Node {
        self.committed = self.committed.max(start);
        self.frontier = self.frontier.max(start);
        self
    }

    /// Goes on as another build of itself, whose takeover was committed. Its tasks are to be opened.
    pub fn become_build(&mut self, setup: Arc<NodeSetup>) {
        self.tasks.clear();
        self.lineage = crate::upgrade::lineage(&setup.plan, &setup.plugin);
        self.setup = setup;
        self.suspicions.clear();
    }

    /// Opens all tasks at the last commit.
    pub fn open_tasks(&mut self, log: &Log, state: &State) -> Result<()> {
        self.tasks.clear();
        let memos = state
            .node(&self.setup.plan.name)
            .map(|n| n.memos)
            .unwrap_or_default();
        let memo = |task: u32| {
            let bytes = memos.get(&task);
            bytes
                .map(|bytes| read_memo(&self.setup.plan.name, bytes))
                .transpose()
        };
        let exchange = match self.setup.plan.is_spread() {
            true => Some(self.open_exchange(memo(0)?)?),
            false => None,
        };
        let mut tasks = Vec::new();
        for task in 0..self.setup.plan.tasks {
            let feed = match &exchange {
                Some(exchange) => Feed::Shared(Arc::clone(exchange), task as usize),
                None => Feed::Own(self.open_reader(task)?),
            };
            tasks.push(Some(self.open_task(task, feed, memo(task)?, log, state)?));
        }
        self.tasks = tasks;
        self.frontier = self.committed;
        Ok(())
    }

    /// Reads the lanes of a task from the last commit on.
    fn open_reader(&self, task: u32) -> Result<Reader> {
        let (plan, setup) = (&self.setup.plan, &self.setup);
        let inputs = 0..plan.inputs.len();
        let sources =
            inputs.map(|input| setup.source(input, plan.about.reads(input), plan.needs_time()));
        let sources = sources.collect::<Result<_>>()?;
        let reader = Reader::open(setup.lanes(task), sources, self.committed)?;
        let reader = reader.clipped(self.clip);
        Ok(match plan.about.declared_inputs().len() {
            0 | 1 => reader,
            _ => reader.apart(),
        })
    }

    fn open_exchange(&self, memo: Option<Memo>) -> Result<Arc<Exchange>> {
        let plan = &self.setup.plan;
        let lanes = self.setup.lanes(0).len();
        let mark = memo.and_then(|memo| memo.shared);
        let mark = mark.unwrap_or_else(|| Watermark::new(lanes));
        let reader = self.open_reader(0)?;
        let splitter = Splitter::new(reader, mark, plan.needs_time(), plan.tasks);
        Ok(Arc::new(Exchange::new(splitter, plan.tasks as usize)))
    }

    fn open_task(
        &self,
        task: u32,
        feed: Feed,
        memo: Option<Memo>,
        log: &Log,
        state: &State,
    ) -> Result<Box<dyn Task>> {
        let plan = &self.setup.plan;
        let setup = Arc::clone(&self.setup);
        let letters = |suffix: &str| -> Result<Letters> {
            let writer = log.derived(&format!("{}.{suffix}", plan.name), task)?;
            let out = Out::new(writer, dead_letter_schema().arrow(), false);
            Ok(Letters::new(out))
        };
        let topic = match &plan.output {
            Output::Topic(topic) => Some(Out::new(
                log.derived(topic, task)?,
                plan.output_schema.arrow(),
                true,
            )),
            Output::View(_) => None,
        };
        let rejected = letters("rejected")?;
        if plan.about.kind == PluginKind::Transform {
            let outs = TransformOuts { topic, rejected };
            return Ok(Box::new(TransformTask::open(
                setup, task, feed, outs, memo,
            )?));
        }
        // All states, or where to look them up and how many bytes of them may be in memory.
        let (states, reader) = match state.cache_bytes() {
            None => (state.task_states(&plan.name, task)?, None),
            Some(_) => (Vec::new(), Some(state.task_reader(&plan.name, task))),
        };
        let cache_bytes = plan.cache_bytes / u64::from(plan.tasks.max(1));
        if plan.about.kind == PluginKind::Process {
            let outs = ProcessOuts { topic, rejected };
            let start = ProcessStart {
                memo,
                states,
                cache: reader.map(|reader| process::Cache::new(reader, cache_bytes)),
                care: self.care(task),
            };
            return Ok(Box::new(ProcessTask::open(setup, task, feed, outs, start)?));
        }
        let late = if plan.late_topic().is_some() {
            Some(letters("late")?)
        } else {
            None
        };
        let start = FoldStart {
            memo,
            states,
            cache: reader.map(|reader| fold::Cache::new(reader, cache_bytes)),
            care: self.care(task),
        };
        Ok(Box::new(FoldTask::open(
            setup,
            task,
            feed,
            FoldOuts {
                topic,
                late,
                rejected,
            },
            start,
        )?))
    }

    /// With how much care a task opens: with more when a call of the node has trapped since the last commit.
    fn care(&self, task: u32) -> Care {
        match self.suspicions.get(&task) {
            Some(suspicion) => Care::Suspects(suspicion.clone()),
            None if self.suspicions.is_empty() => Care::None,
            None => Care::Careful,
        }
    }

    /// The commit record of what the tasks prepared, at a cut. Takes effect in [`Node::committed_at`].
    pub fn commit(&mut self, cut: Sequence, prepared: Vec<Prepared>) -> NodeCommit {
        let mut derived = Vec::new();
        let mut tasks = Vec::new();
        let mut watermark = None;
        for done in prepared {
            let task = done.changes.task;
            let ends = done.derived.into_iter();
            derived.extend(ends.map(|(topic, end)| DerivedEnd {
                topic,
                partition: task,
                end,
            }));
            let lanes = self.setup.lanes(task);
            self.ends.extend(done.ends.iter().map(|(lane, end)| {
                let lane = &lanes[*lane];
                ((lane.topic.to_string(), lane.partition), *end)
            }));
            self.count(&done.counts);
            watermark =
                Some(watermark.map_or(done.watermark, |w: Timestamp| w.min(done.watermark)));
            tasks.push(done.changes);
        }
        self.watermark = watermark.unwrap_or(self.watermark);
        let source = |((topic, partition), end): (&(String, u32), &Offset)| SourceEnd {
            topic: topic.clone(),
            partition: *partition,
            end: *end,
        };
        NodeCommit {
            node: self.setup.plan.name.clone(),
            cut,
            lineage: self.lineage.clone(),
            tasks,
            sources: self.ends.iter().map(source).collect(),
            derived,
            watermark: self.watermark,
            counts: self.counts.clone(),
        }
    }

    fn count(&mut self, counts: &crate::task::Counts) {
        let named = [
            ("rows", counts.rows),
            ("late", counts.late),
            ("rejected", counts.rejected),
            ("out", counts.out),
        ];
        for (name, count) in named {
            *self.counts.entry(name.to_owned()).or_default() += count;
        }
        // Only sliding windows know it.
        if counts.missed > 0 {
            *self.counts.entry("missed".to_owned()).or_default() += counts.missed;
        }
    }

    /// The commit at this cut is durable.
    pub fn committed_at(&mut self, cut: Sequence) {
        self.committed = cut;
        self.frontier = cut;
        self.suspicions.clear();
        self.tasks
            .iter_mut()
            .flatten()
            .for_each(|task| task.publish());
    }

    /// Stands at the last commit again, whatever was tried since: what it writes was opened again.
    pub fn resume(&mut self, log: &Log, state: &State) -> Result<()> {
        self.roll_back(state)?;
        // Where one thing failed, another was not taken back.
        for topic in self.setup.plan.derived_topics() {
            for partition in 0..self.setup.plan.tasks {
                log.derived(&topic.name, partition)?.rollback()?;
            }
        }
        let Some(last) = state.node(&self.setup.plan.name) else {
            return Ok(());
        };
        for end in &last.derived {
            let found = log.topic(&end.topic).map(|topic| topic.end(end.partition));
            if found != Some(end.end) {
                return Err(Error::Refused(format!(
                    "{}/{} does not end at row {}, where the last commit of node {} says; start the host again",
                    end.topic, end.partition, end.end, self.setup.plan.name
                )));
            }
        }
        self.committed = last.cut;
        Ok(())
    }

    /// The attempt failed: takes back what derived topics got and drops the tasks.
    pub fn roll_back(&mut self, state: &State) -> Result<()> {
        let tasks = self.tasks.iter_mut().flatten();
        // All of them, though one fails.
        let undone: Vec<Result<()>> = tasks.map(|task| task.rollback()).collect();
        self.tasks.clear();
        if let Some(last) = state.node(&self.setup.plan.name) {
            self.counts = last.counts;
            self.ends = ends_of(last.sources);
            self.watermark = last.watermark;
        } else {
            self.counts.clear();
            self.ends.clear();
            self.watermark = Timestamp::MIN;
        }
        undone.into_iter().collect()
    }
}

fn ends_of(sources: Vec<SourceEnd>) -> BTreeMap<(String, u32), Offset> {
    let ends = sources.into_iter();
    ends.map(|s| ((s.topic, s.partition), s.end)).collect()
}

fn read_memo(node: &str, bytes: &[u8]) -> Result<Memo> {
    refrain_log::codec::decode(bytes).map_err(|e| {
        Error::Refused(format!(
            "node {node}: what its last commit says of it does not decode ({e})"
        ))
    })
}

fn refuse_other_lineage(node: &str, was: &Lineage, is: &Lineage) -> Result<()> {
    if was == is {
        return Ok(());
    }
    let what = match (
        was.component == is.component,
        was.configuration == is.configuration,
    ) {
        (false, true) => "its plugin has changed".to_owned(),
        (true, false) => format!(
            "its configuration has changed, from {} to {}",
            was.configuration, is.configuration
        ),
        _ => "its plugin and its configuration have changed".to_owned(),
    };
    Err(Error::Refused(format!(
        "node {node}: {what} since its last commit, and results of both would mix; build the new version beside the old \
         one with `refrain replay {node}`, put the old one back, or have the node's results computed anew in place with \
         `refrain run --rebuild {node}`"
    )))
}
