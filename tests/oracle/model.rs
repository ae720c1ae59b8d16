//! The model: one row after another, in log order, by design.md laws 1 and 6 and section 6. It knows no batches, no
//! calls, no commits, no slots.

use std::collections::BTreeMap;

use refrain_log::schema::{Field, Kind};

use crate::graph::{Graph, Node, Source, Window, Work};
use crate::guests::{self, FoldOptions, Seen, Taken};
use crate::value::{Row, Value};

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
    /// Of a derived topic: the watermark of the node that wrote it, before the row.
    pub watermark: i64,
}

/// A topic as a node reads it.
#[derive(Clone, Debug)]
pub struct Feed {
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

/// A row not taken: partition and offset in the node's input, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
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
        let outcome = run_node(node, &feeds[&node.input]);
        feeds.insert(node.output(), outcome.feed.clone());
        outcomes.push(outcome);
    }
    outcomes
}

fn source_feed(source: &Source, frames: Vec<Frame>) -> Feed {
    Feed {
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

fn run_node(node: &Node, input: &Feed) -> Outcome {
    let by_key = |key: &[String]| {
        !input.derived && !input.key.is_empty() && input.key.iter().all(|k| key.contains(k))
    };
    let single = match &node.work {
        Work::Transform { .. } => false,
        Work::Fold { key, .. } => !by_key(key),
    };
    let tasks = if single { 1 } else { input.partitions };
    let mut outcome = Outcome::new(node, input, tasks);
    for task in 0..tasks {
        let taken = input
            .frames
            .iter()
            .filter(|f| single || f.partition == task);
        let lanes = if single { input.partitions } else { 1 };
        let mut work = Task::new(node, input, task, single, lanes as usize);
        taken.for_each(|frame| work.frame(frame, &mut outcome));
        work.finish(&mut outcome);
    }
    outcome
        .feed
        .frames
        .sort_by_key(|f| (f.sequence, f.partition));
    outcome
}

impl Outcome {
    fn new(node: &Node, input: &Feed, tasks: u32) -> Outcome {
        let (fields, key_fields, time) = match &node.work {
            Work::Transform { .. } => {
                let fields = crate::graph::transformed_fields();
                let row_key = ["partition", "offset", "ordinal"].map(|n| Field::new(n, Kind::I64));
                match node.to_topic {
                    true => (fields, 0, Some(0)),
                    false => (row_key.into_iter().chain(fields).collect(), 3, None),
                }
            }
            Work::Fold { key, window, .. } => {
                let key = key.iter().map(|k| {
                    let found = input.fields.iter().find(|f| f.name == *k);
                    found.expect("keys are fields").clone()
                });
                let mut fields: Vec<Field> = key.collect();
                let time = window.as_ref().map(|_| fields.len());
                fields.extend(
                    window
                        .as_ref()
                        .map(|w| Field::new(&w.start, Kind::Timestamp)),
                );
                let key_fields = fields.len();
                fields.push(Field::new("rows", Kind::I64));
                fields.extend(crate::graph::payload_fields());
                (fields, key_fields, time)
            }
        };
        let none = vec![Vec::new(); tasks as usize];
        Outcome {
            feed: Feed {
                fields: fields.clone(),
                partitions: tasks,
                derived: true,
                time,
                key: Vec::new(),
                disorder_us: 0,
                idle_us: input.idle_us,
                frames: Vec::new(),
            },
            fields,
            key_fields,
            view: BTreeMap::new(),
            late: none.clone(),
            rejected: none,
            rows: 0,
            out: 0,
            tasks,
            watermark: i64::MAX,
        }
    }
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
    fn begin(&mut self, lane: usize, frame: &Frame, idle_us: Option<i64>) {
        for last in &mut self.last_data {
            last.get_or_insert(frame.append_time);
        }
        if frame.data {
            self.last_data[lane] = Some(frame.append_time);
        }
        for (idle, last) in self.idle.iter_mut().zip(&self.last_data) {
            let quiet = frame.append_time - last.expect("set above");
            *idle = idle_us.is_some_and(|limit| quiet > limit);
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
    input: &'a Feed,
    task: u32,
    single: bool,
    mark: Mark,
    /// By window (its index; 0 for a total) and key: open states.
    open: BTreeMap<(i128, Row), Seen>,
    /// Rows for the derived topic, of this frame.
    emitted: Vec<InRow>,
    offset: u64,
}

impl<'a> Task<'a> {
    fn new(node: &'a Node, input: &'a Feed, task: u32, single: bool, lanes: usize) -> Task<'a> {
        Task {
            node,
            input,
            task,
            single,
            mark: Mark::new(lanes),
            open: BTreeMap::new(),
            emitted: Vec::new(),
            offset: 0,
        }
    }

    fn frame(&mut self, frame: &Frame, outcome: &mut Outcome) {
        let lane = if self.single {
            frame.partition as usize
        } else {
            0
        };
        self.moved(outcome, |mark| {
            mark.begin(lane, frame, self.input.idle_us);
        });
        for row in &frame.rows {
            outcome.rows += 1;
            if self.input.derived {
                self.moved(outcome, |mark| mark.advance(lane, row.watermark));
            }
            self.row(frame, row, outcome);
            if !self.input.derived {
                let time = self.time(row);
                let watermark = time.saturating_sub(self.input.disorder_us);
                self.moved(outcome, |mark| mark.advance(lane, watermark));
            }
        }
        if self.input.derived {
            self.moved(outcome, |mark| mark.advance(lane, frame.watermark));
        }
        outcome.feed.frames.push(Frame {
            partition: self.task,
            sequence: frame.sequence,
            append_time: frame.append_time,
            data: frame.data,
            rows: std::mem::take(&mut self.emitted),
            watermark: self.mark.current,
        });
    }

    fn time(&self, row: &InRow) -> i64 {
        let place = self.input.time;
        // Only totals read topics without an event time, and they have no watermark.
        place.map_or(0, |place| {
            row.values[place].as_int().expect("a time is never null")
        })
    }

    fn place(&self, name: &str) -> usize {
        let found = self.input.fields.iter().position(|f| f.name == name);
        found.unwrap_or_else(|| panic!("no field {name}"))
    }

    fn window(&self) -> Option<&'a Window> {
        match &self.node.work {
            Work::Fold { window, .. } => window.as_ref(),
            Work::Transform { .. } => None,
        }
    }

    /// Moves the watermark, and closes what it passed.
    fn moved(&mut self, outcome: &mut Outcome, act: impl FnOnce(&mut Mark)) {
        let before = self.mark.current;
        act(&mut self.mark);
        let Some(window) = self.window() else { return };
        let closed = |index: i128| closes(window, index) <= i128::from(self.mark.current);
        let closed: Vec<(i128, Row)> = self.open.keys().filter(|k| closed(k.0)).cloned().collect();
        if self.mark.current == NEVER {
            return;
        }
        for key in closed {
            let seen = self.open.remove(&key).expect("listed");
            let (key, row) = self.shown(&key, &seen);
            let Some(row) = row else { continue };
            outcome.out += 1;
            if self.node.to_topic {
                self.emit(row, before);
            } else {
                outcome.view.insert(key, (row, true));
            }
        }
    }

    fn emit(&mut self, values: Row, watermark: i64) {
        self.emitted.push(InRow {
            values,
            offset: self.offset,
            watermark,
        });
        self.offset += 1;
    }

    /// Key and row of a state, as the view shows it.
    fn shown(&self, (index, key): &(i128, Row), seen: &Seen) -> (Row, Option<Row>) {
        let mut key = key.clone();
        if let Some(window) = self.window() {
            let start = index * i128::from(window.size_us);
            key.push(Value::Time(start as i64));
        }
        let row = seen.evaluate(self.options());
        let row = row.map(|row| key.iter().cloned().chain(row).collect());
        (key, row)
    }

    fn options(&self) -> FoldOptions {
        match &self.node.work {
            Work::Fold { options, .. } => *options,
            Work::Transform { .. } => unreachable!("asked for folds"),
        }
    }

    fn row(&mut self, frame: &Frame, row: &InRow, outcome: &mut Outcome) {
        let letter = |reason: String| Letter {
            partition: frame.partition,
            offset: row.offset,
            reason,
        };
        let rejected = &mut outcome.rejected[self.task as usize];
        match &self.node.work {
            Work::Transform { shift } => {
                let fields: Row = self.pick(row, &guests::ALL);
                match guests::transform(*shift, &fields) {
                    Taken::Yes(rows) => self.transformed(frame, row, rows, outcome),
                    Taken::Refused(why) => rejected.push(letter(why)),
                    Taken::Trapped => rejected.push(letter(TRAPPED.into())),
                }
            }
            Work::Fold { key, window, .. } => {
                let time = self.time(row);
                let index = window
                    .as_ref()
                    .map_or(0, |w| i128::from(time).div_euclid(i128::from(w.size_us)));
                let now = self.mark.current;
                let late = |w: &Window| now != NEVER && closes(w, index) <= i128::from(now);
                if window.as_ref().is_some_and(late) {
                    let why = format!(
                        "late: event time {time} µs is in a window that was closed at watermark {now} µs"
                    );
                    outcome.late[self.task as usize].push(letter(why));
                    return;
                }
                let key = key
                    .iter()
                    .map(|k| row.values[self.place(k)].clone())
                    .collect();
                let place = (index, key);
                let seen = self.open.get(&place).cloned().unwrap_or_default();
                let fields = self.pick(row, &guests::PAYLOAD);
                match seen.update(self.options(), &fields) {
                    Taken::Yes(seen) => {
                        self.open.insert(place, seen);
                    }
                    Taken::Refused(why) => rejected.push(letter(why)),
                    Taken::Trapped => rejected.push(letter(TRAPPED.into())),
                }
            }
        }
    }

    fn pick(&self, row: &InRow, names: &[&str]) -> Row {
        let value = |name: &&str| row.values[self.place(name)].clone();
        names.iter().map(value).collect()
    }

    fn transformed(&mut self, frame: &Frame, row: &InRow, rows: Vec<Row>, outcome: &mut Outcome) {
        for (ordinal, values) in rows.into_iter().enumerate() {
            outcome.out += 1;
            if self.node.to_topic {
                self.emit(values, self.mark.current);
                continue;
            }
            let key = vec![
                Value::Int(i64::from(frame.partition)),
                Value::Int(row.offset as i64),
                Value::Int(ordinal as i64),
            ];
            let shown = key.iter().cloned().chain(values).collect();
            outcome.view.insert(key, (shown, true));
        }
    }

    /// At a cut: open windows and totals are shown, nothing is closed.
    fn finish(self, outcome: &mut Outcome) {
        outcome.watermark = outcome.watermark.min(self.mark.current);
        if self.node.to_topic {
            return;
        }
        for (place, seen) in &self.open {
            let (key, row) = self.shown(place, seen);
            if let Some(row) = row {
                outcome.view.insert(key, (row, false));
            }
        }
    }
}

/// The watermark at which a window closes.
fn closes(window: &Window, index: i128) -> i128 {
    (index + 1) * i128::from(window.size_us) + i128::from(window.lateness_us)
}
