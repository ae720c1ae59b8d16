//! The model: one row after another, in log order, by design.md laws 1 and 6 and section 6. It knows no batches, no
//! calls, no commits, no slots.

use std::collections::BTreeMap;

use refrain_log::schema::{Field, Kind};

use crate::graph::{Graph, Kinds, Node, Source, Window, Work};
use crate::guests::{self, FoldOptions, Taken};
use crate::inputs::{
    Place, Placement, Step, idle_of, lanes, pick, place, placement, rows_of, steps, time,
};
use crate::process::{self, Came, Gave, Kept, ProcessOptions, told};
use crate::value::{Row, Value};
use crate::windows::{Open, Placed, Windows};

/// Why a row that traps is set aside: the guests panic.
const TRAPPED: &str = "trap: it panicked or aborted (`unreachable`)";
/// Before every event time.
pub const NEVER: i64 = i64::MIN;

/// Rows of one source frame in one partition of a topic: the unit of log order.
#[derive(Clone, Debug)]
pub struct Frame {
    pub partition: u32,
    pub sequence: u64,
    pub append_time: i64,
    /// Whether the source frame had rows.
    pub data: bool,
    pub rows: Vec<InRow>,
    /// Of a derived topic: the watermark of the node that wrote it, after the source frame.
    pub watermark: i64,
}

#[derive(Clone, Debug)]
pub struct InRow {
    pub values: Row,
    pub offset: u64,
    /// Row of the source frame that it was made from.
    pub origin: u32,
    /// Of a derived topic: the watermark of the node that wrote it, before the row.
    pub watermark: i64,
}

/// A topic as a node reads it.
#[derive(Clone, Debug)]
pub struct Feed {
    pub name: String,
    pub fields: Vec<Field>,
    pub partitions: u32,
    pub derived: bool,
    pub time: Option<usize>,
    pub key: Vec<String>,
    pub disorder_us: i64,
    pub idle_us: Option<i64>,
    /// In log order.
    pub frames: Vec<Frame>,
}

/// A row not taken: topic, partition and offset in the node's input, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub reason: String,
}

/// All that a node has made at a cut.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub fields: Vec<Field>,
    pub key_fields: usize,
    /// By key: row, and whether it is final.
    pub view: BTreeMap<Row, (Row, bool)>,
    pub feed: Feed,
    /// By task.
    pub late: Vec<Vec<Letter>>,
    pub rejected: Vec<Vec<Letter>>,
    pub rows: u64,
    pub out: u64,
    pub missed: u64,
    /// Sessions that became part of earlier ones.
    pub merged: u64,
    /// Rows that left the view when they were old.
    pub gone: u64,
    /// Timers fired.
    pub fired: u64,
    pub tasks: u32,
    pub watermark: i64,
}

impl Outcome {
    pub fn names(&self) -> Vec<String> {
        self.fields.iter().map(|f| f.name.clone()).collect()
    }
}

/// Runs the whole graph over source frames.
pub fn run(graph: &Graph, frames: Vec<Frame>) -> Vec<Outcome> {
    let mut feeds = BTreeMap::from([("events".to_owned(), source_feed(&graph.source, frames))]);
    let mut outcomes = Vec::new();
    for node in &graph.nodes {
        let inputs: Vec<&Feed> = node.inputs.iter().map(|i| &feeds[i]).collect();
        let outcome = run_node(node, &inputs);
        feeds.insert(node.output(), outcome.feed.clone());
        outcomes.push(outcome);
    }
    outcomes
}

/// Runs some nodes of a changed graph over what comes behind a sequence: of the source, and of what all other nodes, as they
/// were, have made of everything.
pub fn run_behind(
    graph: &Graph,
    changed: &Graph,
    frames: Vec<Frame>,
    group: &[&str],
    after: u64,
) -> BTreeMap<String, Outcome> {
    let source = source_feed(&graph.source, frames.clone());
    let mut feeds = BTreeMap::from([("events".to_owned(), source)]);
    for outcome in run(graph, frames) {
        feeds.insert(outcome.feed.name.clone(), outcome.feed);
    }
    for feed in feeds.values_mut() {
        feed.frames.retain(|frame| frame.sequence > after);
    }
    let mut outcomes = BTreeMap::new();
    let nodes = changed.nodes.iter();
    for node in nodes.filter(|node| group.contains(&node.name.as_str())) {
        let inputs: Vec<&Feed> = node.inputs.iter().map(|i| &feeds[i]).collect();
        let outcome = run_node(node, &inputs);
        feeds.insert(node.output(), outcome.feed.clone());
        outcomes.insert(node.name.clone(), outcome);
    }
    outcomes
}

fn source_feed(source: &Source, frames: Vec<Frame>) -> Feed {
    Feed {
        name: "events".into(),
        fields: source.fields.clone(),
        partitions: source.partitions,
        derived: false,
        time: Some(0),
        key: source.key.clone(),
        disorder_us: source.disorder_us,
        idle_us: source.idle_us,
        frames,
    }
}

fn run_node(node: &Node, inputs: &[&Feed]) -> Outcome {
    let plan = placement(node, inputs);
    let mut outcome = Outcome::new(node, inputs, &plan);
    let tasks = if plan.spread { 1 } else { plan.tasks };
    for task in 0..tasks {
        let taken = |partition: u32| plan.spread || partition == task;
        let mut work = Task::new(node, inputs, task, &plan);
        for step in steps(inputs, taken) {
            work.step(&step, &mut outcome);
        }
        work.finish(&mut outcome);
    }
    outcome
        .feed
        .frames
        .sort_by_key(|f| (f.sequence, f.partition));
    outcome
}

impl Outcome {
    fn new(node: &Node, inputs: &[&Feed], plan: &Placement) -> Outcome {
        let tasks = plan.tasks;
        let (fields, key_fields, time) = match &node.work {
            Work::Transform { .. } => {
                let fields = crate::graph::transformed_fields();
                let input = (inputs.len() > 1).then(|| Field::new("input", Kind::Text));
                let place = ["partition", "offset", "ordinal"].map(|n| Field::new(n, Kind::I64));
                let row_key: Vec<Field> = input.into_iter().chain(place).collect();
                let key_fields = row_key.len();
                match node.to_topic {
                    true => (fields, 0, Some(0)),
                    false => (
                        row_key.into_iter().chain(fields).collect(),
                        key_fields,
                        None,
                    ),
                }
            }
            Work::Process { key, .. } => {
                let mut fields = merged_key(key, inputs);
                let keys = fields.len();
                let mut own = crate::graph::processed_fields();
                // The key of a view's row comes first.
                own[..2].rotate_left(usize::from(!node.to_topic));
                fields.extend(own);
                let is_time = |f: &Field| f.kind == Kind::Timestamp && !f.nullable;
                let passed_on = |feed: &&Feed| {
                    let name = &feed.fields[feed.time?].name;
                    let place = fields.iter().position(|f| f.name == *name)?;
                    is_time(&fields[place]).then_some(place)
                };
                let time = inputs.iter().find_map(passed_on);
                (fields, keys + 1, time)
            }
            Work::Fold { key, window, .. } => {
                let mut fields = merged_key(key, inputs);
                let keys = fields.len();
                let time = window.as_ref().and_then(|w| match w.kind {
                    Kinds::Count { .. } => None,
                    Kinds::Session { .. } => Some(keys + 1),
                    _ => Some(keys),
                });
                let key_fields = keys + usize::from(window.is_some());
                fields.extend(window.iter().flat_map(Window::fields));
                fields.push(Field::new("rows", Kind::I64));
                fields.extend(crate::graph::payload_fields());
                (fields, key_fields, time)
            }
        };
        let none = vec![Vec::new(); tasks as usize];
        Outcome {
            feed: Feed {
                name: node.output(),
                fields: fields.clone(),
                partitions: tasks,
                derived: true,
                time,
                key: plan.key.clone(),
                disorder_us: 0,
                idle_us: idle_of(inputs),
                frames: Vec::new(),
            },
            fields,
            key_fields,
            view: BTreeMap::new(),
            late: none.clone(),
            rejected: none,
            rows: 0,
            out: 0,
            missed: 0,
            merged: 0,
            gone: 0,
            fired: 0,
            tasks,
            watermark: i64::MAX,
        }
    }
}

/// Fields of a key that all inputs have.
fn merged_key(key: &[String], inputs: &[&Feed]) -> Vec<Field> {
    let merged = |k: &String| {
        let of = |feed: &&Feed| feed.fields.iter().find(|f| f.name == *k).cloned();
        let mut found = inputs.iter().map(|feed| of(feed).expect("keys are fields"));
        let first = found.next().expect("there is an input");
        found.fold(first, |merged, field| Field {
            nullable: merged.nullable || field.nullable,
            ..merged
        })
    };
    key.iter().map(merged).collect()
}

/// The watermark of a task.
struct Mark {
    lanes: Vec<i64>,
    last_data: Vec<Option<i64>>,
    idle: Vec<bool>,
    current: i64,
}

impl Mark {
    fn new(lanes: usize) -> Mark {
        Mark {
            lanes: vec![NEVER; lanes],
            last_data: vec![None; lanes],
            idle: vec![false; lanes],
            current: NEVER,
        }
    }

    /// Whether each partition is idle is decided once a frame. One that never had rows counts from the first frame that
    /// the task saw.
    fn begin(&mut self, step: &Step<'_>, idle_us: &[Option<i64>]) {
        let frame = step[0].1;
        for last in &mut self.last_data {
            last.get_or_insert(frame.append_time);
        }
        for (lane, _) in step.iter().filter(|(_, frame)| frame.data) {
            self.last_data[*lane] = Some(frame.append_time);
        }
        for (lane, last) in self.last_data.iter().enumerate() {
            let quiet = frame.append_time - last.expect("set above");
            self.idle[lane] = idle_us[lane].is_some_and(|limit| quiet > limit);
        }
        self.settle();
    }

    fn advance(&mut self, lane: usize, watermark: i64) {
        self.lanes[lane] = self.lanes[lane].max(watermark);
        self.settle();
    }

    /// The least of the partitions that are not idle; when all are, the furthest.
    fn settle(&mut self) {
        let awake = self
            .lanes
            .iter()
            .zip(&self.idle)
            .filter(|(_, idle)| !**idle);
        let least = awake.map(|(lane, _)| *lane).min();
        let all = self.lanes.iter().copied().max();
        self.current = self.current.max(least.or(all).unwrap_or(NEVER));
    }
}

struct Task<'a> {
    node: &'a Node,
    inputs: &'a [&'a Feed],
    plan: &'a Placement,
    task: u32,
    lanes: Vec<Place>,
    mark: Mark,
    windows: Windows,
    /// No window ends before.
    first_end: i128,
    /// Of a process node.
    kept: BTreeMap<Row, Kept>,
    /// Ends of closed windows that the view shows, by key of the view.
    ends: BTreeMap<Row, i128>,
    /// Rows for the derived topic, of this frame, by partition.
    emitted: Vec<Vec<InRow>>,
    offsets: Vec<u64>,
}

impl<'a> Task<'a> {
    fn new(node: &'a Node, inputs: &'a [&'a Feed], task: u32, plan: &'a Placement) -> Task<'a> {
        let taken = |partition: u32| plan.spread || partition == task;
        let lanes = lanes(inputs, taken);
        Task {
            node,
            inputs,
            plan,
            task,
            mark: Mark::new(lanes.len()),
            lanes,
            windows: Windows::default(),
            first_end: i128::MAX,
            kept: BTreeMap::new(),
            ends: BTreeMap::new(),
            emitted: vec![Vec::new(); plan.tasks as usize],
            offsets: vec![0; plan.tasks as usize],
        }
    }

    /// The input that a lane is of.
    fn input(&self, lane: usize) -> &'a Feed {
        self.inputs[self.lanes[lane].input]
    }

    /// The frames of all inputs that one source frame led to.
    fn step(&mut self, step: &Step<'_>, outcome: &mut Outcome) {
        let idle_us: Vec<Option<i64>> = (0..self.lanes.len())
            .map(|lane| self.input(lane).idle_us)
            .collect();
        self.moved(0, outcome, |mark| mark.begin(step, &idle_us));
        for (lane, frame, row) in rows_of(step) {
            let input = self.input(lane);
            outcome.rows += 1;
            if input.derived {
                self.moved(row.origin, outcome, |mark| {
                    mark.advance(lane, row.watermark)
                });
            }
            self.row(lane, frame, row, outcome);
            if !input.derived {
                let watermark = time(input, row).saturating_sub(input.disorder_us);
                self.moved(row.origin, outcome, |mark| mark.advance(lane, watermark));
            }
        }
        for (lane, frame) in step {
            if !self.input(*lane).derived {
                continue;
            }
            self.moved(u32::MAX, outcome, |mark| {
                mark.advance(*lane, frame.watermark)
            });
        }
        let (_, first) = step[0];
        let parts = match self.plan.spread {
            true => 0..self.plan.tasks,
            false => self.task..self.task + 1,
        };
        for partition in parts {
            outcome.feed.frames.push(Frame {
                partition,
                sequence: first.sequence,
                append_time: first.append_time,
                data: first.data,
                rows: std::mem::take(&mut self.emitted[partition as usize]),
                watermark: self.mark.current,
            });
        }
    }

    /// The task that keeps the state of a key.
    fn task_of(&self, key: &[Value]) -> u32 {
        match self.plan.spread {
            true => (crate::home::key_hash(key) % u64::from(self.plan.tasks)) as u32,
            false => self.task,
        }
    }

    /// Moves the watermark, and closes what it passed.
    fn moved(&mut self, origin: u32, outcome: &mut Outcome, act: impl FnOnce(&mut Mark)) {
        let before = self.mark.current;
        act(&mut self.mark);
        if let Work::Process { options, .. } = self.node.work {
            self.fire(options, origin, before, outcome);
        }
        let Some(window) = self.node.window() else {
            return;
        };
        let now = self.mark.current;
        let none = self.first_end.saturating_add(window.lateness_us.into()) > i128::from(now);
        if now == NEVER || none {
            return;
        }
        for (key, open) in self.windows.close(window.lateness_us, now) {
            self.close(&key, &open, (origin, before), outcome);
        }
        self.first_end = self.windows.first_end();
    }

    /// Fires the timers that are due when the watermark has passed a step: by time, then by key.
    fn fire(&mut self, options: ProcessOptions, origin: u32, before: i64, outcome: &mut Outcome) {
        let now = told(self.mark.current, options.step_us);
        if now <= told(before, options.step_us) {
            return;
        }
        let mut due: Vec<(i64, Row)> = Vec::new();
        for (key, kept) in &mut self.kept {
            let later = kept.timers.split_off(&now.saturating_add(1));
            let of_key = std::mem::replace(&mut kept.timers, later);
            due.extend(of_key.into_iter().map(|time| (time, key.clone())));
        }
        due.sort();
        outcome.fired += due.len() as u64;
        for (time, key) in due {
            let kept = self.kept.get_mut(&key).expect("it had a timer");
            let gave = kept.fire(options, time, now);
            self.give(&key, gave, (origin, before), outcome);
        }
    }

    /// A row of a process node; `at` as for windows.
    fn give(&mut self, key: &Row, gave: Gave, at: (u32, i64), outcome: &mut Outcome) {
        outcome.out += 1;
        let task = self.task_of(key);
        let mut row = gave.row;
        if self.node.to_topic {
            let row = key.iter().cloned().chain(row).collect();
            return self.emit(task, row, at.0, at.1);
        }
        row[..2].rotate_left(1);
        let key: Row = key.iter().chain(&row[..1]).cloned().collect();
        if gave.deleted {
            outcome.view.remove(&key);
        } else {
            let row = key.iter().chain(&row[1..]).cloned().collect();
            outcome.view.insert(key, (row, false));
        }
    }

    /// A window is shown for the last time; `at`: row of the source frame, and the watermark before it.
    fn close(&mut self, key: &Row, open: &Open, at: (u32, i64), outcome: &mut Outcome) {
        let task = self.task_of(key);
        let (key, row) = self.shown(key, open);
        let Some(row) = row else { return };
        outcome.out += 1;
        if self.node.to_topic {
            self.emit(task, row, at.0, at.1);
        } else {
            self.ends.insert(key.clone(), open.end);
            outcome.view.insert(key, (row, true));
        }
    }

    fn emit(&mut self, task: u32, values: Row, origin: u32, watermark: i64) {
        let task = task as usize;
        self.emitted[task].push(InRow {
            values,
            offset: self.offsets[task],
            origin,
            watermark,
        });
        self.offsets[task] += 1;
    }

    /// Key and row of a window, as the view shows it.
    fn shown(&self, key: &Row, open: &Open) -> (Row, Option<Row>) {
        let of_window = open.values(self.node.window());
        let row = open.seen.evaluate(self.options());
        let all = |row: Row| key.iter().chain(&of_window).cloned().chain(row).collect();
        let row = row.map(all);
        (key.iter().chain(of_window.first()).cloned().collect(), row)
    }

    fn options(&self) -> FoldOptions {
        match &self.node.work {
            Work::Fold { options, .. } => *options,
            _ => unreachable!("asked for folds"),
        }
    }

    fn row(&mut self, lane: usize, frame: &Frame, row: &InRow, outcome: &mut Outcome) {
        let input = self.input(lane);
        let letter = |reason: String| Letter {
            topic: input.name.clone(),
            partition: frame.partition,
            offset: row.offset,
            reason,
        };
        match &self.node.work {
            Work::Transform { shift } => {
                let fields: Row = pick(input, row, &guests::ALL);
                let rejected = &mut outcome.rejected[self.task as usize];
                match guests::transform(*shift, &fields) {
                    Taken::Yes(rows) => self.transformed(input, frame, row, rows, outcome),
                    Taken::Refused(why) => rejected.push(letter(why)),
                    Taken::Trapped => rejected.push(letter(TRAPPED.into())),
                }
            }
            Work::Process { key, options } => {
                let key = key.iter().map(|k| row.values[place(input, k)].clone());
                let key: Row = key.collect();
                let came = Came {
                    input: self.lanes[lane].input,
                    fields: &pick(input, row, &process::WANTED),
                    time: time(input, row),
                    watermark: told(self.mark.current, options.step_us),
                };
                let none = Kept::default();
                let kept = self.kept.get(&key).unwrap_or(&none);
                let task = self.task_of(&key) as usize;
                match kept.take(*options, !self.node.to_topic, &came) {
                    Taken::Refused(why) => outcome.rejected[task].push(letter(why)),
                    Taken::Trapped => outcome.rejected[task].push(letter(TRAPPED.into())),
                    Taken::Yes((kept, gave)) => {
                        self.kept.insert(key.clone(), kept);
                        let at = (row.origin, self.mark.current);
                        for gave in gave {
                            self.give(&key, gave, at, outcome);
                        }
                    }
                }
            }
            Work::Fold { key, window, .. } => {
                let time = time(input, row);
                let key = key.iter().map(|k| row.values[place(input, k)].clone());
                let key: Row = key.collect();
                let task = self.task_of(&key) as usize;
                let now = Some(self.mark.current).filter(|now| *now != NEVER);
                let fields = pick(input, row, &guests::PAYLOAD);
                let options = self.options();
                let placed =
                    self.windows
                        .take(window.as_ref(), options, (key.clone(), time, &fields), now);
                match placed {
                    Placed::Late => {
                        let why = format!(
                            "late: event time {time} µs is in a window that was closed at watermark {} µs",
                            self.mark.current
                        );
                        outcome.late[task].push(letter(why));
                    }
                    Placed::Refused(why) => outcome.rejected[task].push(letter(why)),
                    Placed::Trapped => outcome.rejected[task].push(letter(TRAPPED.into())),
                    Placed::Taken {
                        end,
                        merged,
                        filled,
                    } => {
                        outcome.merged += merged;
                        self.first_end = self.first_end.min(end);
                        if let Some(filled) = filled {
                            let at = (row.origin, self.mark.current);
                            self.close(&key, &filled, at, outcome);
                        }
                    }
                }
            }
        }
    }

    fn transformed(
        &mut self,
        input: &Feed,
        frame: &Frame,
        row: &InRow,
        rows: Vec<Row>,
        outcome: &mut Outcome,
    ) {
        for (ordinal, values) in rows.into_iter().enumerate() {
            outcome.out += 1;
            if self.node.to_topic {
                self.emit(self.task, values, row.origin, self.mark.current);
                continue;
            }
            let topic = (self.inputs.len() > 1).then(|| Value::Text(input.name.clone()));
            let place = [
                Value::Int(i64::from(frame.partition)),
                Value::Int(row.offset as i64),
                Value::Int(ordinal as i64),
            ];
            let key: Row = topic.into_iter().chain(place).collect();
            let shown = key.iter().cloned().chain(values).collect();
            outcome.view.insert(key, (shown, true));
        }
    }

    /// At a cut: open windows and totals are shown, nothing is closed.
    fn finish(self, outcome: &mut Outcome) {
        outcome.watermark = outcome.watermark.min(self.mark.current);
        outcome.missed += self.windows.missed;
        if self.node.to_topic {
            return;
        }
        if let Work::Fold {
            keep_us: Some(keep),
            ..
        } = self.node.work
            && self.mark.current != NEVER
        {
            for (key, end) in &self.ends {
                if end + i128::from(keep) <= i128::from(self.mark.current) {
                    outcome.view.remove(key);
                    outcome.gone += 1;
                }
            }
        }
        for (key, open) in self.windows.each() {
            let (key, row) = self.shown(key, open);
            if let Some(row) = row {
                outcome.view.insert(key, (row, false));
            }
        }
    }
}
