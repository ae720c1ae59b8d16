//! A scripted life of a host's state, and the model that it must equal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use refrain_log::clock::ManualClock;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::Finding;
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::storage::MemoryStorage;
use refrain_state::commit::{
    DerivedEnd, Lineage, NodeCommit, NodeState, SourceEnd, State, StateOptions, TaskChanges,
};
use refrain_state::registry::{Decision, Entry};
use refrain_state::store::StateChanges;
use refrain_state::view::{ViewChanges, ViewSpec};
use refrain_state::{Result, digest};

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Commit {
        seed: u64,
        nodes: u64,
    },
    /// A commit of 100 KiB of one state.
    Large {
        seed: u64,
    },
    Compact,
    /// Node `b`.
    Forget,
    /// Entries of the registry, and sometimes node `b` goes with them.
    Decide {
        seed: u64,
    },
    Reopen,
}

/// What must be seen of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeModel {
    pub(crate) cut: u64,
    pub(crate) memos: BTreeMap<u32, Vec<u8>>,
    pub(crate) sources: BTreeMap<u32, u64>,
    pub(crate) derived: BTreeMap<u32, u64>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) states: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
    /// Key to value and whether it is final.
    pub(crate) rows: BTreeMap<String, (i64, u64, bool)>,
    /// Of [`REGISTRY`] alone.
    pub(crate) entries: BTreeMap<String, String>,
}

/// The name under which a model has the registry.
const REGISTRY: &str = "(registry)";

pub(crate) type Model = BTreeMap<String, NodeModel>;

/// A host's state on a storage.
pub(crate) struct Life {
    pub(crate) state: State,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Opens a state that begins a base whenever it has grown by 700 bytes and by half of what it holds.
pub(crate) fn open(storage: &MemoryStorage) -> Result<(State, Vec<Finding>)> {
    let options = StateOptions {
        growth_bytes: 700,
        ..StateOptions::default()
    };
    open_with(storage, options)
}

pub(crate) fn open_with(
    storage: &MemoryStorage,
    options: StateOptions,
) -> Result<(State, Vec<Finding>)> {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
    let folder = PathBuf::from("host/commits");
    State::open_with(Arc::new(storage.clone()), clock, folder, options)
}

pub(crate) fn spec(node: &str) -> ViewSpec {
    ViewSpec {
        name: format!("view-{node}"),
        node: node.into(),
        schema: Schema::new(vec![
            Field::new("word", Kind::Text),
            Field::new("sum", Kind::I64),
            Field::new("mean", Kind::F64),
        ]),
        key_fields: 1,
    }
}

impl Life {
    pub(crate) fn begin(storage: &MemoryStorage) -> Result<Life> {
        let (state, _) = open(storage)?;
        let life = Life { state };
        life.declare()?;
        Ok(life)
    }

    fn declare(&self) -> Result<()> {
        ["a", "b"]
            .iter()
            .try_for_each(|node| self.state.declare_view(spec(node)).map(|_| ()))
    }

    /// Does it, and brings the model to where it is when all goes well.
    pub(crate) fn act(&mut self, act: &Act, model: &mut Model) -> Result<()> {
        match act {
            Act::Commit { seed, nodes } => {
                self.declare()?;
                let mut random = Random(*seed);
                let names = ["a", "b"].into_iter().take(*nodes as usize);
                let commits = names.map(|name| commit(name, &mut random, model)).collect();
                self.state.commit(commits)
            }
            Act::Large { seed } => {
                self.declare()?;
                let mut commit = commit("a", &mut Random(*seed), model);
                let state = vec![*seed as u8; 100 << 10];
                commit.tasks[0].state.put_keys.push(b"large");
                commit.tasks[0].state.put_states.push(&state);
                let task = commit.tasks[0].task;
                model
                    .get_mut("a")
                    .unwrap()
                    .states
                    .insert((task, b"large".to_vec()), state);
                self.state.commit(vec![commit])
            }
            Act::Compact => self.state.compact(),
            Act::Forget => {
                model.remove("b");
                self.state.forget("b")
            }
            Act::Decide { seed } => self.decide(&mut Random(*seed), model),
            Act::Reopen => self.state.reopen().map(|_| ()),
        }
    }
}

impl Life {
    fn decide(&self, random: &mut Random, model: &mut Model) -> Result<()> {
        let mut decision = Decision::default();
        let kept = &mut model.entry(REGISTRY.into()).or_default().entries;
        for _ in 0..1 + random.below(2) {
            let name = format!("entry-{}", random.below(4));
            let text = (random.below(4) > 0).then(|| format!("text {}", random.below(1000)));
            decision.entries.retain(|e: &Entry| e.name != name);
            match &text {
                Some(text) => kept.insert(name.clone(), text.clone()),
                None => kept.remove(&name),
            };
            decision.entries.push(Entry { name, text });
        }
        if random.below(3) == 0 {
            decision.forget.push("b".into());
            model.remove("b");
        }
        if model[REGISTRY].entries.is_empty() {
            model.remove(REGISTRY);
        }
        self.state.decide(|_| Ok((decision, ())))
    }
}

fn commit(node: &str, random: &mut Random, model: &mut Model) -> NodeCommit {
    let model = model.entry(node.to_owned()).or_default();
    model.cut += 1 + random.below(5);
    model.counts = BTreeMap::from([("taken".to_owned(), model.cut * 3)]);
    let partition = random.below(3) as u32;
    model.sources.insert(partition, model.cut);
    model.derived.insert(partition, model.cut * 2);
    let first = random.below(2) as u32;
    let tasks = (first..2)
        .map(|task| changes(task, random, model))
        .collect();
    NodeCommit {
        node: node.into(),
        cut: Sequence(model.cut),
        lineage: Lineage {
            component: "c".into(),
            configuration: "d".into(),
        },
        tasks,
        sources: vec![SourceEnd {
            topic: "t".into(),
            partition,
            end: Offset(model.cut),
        }],
        derived: vec![DerivedEnd {
            topic: "d".into(),
            partition,
            end: Offset(model.cut * 2),
        }],
        watermark: Timestamp(model.cut as i64),
        counts: model.counts.clone(),
    }
}

fn changes(task: u32, random: &mut Random, model: &mut NodeModel) -> TaskChanges {
    let mut state = StateChanges::default();
    let mut touched = BTreeMap::new();
    for _ in 0..random.below(6) {
        let put =
            (random.below(4) > 0).then(|| vec![random.below(256) as u8; random.below(9) as usize]);
        touched.insert(vec![random.below(12) as u8], put);
    }
    for (key, put) in touched {
        match put {
            Some(value) => {
                state.put_keys.push(&key);
                state.put_states.push(&value);
                model.states.insert((task, key), value);
            }
            None => {
                state.deleted.push(&key);
                model.states.remove(&(task, key));
            }
        }
    }
    let memo = vec![random.below(256) as u8; 5];
    model.memos.insert(task, memo.clone());
    TaskChanges {
        task,
        state,
        view: Some(rows(task, random, model)),
        memo,
    }
}

/// Tasks have keys of their own.
fn rows(task: u32, random: &mut Random, model: &mut NodeModel) -> ViewChanges {
    let mut put = BTreeMap::new();
    let mut deleted = BTreeMap::new();
    for _ in 0..random.below(6) {
        let word = format!("{task}-{}", random.below(9));
        let mean = [0.0, -0.0, f64::NAN, 1.5][random.below(4) as usize];
        put.insert(word, (random.below(100) as i64, mean, random.below(2) == 0));
    }
    for _ in 0..random.below(3) {
        let word = format!("{task}-{}", random.below(9));
        if !put.contains_key(&word) {
            deleted.insert(word, ());
        }
    }
    deleted.keys().for_each(|word| {
        model.rows.remove(word);
    });
    let canonical = |mean: f64| {
        if mean.is_nan() {
            0x7ff8_0000_0000_0000
        } else {
            mean.to_bits()
        }
    };
    for (word, (sum, mean, last)) in &put {
        model
            .rows
            .insert(word.clone(), (*sum, canonical(*mean), *last));
    }
    let words = |words: Vec<&String>| Arc::new(StringArray::from_iter_values(words)) as ArrayRef;
    let schema = spec("a").schema;
    let columns: Vec<ArrayRef> = vec![
        words(put.keys().collect()),
        Arc::new(Int64Array::from_iter_values(put.values().map(|v| v.0))),
        Arc::new(Float64Array::from_iter_values(put.values().map(|v| v.1))),
    ];
    let keys = Schema::new(schema.fields()[..1].to_vec());
    let deletes = RecordBatch::try_new(keys.arrow(), vec![words(deleted.keys().collect())]);
    ViewChanges {
        rows: RecordBatch::try_new(schema.arrow(), columns).unwrap(),
        finals: put.values().map(|v| v.2).collect::<BooleanBuffer>(),
        deletes: Some(deletes.unwrap()),
    }
}

/// What a state shows, in the form of the model; its digests and counts are checked on the way.
pub(crate) fn seen(state: &State) -> Model {
    let names = state.nodes();
    let mut model: Model = names
        .into_iter()
        .map(|name| (name.clone(), seen_node(state, &name)))
        .collect();
    let registry = state.registry();
    let entries = registry.entries().map(|(n, t)| (n.into(), t.into()));
    let entries: BTreeMap<String, String> = entries.collect();
    if !entries.is_empty() {
        let registry = NodeModel {
            entries,
            ..NodeModel::default()
        };
        model.insert(REGISTRY.into(), registry);
    }
    model
}

fn seen_node(state: &State, name: &str) -> NodeModel {
    let NodeState {
        cut,
        memos,
        sources,
        derived,
        counts,
        commit,
        ..
    } = state.node(name).unwrap();
    let mut states = BTreeMap::new();
    for task in 0..2 {
        for (key, value) in state.task_states(name, task).unwrap() {
            assert_eq!(
                state.task_state(name, task, &key).unwrap().as_deref(),
                Some(&*value)
            );
            states.insert((task, key.to_vec()), value.to_vec());
        }
    }
    let view = state.view(&format!("view-{name}")).unwrap();
    let answer = view.scan(None).unwrap();
    assert_eq!(
        (answer.state.cut, answer.state.commit),
        (cut, commit),
        "a view stands at its node's commit"
    );
    assert_eq!(
        answer.state.digest,
        digest::digest(&answer.rows, view.schema())
    );
    assert_eq!(answer.state.rows, answer.rows.num_rows() as u64);
    assert_eq!(answer.state.finals, answer.finals.count_set_bits() as u64);
    let column = |i: usize| answer.rows.column(i);
    let row = |i: usize| {
        let sum = column(1).as_primitive::<Int64Type>().value(i);
        let mean = column(2).as_primitive::<Float64Type>().value(i).to_bits();
        (
            column(0).as_string::<i32>().value(i).to_owned(),
            (sum, mean, answer.finals.value(i)),
        )
    };
    NodeModel {
        cut: cut.0,
        memos,
        sources: sources.iter().map(|s| (s.partition, s.end.0)).collect(),
        derived: derived.iter().map(|d| (d.partition, d.end.0)).collect(),
        counts,
        states,
        rows: (0..answer.rows.num_rows()).map(row).collect(),
        entries: BTreeMap::new(),
    }
}
