//! Proving a receipt: the log is hashed again, the lineage is executed again in private, and what comes out is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::storage::{DiskStorage, Storage};
use refrain_plugin::Digest;
use serde::Serialize;

use super::base::Base;
use super::execution::Execution;
use super::ground::Ground;
use super::make::watermark_of;
use super::private::{Pace, Private};
use super::trail::{Part, range};
use super::{Output, Range, Receipt, rows};
use crate::error::{Error, Result};
use crate::host::{DATA_FOLDER, KEPT_FOLDER};
use crate::request::Table;

/// Rows that are shown where the output differs.
const SHOWN_MAX: usize = 10;

/// What a receipt is proven with.
pub struct Means<'a> {
    /// The log.
    pub ground: &'a Ground,
    /// Components, by digest.
    pub components: &'a Components,
    /// Where compiled components are kept.
    pub cache: Option<PathBuf>,
    /// A folder for the folder in which it is executed.
    pub scratch: &'a Path,
    /// Worker threads.
    pub workers: usize,
}

/// Components by digest, hex.
#[derive(Debug, Default)]
pub struct Components(BTreeMap<String, Vec<u8>>);

/// What proving came to.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Whether the receipt holds.
    pub equal: bool,
    /// The view.
    pub view: String,
    /// Its version.
    pub version: u32,
    /// The cut.
    pub cut: Sequence,
    /// Rows of the log that were hashed and executed again.
    pub rows_taken: u64,
    /// Where not, as sentences, the first cause first.
    pub differs: Vec<String>,
    /// The savepoint from which it was executed; none: from the beginning.
    pub base: Option<String>,
    /// What of the log could not be compared with the receipt, as sentences.
    pub unchecked: Vec<String>,
    /// What came out; none: it was not executed, since what goes in differs.
    pub output: Option<Output>,
    /// Rows that came out near the first difference, as JSON text or what stands for it.
    #[serde(skip)]
    pub rows: Option<Table>,
}

impl Components {
    /// Adds a component; its digest.
    pub fn add(&mut self, bytes: Vec<u8>) -> String {
        let digest = Digest::of(&bytes).to_string();
        self.0.insert(digest.clone(), bytes);
        digest
    }

    /// Takes the components wanted from a project: from those that it keeps by digest, and from its plugins. What has a
    /// wanted digest in its name and another one in fact is told.
    pub fn gather(&mut self, project: &Path, wanted: &[&str]) -> Vec<String> {
        let mut notes = Vec::new();
        for folder in [
            project.join(DATA_FOLDER).join("components"),
            project.join("plugins"),
            project.join("plugins").join(KEPT_FOLDER),
        ] {
            for name in DiskStorage.list(&folder).unwrap_or_default() {
                let Some(stem) = name.strip_suffix(".wasm") else {
                    continue;
                };
                let path = folder.join(&name);
                let Ok(bytes) = DiskStorage.read(&path) else {
                    continue;
                };
                let digest = Digest::of(&bytes).to_string();
                if wanted.contains(&stem) && digest != stem {
                    notes.push(format!(
                        "{} does not have the digest in its name any more: it was changed",
                        path.display()
                    ));
                }
                if wanted.contains(&digest.as_str()) {
                    self.0.insert(digest, bytes);
                }
            }
        }
        notes
    }

    pub(super) fn get(&self, digest: &str) -> Result<&[u8]> {
        self.0.get(digest).map(Vec::as_slice).ok_or_else(|| {
            Error::Refused(format!(
                "component {digest} is not there: neither in the project's data/components and plugins, nor among the \
                 files given; give it with --component FILE"
            ))
        })
    }
}

/// Proves a receipt, from the beginning or from a base.
///
/// # Errors
/// What cannot be decided: a component that is not there, a log that does not begin early enough, damaged rows, a plugin
/// that fails, a savepoint that is no base for it.
pub fn prove(receipt: &Receipt, means: &Means<'_>, base: Option<&Base>) -> Result<Proof> {
    if base.is_none() {
        refuse_gone(receipt)?;
    }
    let mut proof = Proof {
        equal: false,
        view: receipt.view.clone(),
        version: receipt.version,
        cut: receipt.cut,
        rows_taken: receipt.log.iter().map(|r| r.end.0 - r.first.0).sum(),
        differs: Vec::new(),
        base: base.map(|base| base.name().to_owned()),
        unchecked: Vec::new(),
        output: None,
        rows: None,
    };
    for wanted in &receipt.log {
        if let Some(start) = later_start(means.ground, wanted).filter(|_| base.is_some()) {
            proof.rows_taken -= start.0.min(wanted.end.0) - wanted.first.0;
            proof.unchecked.push(format!(
                "topic {}, partition {} begins at offset {start}, and the receipt at offset {}: the hash of it could not be \
                 compared",
                wanted.topic, wanted.partition, wanted.first
            ));
            continue;
        }
        proof
            .differs
            .extend(log_differs(means.ground, wanted, receipt.cut)?);
    }
    if !proof.differs.is_empty() {
        return Ok(proof);
    }
    let mut execution = match base {
        None => Execution::begin(&receipt.lineage, means, None)?,
        Some(base) => Execution::begin_at(&receipt.lineage, means, base, receipt.cut)?,
    };
    let pace = Pace::new(means.workers, None);
    execution.go(&receipt.lineage, receipt.cut, means, &pace)?;
    let last = receipt.lineage.last().map_or("", |last| &last.node);
    let found = compare(
        &execution.private,
        last,
        (&receipt.output, receipt.watermark),
    )?;
    proof.differs = found.differs.into_iter().collect();
    (proof.output, proof.rows) = (Some(found.output), found.rows);
    proof.equal = proof.differs.is_empty();
    Ok(proof)
}

fn refuse_gone(receipt: &Receipt) -> Result<()> {
    if receipt.rows_gone == 0 {
        return Ok(());
    }
    let first = receipt.log.iter().filter_map(|range| range.sequences);
    let first = first.map(|(first, _)| first).min().unwrap_or_default();
    Err(Error::Refused(format!(
        "version {} of view {} has taken {} rows that retention had removed from the log before the receipt was made: \
         from the log alone it cannot be computed again. It can be proven from a base that covers them (--base SAVEPOINT), \
         that is a savepoint at a cut of {} or later, or on a machine that kept the whole log, with a receipt that was made \
         there",
        receipt.version,
        receipt.view,
        receipt.rows_gone,
        first.0.saturating_sub(1)
    )))
}

/// Where a partition begins, when that is later than a receipt says.
fn later_start(ground: &Ground, wanted: &Range) -> Option<Offset> {
    let topic = ground.log.topic(&wanted.topic)?;
    let is_there = wanted.partition < topic.spec().partitions && wanted.sequences.is_some();
    let start = is_there.then(|| topic.start(wanted.partition))?;
    (start > wanted.first).then_some(start)
}

/// Where a partition is not what it was; a sentence.
pub(super) fn log_differs(
    ground: &Ground,
    wanted: &Range,
    cut: Sequence,
) -> Result<Option<String>> {
    let name = format!("topic {}, partition {}", wanted.topic, wanted.partition);
    let Some(topic) = ground.log.topic(&wanted.topic) else {
        return Ok(Some(format!("topic {} is not in this log", wanted.topic)));
    };
    if wanted.partition >= topic.spec().partitions {
        return Ok(Some(format!("{name} is not in this log")));
    }
    let Some((first, _)) = wanted.sequences else {
        return Ok(None);
    };
    let start = topic.start(wanted.partition);
    if start > wanted.first {
        return Err(Error::Refused(format!(
            "{name}: this log begins at offset {start}, and the receipt at offset {}: retention has removed rows that it \
             stands for. Prove it on a machine that kept them, or from a savepoint that covers them (--base SAVEPOINT)",
            wanted.first
        )));
    }
    let topic = topic.as_of(cut);
    let part = Part {
        partition: wanted.partition,
        after: Sequence(first.0.saturating_sub(1)),
        cut,
        marked_for: Some(wanted.end.0 - wanted.first.0),
    };
    let found = range(&topic, part, &wanted.fields)?;
    if found.hash == wanted.hash {
        return Ok(None);
    }
    let mut sentence = place(&name, wanted, &found);
    let losses = ground.findings(&wanted.topic);
    for finding in losses.filter(|f| f.partition == wanted.partition) {
        sentence = format!("{sentence}; opening the log found: {}", finding.what);
    }
    Ok(Some(sentence))
}

/// Where two hashes of a partition part.
fn place(name: &str, wanted: &Range, found: &Range) -> String {
    if found.end < wanted.end {
        return format!(
            "{name} ends at offset {}, and ended at offset {} when the receipt was made",
            found.end, wanted.end
        );
    }
    if found.end > wanted.end || found.first != wanted.first {
        return format!(
            "{name} has offsets {} to {} up to the cut, and had {} to {} when the receipt was made",
            found.first, found.end, wanted.first, wanted.end
        );
    }
    let mut from = wanted.first;
    for (was, is) in wanted.marks.iter().zip(&found.marks) {
        if was != is {
            return differs(name, from, was.offset);
        }
        from = was.offset;
    }
    differs(name, from, wanted.end)
}

fn differs(name: &str, from: Offset, to: Offset) -> String {
    format!(
        "{name}: the log differs from offset {from} on, first among offsets {from} to {}",
        to.0.saturating_sub(1)
    )
}

/// What came out of an execution, beside what was to.
pub(super) struct Compared {
    pub(super) output: Output,
    /// Where they differ, as a sentence.
    pub(super) differs: Option<String>,
    /// Rows that came out near the first difference.
    pub(super) rows: Option<Table>,
}

/// Compares what came out for a node with rows and a watermark.
pub(super) fn compare(
    private: &Private,
    node: &str,
    (wanted, watermark): (&Output, Option<Timestamp>),
) -> Result<Compared> {
    let view = private.view(node)?;
    let output = rows::output(&view, view.pages(None, None)?)?;
    if output == *wanted {
        return Ok(Compared {
            output,
            differs: watermark_differs(private, node, watermark),
            rows: None,
        });
    }
    let at = first_rows(wanted, &output);
    let shown = view.scan(Some(at + SHOWN_MAX))?.rows;
    let count = shown.num_rows().saturating_sub(at).min(SHOWN_MAX);
    Ok(Compared {
        differs: Some(output_differs(wanted, &output)),
        rows: Some(Table {
            schema: (**view.schema()).clone(),
            rows: shown.slice(at.min(shown.num_rows()), count),
        }),
        output,
    })
}

/// A sentence when the watermark is not what it was to be.
pub(super) fn watermark_differs(
    private: &Private,
    node: &str,
    wanted: Option<Timestamp>,
) -> Option<String> {
    let last = private.state.node(node);
    let found = last.as_ref().and_then(watermark_of);
    let text = |mark: Option<Timestamp>| mark.map_or("none".into(), |m| m.to_string());
    (found != wanted).then(|| {
        format!(
            "the rows are equal, and the watermark is {} where {} was to come out",
            text(found),
            text(wanted)
        )
    })
}

/// How many rows are the same at the beginning, as far as marks tell.
fn first_rows(wanted: &Output, found: &Output) -> usize {
    let pairs = wanted.marks.iter().zip(&found.marks);
    let same = pairs.take_while(|(was, is)| was == is).last();
    same.map_or(0, |(mark, _)| mark.rows as usize)
}

fn output_differs(wanted: &Output, found: &Output) -> String {
    let same = first_rows(wanted, found);
    let pairs = wanted.marks.iter().zip(&found.marks);
    let place = pairs.clone().find(|(was, is)| was != is);
    let after = pairs.take_while(|(was, is)| was == is).last();
    let after = after.map_or("the first row".to_owned(), |(mark, _)| {
        format!("the row after key {}", mark.key.join(", "))
    });
    let up_to = place.map_or_else(String::new, |(was, _)| {
        format!(" up to key {}", was.key.join(", "))
    });
    format!(
        "the rows differ: {} rows with digest {} came out, and the receipt says {} rows with digest {}; the first {same} \
         rows are the same, and the first difference is from {after}{up_to}",
        found.rows, found.digest, wanted.rows, wanted.digest
    )
}
