//! A trial: a pipeline over an excerpt of the log, with components of one's choice. Topics, states and views of it are in
//! memory and go with it; what is live is neither read nor touched. Rows keep their order, their partitions and the time
//! of their append, so that a trial over all rows comes to what a run over the log comes to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use refrain_log::KEYLESS_BLOCK_ROWS;
use refrain_log::clock::ManualClock;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::{Append, Producer};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::storage::MemoryStorage;
use refrain_plugin::fuel::{Burnt, FuelBook};

use crate::error::{Error, Result};
use crate::host::{Host, Project};
use crate::loader::Loader;
use crate::names;
use crate::pipeline::{Declaration, Output, PlannedNode};
use crate::request::{From, Request, Response, Table};
use crate::run::RunOptions;
use crate::validate::compare::compare;
use crate::validate::joined;
use crate::validate::report::Drift;

/// Rows of a derived topic that are taken off it at a time.
const READ_ROWS: u64 = 65_536;
/// Field that numbers equal rows of a topic, so that they can be told apart.
const NTH: &str = "@nth";

/// Rows of one frame of a source topic.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Sequence of the frame.
    pub sequence: Sequence,
    /// When it was appended.
    pub appended: Timestamp,
    /// Rows, with the fields of the topic.
    pub rows: RecordBatch,
}

/// Rows of source topics in log order.
#[derive(Clone, Debug, Default)]
pub struct Excerpt {
    pieces: Vec<Piece>,
}

impl Excerpt {
    /// Puts pieces in log order. Pieces of one frame keep theirs.
    pub fn new(mut pieces: Vec<Piece>) -> Excerpt {
        pieces.retain(|piece| piece.rows.num_rows() > 0);
        pieces.sort_by_key(|piece| (piece.sequence, piece.partition));
        Excerpt { pieces }
    }

    /// The last rows of each topic.
    #[must_use]
    pub fn last(mut self, rows: u64) -> Excerpt {
        let mut left: BTreeMap<String, u64> = BTreeMap::new();
        for piece in self.pieces.iter_mut().rev() {
            let left = left.entry(piece.topic.clone()).or_insert(rows);
            let count = piece.rows.num_rows() as u64;
            let taken = count.min(*left);
            *left -= taken;
            piece.rows = piece.rows.slice((count - taken) as usize, taken as usize);
        }
        Excerpt::new(self.pieces)
    }

    /// The rows of a span of event time, its end excluded; `field` says which field of a topic has it, none: the time of
    /// the append.
    #[must_use]
    pub fn during(
        mut self,
        field: &dyn Fn(&str) -> Option<String>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Excerpt {
        let within =
            |us: i64| from.is_none_or(|from| us >= from.0) && to.is_none_or(|to| us < to.0);
        for piece in &mut self.pieces {
            let column =
                field(&piece.topic).and_then(|name| piece.rows.column_by_name(&name).cloned());
            let kept: BooleanArray = match column {
                Some(times) => {
                    let times = times.as_primitive::<TimestampMicrosecondType>().values();
                    times.iter().map(|us| Some(within(*us))).collect()
                }
                None => vec![within(piece.appended.0); piece.rows.num_rows()].into(),
            };
            piece.rows =
                filter_record_batch(&piece.rows, &kept).expect("there is a decision for each row");
        }
        Excerpt::new(self.pieces)
    }

    /// The rows of each partition in one frame, as many as are whole calls of so many rows, so that no call is smaller for
    /// how rows came. Of a partition with fewer rows than that, all.
    ///
    /// # Errors
    /// More rows than fit into a frame.
    pub fn packed(&self, call_rows: usize) -> Result<Excerpt> {
        let mut partitions: BTreeMap<(&str, u32), Vec<&Piece>> = BTreeMap::new();
        for piece in &self.pieces {
            let place = (piece.topic.as_str(), piece.partition);
            partitions.entry(place).or_default().push(piece);
        }
        let pack = |pieces: Vec<&Piece>| {
            let (first, last) = (pieces[0], pieces[pieces.len() - 1]);
            let rows = pieces.iter().map(|piece| &piece.rows);
            let rows = concat_batches(&first.rows.schema(), rows)
                .map_err(|e| Error::Refused(e.to_string()))?;
            let count = rows.num_rows();
            let whole = count - count % call_rows.max(1);
            let kept = if whole == 0 { count } else { whole };
            Ok(Piece {
                rows: rows.slice(0, kept),
                appended: last.appended,
                ..first.clone()
            })
        };
        let packed = partitions.into_values().map(pack);
        Ok(Excerpt::new(packed.collect::<Result<_>>()?))
    }

    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.pieces.iter().map(|p| p.rows.num_rows() as u64).sum()
    }
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// The project that the pipeline file belongs to.
    pub project: &'a Project,
    /// The pipeline file.
    pub declaration: &'a Declaration,
    /// Component of each plugin.
    pub components: BTreeMap<String, Vec<u8>>,
    /// Nodes that run; see [`needed`].
    pub nodes: Vec<String>,
    /// Folder for compiled plugins.
    pub cache: Option<PathBuf>,
}

/// What a node made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The node.
    pub node: String,
    /// Its view or topic.
    pub output: Output,
    /// Fields that tell its rows apart.
    pub key: Vec<String>,
    /// The rows: of a view in the order of its key, of a topic partition by partition.
    pub table: Table,
    /// Digest of a view.
    pub digest: Option<u128>,
    /// Rows taken, late, rejected, and so on.
    pub counts: BTreeMap<String, u64>,
}

/// What came of a trial.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What each node made, in the order of the plan.
    pub made: Vec<Made>,
    /// Nodes that stopped, with the reason. What others made is not whole then.
    pub stopped: Vec<(String, String)>,
}

/// How what two trials made of one node differs.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Not at all.
    None,
    /// Row by row.
    Rows(Box<Drift>),
    /// The rows have other keys: they cannot be compared. Key fields before and after.
    Keys(Vec<String>, Vec<String>),
}

/// The nodes named, and all that write what they read; none named: all. In the order of the file.
///
/// # Errors
/// A node that is not there, with the nearest name.
pub fn needed(declaration: &Declaration, named: &[String]) -> Result<Vec<String>> {
    let all = declaration.node_names();
    if let Some(name) = named.iter().find(|name| !all.contains(name)) {
        let none = "the pipeline file declares none; write a [node.NAME] section";
        let all = all.iter().map(String::as_str);
        return Err(Error::Refused(names::unknown("node", name, all, none)));
    }
    if named.is_empty() {
        return Ok(all);
    }
    let mut wanted: Vec<String> = named.to_vec();
    let mut place = 0;
    while place < wanted.len() {
        let inputs = declaration.node_inputs(&wanted[place]);
        let writers = declaration.nodes.iter().filter(|node| {
            let written = node.output.name().get_ref();
            inputs.contains(written)
        });
        for writer in writers {
            let name = writer.name.get_ref();
            if !wanted.contains(name) {
                wanted.push(name.clone());
            }
        }
        place += 1;
    }
    Ok(all.into_iter().filter(|n| wanted.contains(n)).collect())
}

/// The source topics that these nodes read, in the order of the file.
pub fn sources(declaration: &Declaration, nodes: &[String]) -> Vec<String> {
    let read: Vec<String> = nodes
        .iter()
        .flat_map(|node| declaration.node_inputs(node))
        .collect();
    let topics = declaration.topics.iter().map(|t| t.name.get_ref().clone());
    topics.filter(|topic| read.contains(topic)).collect()
}

impl Trial<'_> {
    /// Runs the nodes over the excerpt, to its end.
    ///
    /// # Errors
    /// What the pipeline file or a component is refused for; nothing has run then.
    pub fn run(&self, excerpt: &Excerpt) -> Result<Outcome> {
        let host = self.host(excerpt)?;
        host.keep_compiled_in(self.cache.clone());
        self.outcome(&host)
    }

    /// The same, and what the instances of a node have used of fuel, by export.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn run_counting(
        &self,
        excerpt: &Excerpt,
        node: &str,
    ) -> Result<(Outcome, BTreeMap<&'static str, Burnt>)> {
        let host = self.host(excerpt)?;
        *host.loader() = Loader::counting(self.cache.clone(), node);
        let outcome = self.outcome(&host)?;
        let burnt = host.loader().burnt().map(FuelBook::read);
        Ok((outcome, burnt.unwrap_or_default()))
    }

    /// A host of its own with the excerpt as its log.
    fn host(&self, excerpt: &Excerpt) -> Result<Host> {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let project = self
            .project
            .clone()
            .with_components(self.components.clone());
        let storage = Arc::new(MemoryStorage::new(0));
        let host = Host::open_declared(project, self.private(), storage, clock.clone())?;
        let mut numbers = Numbers::default();
        for piece in &excerpt.pieces {
            clock.set(piece.appended);
            append(&host, piece, &mut numbers)?;
        }
        Ok(host)
    }

    fn outcome(&self, host: &Host) -> Result<Outcome> {
        let options = RunOptions {
            once: true,
            nodes: self.nodes.clone(),
            ..RunOptions::default()
        };
        let report = host.run_again(&options)?;
        let stopped = report.stopped.into_iter();
        let stopped = stopped.map(|(node, why)| (node, why.to_string())).collect();
        let plan = host.plan().expect("a host that ran has a plan");
        let chosen = plan.nodes.iter().filter(|n| self.nodes.contains(&n.name));
        Ok(Outcome {
            made: chosen.map(|node| made(host, node)).collect::<Result<_>>()?,
            stopped,
        })
    }

    /// The pipeline file without what is about a disk.
    fn private(&self) -> Declaration {
        let mut declaration = self.declaration.clone();
        declaration.state.on_disk = false;
        declaration.retention.clear();
        declaration
    }
}

/// Input row numbers that have not been used, by topic.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<String, u64>);

impl Numbers {
    /// The first number of the next block that goes to a partition of a topic without a key.
    fn next(&mut self, topic: &str, partition: u32, partitions: u32) -> u64 {
        let round = self.0.entry(topic.to_owned()).or_default();
        let block = *round * u64::from(partitions) + u64::from(partition);
        *round += 1;
        block * KEYLESS_BLOCK_ROWS + 1
    }
}

/// Appends rows where they were: by their key, or by numbers that lead to their partition.
fn append(host: &Host, piece: &Piece, numbers: &mut Numbers) -> Result<()> {
    let topic = host.log().topic(&piece.topic).ok_or_else(|| {
        let what = format!("the pipeline file has no topic {} any more", piece.topic);
        Error::Refused(format!("{what}: begin again"))
    })?;
    let spec = topic.spec();
    let placed = !spec.key.is_empty() || spec.partitions == 1;
    let count = piece.rows.num_rows();
    let block = if placed {
        count
    } else {
        KEYLESS_BLOCK_ROWS as usize
    };
    for start in (0..count).step_by(block.max(1)) {
        let rows = piece.rows.slice(start, block.min(count - start));
        let producer = (!placed).then(|| Producer {
            name: "trial".into(),
            first_row: numbers.next(&piece.topic, piece.partition, spec.partitions),
        });
        host.log().append(Append {
            topic: piece.topic.clone(),
            rows,
            row_numbers: Vec::new(),
            input: "trial".into(),
            undecoded: Vec::new(),
            producer,
        })?;
    }
    Ok(())
}

fn made(host: &Host, node: &PlannedNode) -> Result<Made> {
    let (key, table) = match &node.output {
        Output::View(name) => {
            let fields = &node.output_schema.fields()[..node.output_key_fields];
            let key = fields.iter().map(|f| f.name.clone()).collect();
            (key, view_rows(host, name, &node.output_schema)?)
        }
        Output::Topic(name) => {
            let table = numbered(topic_rows(host, name, &node.output_schema)?)?;
            let fields = table.schema.fields().iter();
            (fields.map(|f| f.name.clone()).collect(), table)
        }
    };
    let views = host.state().views();
    let view = views.iter().find(|view| view.spec().node == node.name);
    let state = host.state().node(&node.name);
    Ok(Made {
        node: node.name.clone(),
        output: node.output.clone(),
        key,
        table,
        digest: view.map(|view| view.state().digest),
        counts: state.map(|s| s.counts).unwrap_or_default(),
    })
}

fn view_rows(host: &Host, name: &str, schema: &Schema) -> Result<Table> {
    let views = host.state().views();
    let view = views.iter().find(|v| v.spec().name == name);
    match view {
        Some(view) => joined(schema.clone(), &[view.scan(None)?.rows]),
        None => joined(schema.clone(), &[]),
    }
}

fn topic_rows(host: &Host, name: &str, schema: &Schema) -> Result<Table> {
    let partitions = host.log().topic(name).map_or(0, |t| t.spec().partitions);
    let mut parts = Vec::new();
    for partition in 0..partitions {
        let mut from = Offset(0);
        loop {
            let request = Request::Read {
                topic: name.to_owned(),
                partition,
                from: From::Offset(from),
                limit: READ_ROWS,
            };
            match host.handle(request) {
                Response::Read(rows) if rows.table.rows.num_rows() > 0 => {
                    from = rows.next;
                    parts.push(rows.table.rows);
                }
                Response::Refused { message, .. } => return Err(Error::Refused(message)),
                _ => break,
            }
        }
    }
    joined(schema.clone(), &parts)
}

/// Rows with a field that numbers those that are equal, from 1.
fn numbered(table: Table) -> Result<Table> {
    let counted = crate::validate::compare::occurrences(&table);
    let mut fields = table.schema.fields().to_vec();
    fields.push(Field::new(NTH, Kind::I64));
    let mut columns: Vec<ArrayRef> = table.rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(counted)));
    let schema = Schema::new(fields);
    let rows = RecordBatch::try_new(schema.arrow(), columns);
    let rows = rows.map_err(|e| Error::Refused(e.to_string()))?;
    Ok(Table { schema, rows })
}

impl Made {
    /// How what a later trial made differs from this.
    pub fn difference(&self, after: &Made) -> Difference {
        if self.key != after.key {
            return Difference::Keys(self.key.clone(), after.key.clone());
        }
        let all = |_: &Table, _: usize| true;
        let drift = compare(&self.table, &after.table, &self.key, &BTreeMap::new(), &all);
        let fields_same = drift.fields_only.0.is_empty() && drift.fields_only.1.is_empty();
        match drift.is_equal() && fields_same {
            true => Difference::None,
            false => Difference::Rows(Box::new(drift)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(topic: &str, sequence: u64, values: std::ops::Range<i64>) -> Piece {
        let schema = Schema::new(vec![Field::new("a", Kind::I64)]);
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        Piece {
            topic: topic.into(),
            partition: 0,
            sequence: Sequence(sequence),
            appended: Timestamp(0),
            rows: RecordBatch::try_new(schema.arrow(), vec![column]).unwrap(),
        }
    }

    #[test]
    fn the_last_rows_of_each_topic_are_taken_in_log_order() {
        let pieces = vec![
            piece("a", 3, 10..14),
            piece("b", 2, 0..3),
            piece("a", 1, 0..4),
        ];
        let excerpt = Excerpt::new(pieces).last(5);
        let seen: Vec<(u64, usize)> = excerpt
            .pieces
            .iter()
            .map(|p| (p.sequence.0, p.rows.num_rows()))
            .collect();
        assert_eq!((excerpt.rows(), seen), (8, vec![(1, 1), (2, 3), (3, 4)]));
        assert_eq!(excerpt.last(0).rows(), 0);
    }

    #[test]
    fn packed_rows_are_whole_calls() {
        let pieces = vec![
            piece("a", 1, 0..3),
            piece("b", 2, 0..2),
            piece("a", 3, 3..10),
        ];
        let packed = Excerpt::new(pieces).packed(4).unwrap();
        let seen: Vec<(&str, usize)> = packed
            .pieces
            .iter()
            .map(|p| (p.topic.as_str(), p.rows.num_rows()))
            .collect();
        assert_eq!(seen, [("a", 8), ("b", 2)]);
    }

    #[test]
    fn numbers_lead_to_their_partition_and_rise() {
        let mut numbers = Numbers::default();
        let mut last = 0;
        for partition in [2, 0, 1, 1, 2] {
            let first = numbers.next("t", partition, 3);
            assert_eq!((first - 1) / KEYLESS_BLOCK_ROWS % 3, u64::from(partition));
            assert!(first > last);
            last = first;
        }
    }
}
