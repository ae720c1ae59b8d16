//! `refrain rejected resubmit`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use refrain_engine::ingest::{DecodeOptions, Format, decode_stream};
use refrain_engine::pipeline::{Declaration, SourceTopic};
use refrain_engine::rejected::{Aside, RejectedStatus, Resubmission, Resubmitted, Spot};
use refrain_engine::request::{Request, Response, Table};

use super::entry::{Content, Reading, parse, place};
use super::pages::{Aparted, Selection, at, each_page};
use super::status;
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::topic::partitions;
use crate::failure::Failure;
use crate::file::read_text;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{self, Sheet, grouped};

/// Rows of one act: they are noted, appended and ticked off together.
const BATCH_ROWS: usize = 16_384;
/// Bytes of their text.
const BATCH_BYTES: usize = 16 << 20;
/// Rows that cannot be appended which are told one by one.
const TOLD_MAX: u64 = 10;

/// Append rows that were set aside again, each at most once
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain rejected resubmit flights.rejected                      says what it would do
  refrain rejected resubmit flights.rejected --edit mend.jsonl --confirm
  refrain rejected resubmit delays.late --to corrections --confirm

Rows of TOPIC.rejected go to TOPIC, rows that a node refused to the topic that the node
reads. Late rows need --to: in their own topic they would be late again. What was appended
is noted in the data folder: the same row is never appended twice, whatever interrupts the
command; run it again to finish.")]
pub(crate) struct ResubmitArgs {
    /// TOPIC.rejected, NODE.rejected or NODE.late
    name: String,
    /// Source topic to append to
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Take the rows of this file, which `rejected show --out` wrote; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with_all = ["partition", "from", "reason"])]
    edit: Vec<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// Names of the columns of lines of CSV, as in the first line of their input
    #[arg(long, value_name = "A,B,C")]
    header: Option<String>,
    /// Do it; without, only say what would be done
    #[arg(long)]
    confirm: bool,
}

/// One row on its way.
struct Item {
    spot: Spot,
    /// Where it is written, for messages.
    label: String,
    content: Content,
}

/// Rows for one source topic that wait for their act.
struct Buffer {
    topic: SourceTopic,
    items: Vec<(Spot, String, String)>,
    bytes: usize,
}

/// All that one command does.
struct Act<'a> {
    args: &'a ResubmitArgs,
    status: RejectedStatus,
    declaration: Declaration,
    buffers: BTreeMap<String, Buffer>,
    seen: BTreeSet<Spot>,
    done: Resubmitted,
    undecoded: u64,
}

pub(crate) fn run(global: &Global, args: &ResubmitArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let declaration = project.declaration()?;
    let mut link = Link::open(&project)?;
    let status = status(&mut link, &args.name)?;
    if status.kind == Aside::Late && args.to.is_none() {
        return Err(Failure::refused(format!(
            "rows of {} came too late, and would be late again in the topic that they came from; name another source \
             topic with --to, or the same one if its node takes them by now",
            args.name
        )));
    }
    if let Some(to) = &args.to {
        source(&declaration, to)?;
    }
    let mut act = Act {
        args,
        status,
        declaration,
        buffers: BTreeMap::new(),
        seen: BTreeSet::new(),
        done: Resubmitted::default(),
        undecoded: 0,
    };
    let progress = Progress::spinner("appending again");
    let outcome = act.all(&mut link);
    drop(progress);
    act.report(global)?;
    outcome
}

fn source(declaration: &Declaration, target: &str) -> Result<SourceTopic, Failure> {
    project::source_topic(declaration, target).map_err(|failure| Failure {
        message: format!("{}; name the one to append to with --to", failure.message),
        ..failure
    })
}

impl Act<'_> {
    fn all(&mut self, link: &mut Link) -> Result<(), Failure> {
        if self.args.confirm && self.status.unfinished {
            self.finish_earlier(link)?;
        }
        if self.args.edit.is_empty() {
            self.selected(link)?;
        }
        for file in &self.args.edit {
            self.edited(link, file)?;
        }
        let targets: Vec<String> = self.buffers.keys().cloned().collect();
        for target in targets {
            self.flush(link, &target)?;
        }
        Ok(())
    }

    /// An act without rows of its own: the owner of the data folder finishes what was interrupted first.
    fn finish_earlier(&mut self, link: &mut Link) -> Result<(), Failure> {
        let any = self
            .declaration
            .topics
            .first()
            .map(|t| t.name.get_ref().clone());
        let to = any.ok_or_else(|| Failure::refused("the pipeline file declares no topic"))?;
        let topic = project::source_topic(&self.declaration, &to)?;
        let schema = topic.spec.schema;
        let rows = arrow_array::RecordBatch::new_empty(schema.arrow());
        self.send(
            link,
            Resubmission {
                name: self.args.name.clone(),
                to,
                rows: Table { schema, rows },
                spots: Vec::new(),
            },
        )
    }

    fn selected(&mut self, link: &mut Link) -> Result<(), Failure> {
        let partitions = partitions(link, &self.args.name)?;
        let status = self.status.clone();
        let selection = &self.args.selection;
        each_page(link, &status, partitions, selection, &mut |link, rows| {
            for row in rows {
                let label = format!("{} {}", self.args.name, place(&row));
                self.take(link, &row, label, None)?;
            }
            Ok(true)
        })
    }

    fn edited(&mut self, link: &mut Link, file: &Path) -> Result<(), Failure> {
        let text = read_text(file)?;
        let wrong = |number: usize, why: &str| {
            Failure::refused(format!("{}, line {}: {why}", file.display(), number + 1))
        };
        let mut lines: BTreeMap<u32, BTreeMap<u64, (usize, Content)>> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let ((partition, offset), content) = parse(line).map_err(|why| wrong(number, &why))?;
            let of_partition = lines.entry(partition).or_default();
            if let Some((first, _)) = of_partition.insert(offset, (number, content)) {
                let why = format!("is about the same row as line {}; keep one", first + 1);
                return Err(wrong(number, &why));
            }
        }
        let status = self.status.clone();
        for (partition, mut of_partition) in lines {
            let offsets: Vec<u64> = of_partition.keys().copied().collect();
            for row in at(link, &status, partition, &offsets)? {
                let (number, content) = of_partition
                    .remove(&row.offset)
                    .expect("each row was asked for once");
                let label = format!("{}, line {}", file.display(), number + 1);
                self.take(link, &row, label, Some(content))?;
            }
        }
        Ok(())
    }

    /// Takes one row, with what became of it in an editor.
    fn take(
        &mut self,
        link: &mut Link,
        row: &Aparted,
        label: String,
        edited: Option<Content>,
    ) -> Result<(), Failure> {
        let spot = row.spot(&self.args.name);
        if self.status.is_resubmitted(&spot) || !self.seen.insert(spot.clone()) {
            self.done.already += 1;
            return Ok(());
        }
        let target = self.target(&spot);
        if !self.buffers.contains_key(&target) {
            let buffer = self.open(&target)?;
            self.buffers.insert(target.clone(), buffer);
        }
        let schema = self.buffers[&target].topic.spec.schema.clone();
        let reading = Reading {
            header: self.args.header.as_deref(),
            schema: Some(&schema),
        };
        let content = match edited {
            Some(Content::Bytes(bytes)) => reading.bytes(&bytes),
            Some(content) => content,
            None => reading.content(row),
        };
        self.put(
            link,
            &target,
            Item {
                spot,
                label,
                content,
            },
        )
    }

    /// The topic that a row goes to.
    fn target(&self, spot: &Spot) -> String {
        match (&self.args.to, self.status.kind) {
            (Some(to), _) => to.clone(),
            (None, Aside::Input) => self.args.name.trim_end_matches(".rejected").to_owned(),
            (None, _) => spot.topic.clone(),
        }
    }

    fn open(&self, target: &str) -> Result<Buffer, Failure> {
        let topic = source(&self.declaration, target)?;
        self.warn_of_readers(target);
        Ok(Buffer {
            topic,
            items: Vec::new(),
            bytes: 0,
        })
    }

    /// Nodes that took a row when it came first take it again.
    fn warn_of_readers(&self, target: &str) {
        if self.status.kind == Aside::Input {
            return;
        }
        let node = self
            .args
            .name
            .trim_end_matches(".rejected")
            .trim_end_matches(".late");
        let readers = self.declaration.readers_of(target);
        let others: Vec<&str> = readers
            .iter()
            .map(String::as_str)
            .filter(|n| *n != node)
            .collect();
        if !others.is_empty() {
            eprintln!(
                "note: {target} is also read by {}: what took these rows when they came first takes them again",
                others.join(", ")
            );
        }
    }

    fn put(&mut self, link: &mut Link, target: &str, item: Item) -> Result<(), Failure> {
        let line = match item.content {
            Content::Object(line) => line,
            Content::Bytes(_) => {
                let why = "is neither a JSON object nor a line of CSV whose columns --header names; mend it in a file \
                           (see --edit)";
                self.tell(&item.label, why);
                return Ok(());
            }
            Content::Gone(why) => {
                self.tell(&item.label, &why);
                return Ok(());
            }
        };
        let buffer = self.buffers.get_mut(target).expect("opened before");
        buffer.bytes += line.len();
        buffer.items.push((item.spot, item.label, line));
        if buffer.items.len() >= BATCH_ROWS || buffer.bytes >= BATCH_BYTES {
            self.flush(link, target)?;
        }
        Ok(())
    }

    fn tell(&mut self, label: &str, why: &str) {
        if self.undecoded < TOLD_MAX {
            eprintln!("left: {label}: {why}");
        } else if self.undecoded == TOLD_MAX {
            eprintln!("left: more rows, which are not told one by one");
        }
        self.undecoded += 1;
    }

    /// Decodes what waits for a topic, and has it appended.
    fn flush(&mut self, link: &mut Link, target: &str) -> Result<(), Failure> {
        let buffer = self.buffers.get_mut(target).expect("opened before");
        buffer.bytes = 0;
        let items = std::mem::take(&mut buffer.items);
        let topic = buffer.topic.clone();
        let schema = topic.spec.schema.clone();
        let lines: Vec<&str> = items.iter().map(|(_, _, line)| line.as_str()).collect();
        let options = DecodeOptions {
            schema: Arc::new(schema.clone()),
            defaults: topic.spec.defaults.clone(),
            units: topic.units,
            input: self.args.name.clone(),
            first_row: 1,
        };
        let text = std::io::Cursor::new(lines.join("\n"));
        let mut decoder = decode_stream(Format::Jsonl, Box::new(text), options)?;
        while let Some(decoded) = decoder.next(BATCH_ROWS)? {
            let item = |row: u64| &items[row as usize - 1];
            for row in &decoded.undecoded {
                self.tell(&item(row.row).1, &row.reason);
            }
            let spots: Vec<Spot> = decoded
                .row_numbers
                .iter()
                .map(|row| item(*row).0.clone())
                .collect();
            if spots.is_empty() {
                continue;
            }
            let again = Resubmission {
                name: self.args.name.clone(),
                to: target.to_owned(),
                rows: Table {
                    schema: schema.clone(),
                    rows: decoded.rows,
                },
                spots,
            };
            match self.args.confirm {
                true => self.send(link, again)?,
                false => self.done.rows += again.spots.len() as u64,
            }
        }
        Ok(())
    }

    fn send(&mut self, link: &mut Link, again: Resubmission) -> Result<(), Failure> {
        let Response::Resubmitted(done) = link.ask(Request::Resubmit(again))? else {
            return Err(unexpected());
        };
        self.done.rows += done.rows;
        self.done.already += done.already;
        self.done.rejected += done.rejected;
        self.done.sequence = self.done.sequence.max(done.sequence);
        Ok(())
    }

    fn report(&self, global: &Global) -> Result<(), Failure> {
        let done = &self.done;
        let targets: Vec<&str> = self.buffers.keys().map(String::as_str).collect();
        let to = targets.join(", ");
        if global.output == Output::Json {
            show::json(&serde_json::json!({
                "name": self.args.name,
                "to": targets,
                "confirmed": self.args.confirm,
                "rows": done.rows,
                "already": done.already,
                "left": self.undecoded,
                "rejected": done.rejected,
                "sequence": done.sequence.0,
            }))?;
        } else {
            let mut sheet = Sheet::new(&["name", "to", "rows", "already", "left", "rejected"]);
            sheet.push(vec![
                Cell::text(&self.args.name),
                Cell::text(&to),
                Cell::count(done.rows),
                Cell::count(done.already),
                Cell::count(self.undecoded),
                Cell::count(done.rejected),
            ]);
            sheet.print(global.output)?;
        }
        if self.args.confirm {
            eprintln!(
                "{}: {} rows appended again",
                self.args.name,
                grouped(done.rows)
            );
        } else {
            eprintln!(
                "{}: {} rows would be appended again; nothing was done, add --confirm to do it",
                self.args.name,
                grouped(done.rows)
            );
        }
        if done.rejected > 0 {
            eprintln!(
                "{} of them were refused again: see {to}.rejected",
                grouped(done.rejected)
            );
        }
        Ok(())
    }
}
