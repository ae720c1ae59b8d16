//! The model's inputs: which partitions a task reads, and in which order their rows come.

use crate::graph::Node;
use crate::model::{Feed, Frame, InRow};
use crate::value::Row;

/// Tasks of a spread node are as many as its widest input has partitions, up to this.
const TASKS_MAX: u32 = 64;

/// Where the rows of a node are taken.
pub struct Placement {
    pub tasks: u32,
    /// Whether all partitions are read as one, and rows go to tasks by the node's key.
    pub spread: bool,
    /// Fields by whose hash what the node writes is spread.
    pub key: Vec<String>,
}

/// A partition of an input.
#[derive(Clone, Copy)]
pub struct Place {
    pub input: usize,
    pub partition: u32,
}

/// Frames of several inputs that come from one source frame, each with its place among the task's partitions.
pub type Step<'a> = Vec<(usize, &'a Frame)>;

/// Where a node's rows are taken, by what its inputs are.
pub fn placement(node: &Node, inputs: &[&Feed]) -> Placement {
    let widest = inputs.iter().map(|f| f.partitions).max();
    let widest = widest.expect("there is an input");
    let Some(key) = node.key() else {
        return Placement {
            tasks: widest,
            spread: false,
            key: Vec::new(),
        };
    };
    let first = inputs[0];
    let alike = |f: &&Feed| f.partitions == first.partitions && f.key == first.key;
    let by_key = !first.key.is_empty() && first.key.iter().all(|k| key.contains(k));
    let follows = widest == 1 || by_key && inputs.iter().all(alike);
    if follows && node.partitions.is_none_or(|n| n == widest) {
        let key = if by_key && inputs.iter().all(alike) {
            first.key.clone()
        } else {
            key.to_vec()
        };
        return Placement {
            tasks: widest,
            spread: false,
            key,
        };
    }
    let tasks = match key.is_empty() {
        true => 1,
        false => node.partitions.unwrap_or(widest.min(TASKS_MAX)),
    };
    Placement {
        tasks,
        spread: true,
        key: key.to_vec(),
    }
}

/// Partitions of the inputs that a task reads.
pub fn lanes(inputs: &[&Feed], taken: impl Fn(u32) -> bool) -> Vec<Place> {
    let mut lanes = Vec::new();
    for (input, feed) in inputs.iter().enumerate() {
        let partitions = (0..feed.partitions).filter(|p| taken(*p));
        lanes.extend(partitions.map(|partition| Place { input, partition }));
    }
    lanes
}

/// What a task takes, source frame by source frame.
pub fn steps<'a>(inputs: &[&'a Feed], taken: impl Fn(u32) -> bool) -> Vec<Step<'a>> {
    let mut all: Step<'a> = Vec::new();
    for (lane, place) in lanes(inputs, taken).iter().enumerate() {
        let frames = inputs[place.input].frames.iter();
        let own = frames.filter(|f| f.partition == place.partition);
        all.extend(own.map(|frame| (lane, frame)));
    }
    all.sort_by_key(|(lane, frame)| (frame.sequence, *lane));
    let steps = all.chunk_by(|a, b| a.1.sequence == b.1.sequence);
    steps.map(<[_]>::to_vec).collect()
}

/// The rows of a step, by the row of the source frame that they come from, then by input.
pub fn rows_of<'a>(step: &Step<'a>) -> Vec<(usize, &'a Frame, &'a InRow)> {
    let mut rows = Vec::new();
    for (lane, frame) in step {
        rows.extend(frame.rows.iter().map(|row| (*lane, *frame, row)));
    }
    rows.sort_by_key(|(lane, _, row)| (row.origin, *lane));
    rows
}

/// From when on a partition of what is made of these inputs is idle.
pub fn idle_of(inputs: &[&Feed]) -> Option<i64> {
    let all: Option<Vec<i64>> = inputs.iter().map(|f| f.idle_us).collect();
    all?.into_iter().max()
}

/// Event time of a row.
pub fn time(input: &Feed, row: &InRow) -> i64 {
    // Only totals read topics without an event time, and they have no watermark.
    input.time.map_or(0, |place| {
        row.values[place].as_int().expect("a time is never null")
    })
}

/// Place of a field.
pub fn place(input: &Feed, name: &str) -> usize {
    let found = input.fields.iter().position(|f| f.name == name);
    found.unwrap_or_else(|| panic!("no field {name}"))
}

/// Values of these fields.
pub fn pick(input: &Feed, row: &InRow, names: &[&str]) -> Row {
    let value = |name: &&str| row.values[place(input, name)].clone();
    names.iter().map(value).collect()
}
