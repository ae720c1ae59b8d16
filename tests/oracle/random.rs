//! Random cases from a seed: a pipeline, rows, and how they are appended and run.

use refrain_log::schema::{Field, Kind};
use refrain_log::storage::Fault;

use crate::accidents::Accident;
use crate::graph::{Graph, Kinds, Node, Source, Window, Work, transformed_fields};
use crate::guests::{FoldOptions, TRAP};
use crate::process::ProcessOptions;
use crate::value::{Row, Value};

/// Append time of the first frame.
pub const BASE_US: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;
/// Transforms move times, by less than this.
const DAY: i64 = 86_400 * SECOND;
const YEAR_1: i64 = -62_135_596_800_000_000;
const YEAR_9999: i64 = 253_402_300_799_999_999;

/// A small generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// One thing done to a project.
#[derive(Clone, Debug)]
pub enum Step {
    /// Appends batches of these sizes one after another.
    Append(Vec<usize>),
    /// Moves the clock, so that quiet partitions get ticks.
    Wait(i64),
    /// Runs, appending these batches meanwhile. `rhythm`: `once`, `continuous`, `every 10ms`.
    Run {
        rhythm: &'static str,
        workers: usize,
        call_rows: usize,
        drop_instances: Option<u64>,
        meanwhile: Vec<usize>,
        /// States on the disk, and so many bytes of them in memory.
        cache: Option<u64>,
        /// Open the host again before.
        reopen: bool,
    },
    /// The disk fails.
    Accident(Accident),
    /// Removes the commit log, and the derived topics as well or not.
    Forget { derived: bool },
}

#[derive(Clone, Debug)]
pub struct Case {
    pub graph: Graph,
    pub steps: Vec<Step>,
    /// Kinds of damage in the rows, chosen for the whole case.
    pub rows: RowStyle,
    pub on_disk: bool,
}

#[derive(Clone, Debug)]
pub struct RowStyle {
    /// Microseconds by which a row's time moves on, at most.
    pub pace_us: u64,
    pub disorder_us: i64,
    /// One row in so many is the magic one that traps; 0: none.
    pub traps: u64,
    pub extreme_times: bool,
    pub keys: usize,
}

pub fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let source = source(&mut dice);
    let rows = RowStyle {
        pace_us: *dice.pick(&[0, 100_000, 1_500_000, 20_000_000]),
        disorder_us: source.disorder_us,
        traps: *dice.pick(&[0, 0, 0, 60]),
        extreme_times: dice.one_in(8),
        keys: *dice.pick(&[1, 3, 12]),
    };
    let nodes = nodes(&mut dice, &source);
    let steps = steps(&mut dice);
    Case {
        graph: Graph::new(source, nodes),
        steps,
        rows,
        on_disk: dice.one_in(8),
    }
}

fn source(dice: &mut Dice) -> Source {
    let mut fields = transformed_fields();
    for field in &mut fields[1..] {
        field.nullable = !dice.one_in(3);
    }
    let keys = ["ka", "kb", "kc", "kd", "ke"];
    let mut key: Vec<String> = Vec::new();
    for _ in 0..*dice.pick(&[0, 1, 1, 1, 2]) {
        let name = dice.pick(&keys).to_string();
        if !key.contains(&name) {
            key.push(name);
        }
    }
    Source {
        fields,
        key,
        partitions: *dice.pick(&[1, 3]),
        disorder_us: *dice.pick(&[0, SECOND, 5 * SECOND, 60 * SECOND]),
        idle_us: *dice.pick(&[None, Some(2 * SECOND), Some(30 * SECOND)]),
        ahead_us: *dice.pick(&[3600 * SECOND, 3600 * SECOND, 10_000 * 365 * 86_400 * SECOND]),
    }
}

/// A topic that nodes may read.
struct Readable {
    name: String,
    fields: Vec<Field>,
    /// Its event time.
    time: Option<String>,
}

fn nodes(dice: &mut Dice, source: &Source) -> Vec<Node> {
    let mut readable = vec![Readable {
        name: "events".into(),
        fields: source.fields.clone(),
        time: Some("at".into()),
    }];
    let count = 1 + dice.below(4);
    (0..count)
        .map(|i| {
            let name = format!("n{i}");
            // The newest topic more often than the others, so that chains grow.
            let place = match dice.one_in(2) {
                true => readable.len() - 1,
                false => dice.below(readable.len() as u64) as usize,
            };
            let mut places = vec![place];
            while places.len() < readable.len() && dice.one_in(3) {
                let place = dice.below(readable.len() as u64) as usize;
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            let inputs: Vec<&Readable> = places.iter().map(|p| &readable[*p]).collect();
            let (node, output) = node(dice, name, &Inputs::of(&inputs), source);
            readable.extend(output);
            node
        })
        .collect()
}

/// Topics that a node reads, and what they have in common.
struct Inputs {
    names: Vec<String>,
    fields: Vec<Field>,
    /// Their event times, as far as they have some.
    times: Vec<String>,
    timed: bool,
}

impl Inputs {
    fn of(topics: &[&Readable]) -> Inputs {
        let common = topics[0].fields.iter().filter_map(|field| {
            let same = |t: &&Readable| {
                let found = t.fields.iter().find(|f| f.name == field.name);
                found.filter(|f| f.kind == field.kind).map(|f| f.nullable)
            };
            let nullable: Option<Vec<bool>> = topics.iter().map(same).collect();
            let nullable = nullable?.contains(&true);
            Some(Field {
                nullable,
                ..field.clone()
            })
        });
        Inputs {
            names: topics.iter().map(|t| t.name.clone()).collect(),
            fields: common.collect(),
            times: topics.iter().filter_map(|t| t.time.clone()).collect(),
            timed: topics.iter().all(|t| t.time.is_some()),
        }
    }

    /// The first event time of the two inputs of a process node that its results have.
    fn passed_on_time(&self, fields: &[Field]) -> Option<String> {
        let is_time = |f: &Field| f.kind == Kind::Timestamp && !f.nullable;
        let has = |name: &&String| fields.iter().any(|f| f.name == **name && is_time(f));
        self.times.iter().take(2).find(has).cloned()
    }
}

fn node(
    dice: &mut Dice,
    name: String,
    input: &Inputs,
    source: &Source,
) -> (Node, Option<Readable>) {
    let has = |name: &&str| input.fields.iter().any(|f| f.name == **name);
    let transforms = crate::guests::ALL.iter().all(has);
    let work = match transforms && dice.one_in(3) {
        true => Work::Transform {
            shift: *dice.pick(&[0, SECOND, -7 * SECOND, 3600 * SECOND]),
        },
        false if input.timed && dice.one_in(4) => process(dice, input, source),
        false => fold(dice, input, source),
    };
    let mut names = input.names.clone();
    if matches!(work, Work::Process { .. }) {
        // Two inputs; a topic may be both.
        names.truncate(2);
        if names.len() == 1 {
            names.push(names[0].clone());
        }
    }
    let partitions = match &work {
        Work::Fold { key, .. } | Work::Process { key, .. } if !key.is_empty() && dice.one_in(3) => {
            Some(*dice.pick(&[1, 2, 3, 5]))
        }
        _ => None,
    };
    let (to_topic, fields) = match &work {
        Work::Transform { .. } => (!dice.one_in(3), transformed_fields()),
        Work::Fold { window: None, .. } => (false, Vec::new()),
        Work::Process { key, .. } => {
            let field = |k: &String| input.fields.iter().find(|f| f.name == *k).cloned();
            let mut fields: Vec<Field> = key.iter().filter_map(field).collect();
            fields.extend(crate::graph::processed_fields());
            (dice.one_in(2), fields)
        }
        Work::Fold {
            key,
            window: Some(w),
            ..
        } => {
            let key = key.iter().map(|k| {
                let found = input.fields.iter().find(|f| f.name == *k);
                found.expect("chosen among them").clone()
            });
            let mut fields: Vec<Field> = key.collect();
            fields.extend(w.fields());
            fields.push(Field::new("rows", Kind::I64));
            fields.extend(crate::graph::payload_fields());
            (dice.one_in(2), fields)
        }
    };
    let time = match &work {
        Work::Transform { .. } => Some("at".to_owned()),
        Work::Process { .. } => input.passed_on_time(&fields),
        Work::Fold { window, .. } => window.as_ref().and_then(|w| match w.kind {
            Kinds::Count { .. } => None,
            Kinds::Session { .. } => Some(crate::graph::END.to_owned()),
            _ => Some(w.name.clone()),
        }),
    };
    let node = Node {
        name,
        inputs: names,
        partitions,
        work: keep(dice, work, to_topic),
        to_topic,
        call_rows: 4096,
        rhythm: "continuous".into(),
    };
    let output = to_topic.then(|| Readable {
        name: node.output(),
        fields,
        time,
    });
    (node, output)
}

/// Some views let rows go again.
fn keep(dice: &mut Dice, mut work: Work, to_topic: bool) -> Work {
    if let Work::Fold {
        window: Some(window),
        keep_us,
        ..
    } = &mut work
        && window.timed()
        && !to_topic
        && dice.one_in(3)
    {
        let more = *dice.pick(&[0, 1, 5 * SECOND, 100 * SECOND]);
        *keep_us = Some(window.lateness_us + more);
    }
    work
}

fn window(dice: &mut Dice, timed: bool) -> Option<Window> {
    let lateness_us = *dice.pick(&[0, 0, 3 * SECOND, 60 * SECOND]);
    let size_us = *dice.pick(&[7, SECOND, 10 * SECOND, 60 * SECOND, 86_400 * SECOND]);
    let kind = match dice.below(if timed { 12 } else { 4 }) {
        0..2 => return None,
        2..4 => Kinds::Count {
            rows: *dice.pick(&[1, 2, 3, 10, 100]),
        },
        4..7 => Kinds::Tumbling { size_us },
        7..9 => Kinds::Sliding {
            size_us,
            every_us: match size_us {
                7 => *dice.pick(&[1, 2, 7]),
                _ => size_us / *dice.pick(&[1, 2, 3, 7, 10]) + dice.below(2) as i64,
            }
            .min(size_us),
        },
        _ => Kinds::Session {
            gap_us: *dice.pick(&[1, 300_000, SECOND, 4 * SECOND, 30 * SECOND]),
        },
    };
    let name = match kind {
        Kinds::Count { .. } => *dice.pick(&["window_number", "number_of"]),
        _ => *dice.pick(&["window_start", "at"]),
    };
    Some(Window {
        kind,
        lateness_us: match kind {
            Kinds::Count { .. } => 0,
            _ => lateness_us,
        },
        name: name.into(),
    })
}

fn fold(dice: &mut Dice, input: &Inputs, source: &Source) -> Work {
    let mut window = window(dice, input.timed);
    let outputs = ["rows", crate::graph::END].into_iter();
    let outputs = outputs.chain(crate::guests::PAYLOAD);
    let name = window.as_ref().map(|w| w.name.clone());
    let taken: Vec<&str> = outputs.chain(name.as_deref()).collect();
    let free: Vec<String> = input
        .fields
        .iter()
        .filter(|f| f.kind != Kind::F64 && !taken.contains(&f.name.as_str()))
        .map(|f| f.name.clone())
        .collect();
    let mut key: Vec<String> = Vec::new();
    if input.names == ["events"] && dice.one_in(2) {
        key.extend(source.key.clone());
    }
    let wanted = *dice.pick(&[0, 1, 1, 2, 5]);
    while key.len() < wanted.min(free.len()) {
        let name = dice.pick(&free).clone();
        if !key.contains(&name) {
            key.push(name);
        }
    }
    if key.is_empty() && window.is_none() {
        match free.is_empty() {
            false => key.push(dice.pick(&free).clone()),
            // A topic of windows without a key has no field that can be one.
            true => {
                window = Some(Window {
                    kind: Kinds::Count { rows: 2 },
                    lateness_us: 0,
                    name: "n".into(),
                });
            }
        }
    }
    Work::Fold {
        key,
        window,
        keep_us: None,
        options: FoldOptions {
            hide: *dice.pick(&[0, 0, 2, 5]),
            refuse: !dice.one_in(4),
        },
    }
}

fn process(dice: &mut Dice, input: &Inputs, source: &Source) -> Work {
    let outputs = [crate::process::AT, crate::process::CAUSE].into_iter();
    let outputs = outputs.chain(crate::guests::PAYLOAD);
    let taken: Vec<&str> = outputs.collect();
    let free = input.fields.iter();
    let free: Vec<String> = free
        .filter(|f| f.kind != Kind::F64 && !taken.contains(&f.name.as_str()))
        .map(|f| f.name.clone())
        .collect();
    let mut key: Vec<String> = Vec::new();
    if input.names == ["events"] && dice.one_in(2) {
        key.extend(source.key.clone());
    }
    let wanted = *dice.pick(&[0, 1, 1, 2]);
    while key.len() < wanted.min(free.len()) {
        let name = dice.pick(&free).clone();
        if !key.contains(&name) {
            key.push(name);
        }
    }
    Work::Process {
        key,
        options: ProcessOptions {
            gap_us: *dice.pick(&[0, SECOND, 5 * SECOND, 40 * SECOND]),
            step_us: *dice.pick(&[1_000, SECOND, SECOND, 7 * SECOND, 60 * SECOND]),
        },
    }
}

fn batches(dice: &mut Dice) -> Vec<usize> {
    // Now and then more than a call.
    if dice.one_in(40) {
        return vec![9_000];
    }
    let count = dice.below(12);
    (0..count)
        .map(|_| *dice.pick(&[0, 1, 1, 2, 5, 9, 30]))
        .collect()
}

fn steps(dice: &mut Dice) -> Vec<Step> {
    let cached = dice.one_in(3);
    let mut fate = Dice::new(dice.clone().next());
    let mut steps = Vec::new();
    for _ in 0..2 + dice.below(3) {
        steps.push(Step::Append(batches(dice)));
        if dice.one_in(3) {
            let by = *dice.pick(&[SECOND, 3 * SECOND, 40 * SECOND]);
            steps.push(Step::Wait(by));
        }
        if fate.one_in(2) {
            steps.push(Step::Accident(accident(&mut fate)));
        }
        if dice.one_in(8) {
            let derived = dice.one_in(2);
            steps.push(Step::Forget { derived });
        }
        steps.push(run(dice, cached));
    }
    // The same again from nothing but the log.
    let derived = dice.one_in(2);
    steps.push(Step::Forget { derived });
    steps.push(run(dice, cached));
    steps
}

fn accident(dice: &mut Dice) -> Accident {
    let fault = match dice.below(2) {
        0 => None,
        _ => Some(*dice.pick(&[Fault::Io, Fault::Io, Fault::Short, Fault::NoSpace])),
    };
    Accident {
        after: *dice.pick(&[3, 30, 100, 300]) * dice.below(1000) / 1000,
        fault,
        again: dice.one_in(3).then(|| dice.below(60)),
        restart: dice.one_in(2),
        once: dice.one_in(2),
        workers: *dice.pick(&[1, 2, 4]),
        batches: batches(dice),
    }
}

fn run(dice: &mut Dice, cached: bool) -> Step {
    let rhythm = *dice.pick(&["once", "once", "continuous", "every 10ms"]);
    let meanwhile = match rhythm == "once" && !dice.one_in(4) {
        true => Vec::new(),
        false => batches(dice),
    };
    Step::Run {
        rhythm,
        workers: *dice.pick(&[1, 2, 4]),
        call_rows: *dice.pick(&[1, 7, 4096]),
        drop_instances: dice.one_in(2).then(|| dice.next()),
        meanwhile,
        cache: match cached {
            true => *dice.pick(&[None, Some(1), Some(700)]),
            false => None,
        },
        reopen: dice.one_in(2),
    }
}

/// Makes rows. Event times move on from [`BASE_US`].
pub struct Rows {
    dice: Dice,
    style: RowStyle,
    fields: Vec<Field>,
    now: i64,
}

impl Rows {
    pub fn new(seed: u64, style: RowStyle, fields: Vec<Field>) -> Rows {
        Rows {
            dice: Dice::new(seed ^ 0x5eed),
            style,
            fields,
            now: BASE_US - 600 * SECOND,
        }
    }

    pub fn row(&mut self) -> Row {
        let fields = self.fields.clone();
        fields
            .iter()
            .enumerate()
            .map(|(i, f)| self.value(i, f))
            .collect()
    }

    fn value(&mut self, place: usize, field: &Field) -> Value {
        let nulls = if field.nullable { 6 } else { 150 };
        if place == 0 {
            return self.time();
        }
        if self.dice.one_in(nulls) {
            return Value::Null;
        }
        let is_key = place <= 5;
        let dice = &mut self.dice;
        let key = dice.below(self.style.keys as u64) as usize;
        match field.kind {
            Kind::Bool => Value::Bool(dice.one_in(2)),
            Kind::I64 if is_key => {
                Value::Int([7, -1, 0, i64::MIN, i64::MAX, 1][key % 6] ^ (key as i64 / 6))
            }
            Kind::I64 => self.number(),
            Kind::F64 => self.real(),
            Kind::Text if is_key => Value::Text(format!("{}{}", TEXTS[key % TEXTS.len()], key / 8)),
            Kind::Text => Value::Text(TEXTS[dice.below(TEXTS.len() as u64) as usize].into()),
            Kind::Bytes if is_key => {
                Value::Bytes([&b"\0"[..], b"", b"\0\0", b"\xff", b"a\0b"][key % 5].into())
            }
            Kind::Bytes => {
                let length = dice.below(5);
                Value::Bytes((0..length).map(|_| *dice.pick(&[0, 1, 255])).collect())
            }
            Kind::Timestamp if is_key => Value::Time([0, -1, BASE_US, YEAR_9999, YEAR_1][key % 5]),
            Kind::Timestamp => Value::Time(*dice.pick(&[0, -1, 1, BASE_US, YEAR_1, YEAR_9999])),
        }
    }

    fn time(&mut self) -> Value {
        let dice = &mut self.dice;
        if dice.one_in(200) {
            return Value::Null;
        }
        if dice.one_in(100) {
            return Value::Time(*dice.pick(&[
                YEAR_1 + DAY,
                YEAR_1 - 1,
                YEAR_9999 + 1,
                i64::MIN,
                i64::MAX,
            ]));
        }
        if self.style.extreme_times && dice.one_in(60) {
            let far = [YEAR_9999 - DAY, YEAR_9999 - 2 * DAY, BASE_US + DAY];
            return Value::Time(*dice.pick(&far));
        }
        self.now += dice.below(self.style.pace_us + 1) as i64;
        let behind = match dice.below(10) {
            0..5 => 0,
            5..9 => dice.below(self.style.disorder_us as u64 + 1) as i64,
            _ => dice.below(200 * SECOND as u64) as i64,
        };
        Value::Time(self.now - behind)
    }

    fn number(&mut self) -> Value {
        let dice = &mut self.dice;
        if self.style.traps > 0 && dice.one_in(self.style.traps) {
            return Value::Int(TRAP + dice.below(2) as i64);
        }
        Value::Int(match dice.below(8) {
            0 => *dice.pick(&[i64::MIN, i64::MAX, 13, TRAP - 1, 0, -1]),
            1 => dice.next() as i64,
            _ => dice.below(40) as i64,
        })
        .untrapped(self.style.traps == 0)
    }

    /// Bits of a real as a producer may send them: NaNs of all kinds.
    fn real(&mut self) -> Value {
        let dice = &mut self.dice;
        let odd = [
            0x7ff8_0000_0000_0000,
            // Negative, with a payload, signalling, all ones.
            0xfff8_0000_0000_0000,
            0x7ff8_dead_beef_0001,
            0x7ff0_0000_0000_0001,
            0xfff4_0000_0000_0002,
            u64::MAX,
            f64::INFINITY.to_bits(),
            f64::NEG_INFINITY.to_bits(),
            (-0.0_f64).to_bits(),
            0,
            (f64::MIN_POSITIVE / 2.0).to_bits(),
            f64::MAX.to_bits(),
            1e300_f64.to_bits(),
        ];
        Value::Float(match dice.below(12) {
            0 => *dice.pick(&odd),
            _ => (dice.below(1000) as f64 / 7.0 - 50.0).to_bits(),
        })
    }
}

impl Value {
    /// In a case without traps, no number from which a transform makes one.
    fn untrapped(self, wanted: bool) -> Value {
        match self {
            Value::Int(n) if wanted && (TRAP - 4..=TRAP + 1).contains(&n) => Value::Int(3),
            other => other,
        }
    }
}

const TEXTS: [&str; 8] = [
    "",
    "a",
    "ä",
    "a\0",
    "漢字",
    "no",
    "🦀 and some more text that is longer than eight bytes",
    "nö",
];
