//! Receipts: what a version of a view was computed from, and what came out, so that anyone with the log and the components
//! can compute it again and compare.
//!
//! A receipt depends on the log up to its cut and on the lineage alone: rhythm, workers, call size and the moment at which
//! it is made leave no trace in it.

pub mod audit;
pub mod audits;
pub mod base;
pub(crate) mod chain;
pub mod claim;
pub mod earlier;
mod execution;
pub mod ground;
mod make;
pub mod private;
pub mod prove;
mod rows;
pub mod sample;
pub(crate) mod trail;

use std::collections::BTreeMap;

use refrain_log::ids::{Offset, Sequence, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::pipeline::PlannedNode;

/// The first field of every receipt of this format.
pub const FORMAT: &str = "refrain receipt 1";

/// What a commit of a version of a view was computed from, and what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`FORMAT`].
    pub format: String,
    /// The view, as the pipeline file names it.
    pub view: String,
    /// Its version.
    pub version: u32,
    /// The cut of the commit.
    pub cut: Sequence,
    /// The node's watermark, in microseconds; none: it has none.
    pub watermark: Option<Timestamp>,
    /// What came out.
    pub output: Output,
    /// Rows that were taken and that the log did not have any more when the receipt was made; 0: it has all.
    pub rows_gone: u64,
    /// What went in: each partition of each source topic.
    pub log: Vec<Range>,
    /// What it was computed by: each node after those that it reads, the view's own last.
    pub lineage: Vec<Lineage>,
    /// BLAKE3 of the receipt with this field empty: tells a receipt that was changed by mistake.
    pub seal: String,
}

/// The rows of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// How many.
    pub rows: u64,
    /// How many of them are final.
    pub finals: u64,
    /// The view's digest, hex.
    pub digest: String,
    /// BLAKE3 of the canonical rows in key order, hex.
    pub blake3: String,
    /// The same hash of the first rows, up to some of them: so that a difference has a place.
    pub marks: Vec<OutputMark>,
}

/// The hash of the first rows of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputMark {
    /// How many rows.
    pub rows: u64,
    /// Key of the last of them, as text.
    pub key: Vec<String>,
    /// First half of the hash, hex.
    pub hash: String,
}

/// A part of a partition of a source topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Offset of its first row.
    pub first: Offset,
    /// Offset after its last row.
    pub end: Offset,
    /// Sequences of its first and last frame; none: there is no frame.
    pub sequences: Option<(Sequence, Sequence)>,
    /// Frames, those without rows included.
    pub frames: u64,
    /// The fields hashed: name and type.
    pub fields: Vec<(String, String)>,
    /// BLAKE3 over frames and columns, hex.
    pub hash: String,
    /// The same hash up to some offsets: so that a difference has a place.
    pub marks: Vec<Mark>,
}

/// The hash of a partition up to an offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The offset.
    pub offset: Offset,
    /// First half of the hash, hex.
    pub hash: String,
}

/// What one node of the chain was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The node, as a version: `delays@2`.
    pub node: String,
    /// Source frames up to this one were not taken; 0: it has all.
    pub after: Sequence,
    /// Versions of the derived topics that it reads; not named: version 1.
    pub reads: BTreeMap<String, u32>,
    /// What it was built from, from which cut on.
    pub builds: Vec<Build>,
}

/// What a node was built from, from a cut on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// It took the frames after this one.
    pub from: Sequence,
    /// How it took over.
    pub how: How,
    /// Digest of its component, hex.
    pub component: String,
    /// Version of the states that the component saves.
    pub state_version: u32,
    /// Canonical text of everything in the configuration that changes results.
    pub configuration: String,
    /// The node as planned, without what changes no result.
    pub plan: Value,
}

/// How a build took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is the first.
    #[default]
    Begin,
    /// With the states as they were.
    Replace,
    /// With the states brought to its own version by its `migrate`.
    Migrate,
}

impl Receipt {
    /// Seals what was filled in.
    #[must_use]
    pub fn sealed(mut self) -> Receipt {
        self.seal = self.seal_wanted();
        self
    }

    fn seal_wanted(&self) -> String {
        let open = Receipt {
            seal: String::new(),
            ..self.clone()
        };
        let bytes = serde_json::to_vec(&open).expect("names, numbers and texts are always JSON");
        blake3::hash(&bytes).to_hex().to_string()
    }

    /// The receipt as a file: JSON, always the same bytes for the same receipt.
    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("names, numbers and texts are always JSON") + "\n"
    }

    /// Reads a receipt. Refused with a sentence: what is no receipt, one of another format, one that was changed.
    pub fn read(text: &str) -> Result<Receipt> {
        let refused = |what: String| Err(Error::Refused(what));
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return refused(format!("this is no receipt: {error}")),
        };
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) => {}
            Some(other) => {
                return refused(format!(
                    "the receipt says that its format is `{other}`; this release of refrain reads `{FORMAT}`"
                ));
            }
            None => return refused("this is no receipt: it has no field `format`".into()),
        }
        let receipt: Receipt = match serde_json::from_value(value) {
            Ok(receipt) => receipt,
            Err(error) => return refused(format!("the receipt cannot be read: {error}")),
        };
        if receipt.seal_wanted() != receipt.seal {
            return refused(
                "the receipt was changed after it was made: its seal does not fit what it says; get it again from where \
                 it was made"
                    .into(),
            );
        }
        Ok(receipt)
    }

    /// Digests of all components that it names, each once.
    pub fn components(&self) -> Vec<&str> {
        components_of(&self.lineage)
    }
}

/// Digests of all components of a chain, each once.
pub fn components_of(lineage: &[Lineage]) -> Vec<&str> {
    let builds = lineage.iter().flat_map(|node| &node.builds);
    let mut all: Vec<&str> = builds.map(|build| build.component.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl Build {
    /// The node as planned; refused when plan and configuration do not belong together.
    pub(crate) fn planned(&self) -> Result<PlannedNode> {
        let refused = |what: String| {
            Error::Refused(format!(
                "the plan in the receipt cannot be used ({what}): it was made by another release of refrain"
            ))
        };
        let planned =
            PlannedNode::deserialize(&self.plan).map_err(|error| refused(error.to_string()))?;
        match planned.configuration() == self.configuration {
            true => Ok(planned),
            false => Err(refused(
                "it stands for another configuration than the receipt says".into(),
            )),
        }
    }
}
