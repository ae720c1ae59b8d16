//! What commands ask about versions, and what they are told.

use refrain_log::ids::{Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Standing, Start};
use crate::changes::Changes;
use crate::cost::Money;
use crate::receipt::Receipt;
use crate::receipt::earlier::Earlier;
use crate::request::{From, Table};
use crate::status::Phase;
use crate::upgrade::{UpgradeOrder, Upgraded};
use crate::validate::checks::{CheckOrder, CheckReport};
use crate::validate::divergence::{DivergeOrder, Divergence};
use crate::validate::report::{Report, ValidateOrder};

/// A request about versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// The versions of a node, named by itself, its view or its topic.
    List(String),
    /// What a replay would take, without beginning it.
    Estimate(ReplayOrder),
    /// Begin a replay. Beside a running host it goes on there; else the one who asks runs the nodes that the answer names.
    Replay(ReplayOrder),
    /// Compare versions of a view, or a view and an outside table.
    Validate(ValidateOrder),
    /// Find the first row of the log after which what is compared differs.
    Diverge(Box<DivergeOrder>),
    /// Judge the checks of a version's data.
    Check(CheckOrder),
    /// What the pipeline file and its components would change.
    Changes,
    /// Let consumers read another version.
    Cutover(CutoverOrder),
    /// Let them read what they read before.
    Rollback {
        /// Node, view or topic.
        name: String,
        /// Only this consumer; none: everybody.
        consumer: Option<String>,
    },
    /// Let another component take over a node.
    Upgrade(UpgradeOrder),
    /// The receipt of the last commit of a version of a view.
    Receipt {
        /// View, node or topic.
        name: String,
        /// The version; none: the live one.
        version: Option<u32>,
    },
    /// What a version was built from up to an earlier cut: for a receipt of it.
    Earlier {
        /// View, node or topic.
        name: String,
        /// The version; none: the live one.
        version: Option<u32>,
        /// The cut.
        cut: Sequence,
    },
    /// Take a version away.
    Retire {
        /// Node, view or topic.
        name: String,
        /// The version.
        version: u32,
        /// Do it; else only say what would be done.
        confirm: bool,
    },
}

impl Request {
    /// Tables that travel beside the request.
    pub fn tables(&mut self) -> Vec<&mut Table> {
        match self {
            Request::Validate(order) => order.against.iter_mut().map(|(_, table)| table).collect(),
            Request::Diverge(order) => {
                let against = order.validate.against.iter_mut();
                against.map(|(_, table)| table).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Bytes that travel beside the request.
    pub fn bytes(&mut self) -> Vec<&mut Vec<u8>> {
        match self {
            Request::Estimate(order) | Request::Replay(order) => {
                order.component.iter_mut().map(|(_, bytes)| bytes).collect()
            }
            Request::Upgrade(order) => order.component.iter_mut().map(|(_, bytes)| bytes).collect(),
            _ => Vec::new(),
        }
    }
}

/// Where a replay begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beginning {
    /// In the log, with nothing before it.
    Log(From),
    /// With what the savepoint of this name has of the node.
    Savepoint(String),
}

/// A replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplayOrder {
    /// Node, view or topic.
    pub name: String,
    /// Where it begins.
    pub from: Beginning,
    /// Another component than the pipeline file names: how it is called, and its bytes.
    pub component: Option<(String, Vec<u8>)>,
    /// Options that differ from those of the pipeline file, as text.
    pub set: Vec<(String, String)>,
    /// Everything that depends on the node as well.
    pub downstream: bool,
    /// Rows a second at most.
    pub rate: Option<u64>,
}

/// A cutover.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CutoverOrder {
    /// Node, view or topic.
    pub name: String,
    /// The version to be read; none: the newest candidate.
    pub version: Option<u32>,
    /// Only these consumers; empty: everybody.
    pub consumers: Vec<String>,
    /// What must hold.
    pub require: Vec<Requirement>,
}

/// What must hold before a cutover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requirement {
    /// `refrain validate` found the version equal to the one read now, or within tolerance.
    Validated,
    /// The oldest row that the version has not taken has waited for less, in microseconds.
    Lag(i64),
    /// This check of the pipeline file holds for the rows of the version, at the cut of the move.
    Check(String),
}

/// An answer about versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::List`].
    List(VersionList),
    /// To [`Request::Estimate`].
    Estimate(Estimate),
    /// To [`Request::Replay`].
    Replaying(Replaying),
    /// To [`Request::Validate`].
    Validated(Report),
    /// To [`Request::Diverge`].
    Diverged(Box<Divergence>),
    /// To [`Request::Check`].
    Checked(CheckReport),
    /// To [`Request::Changes`].
    Changes(Changes),
    /// To [`Request::Cutover`] and [`Request::Rollback`].
    Moved(Moved),
    /// To [`Request::Upgrade`].
    Upgraded(Upgraded),
    /// To [`Request::Receipt`].
    Receipt(Box<Receipt>),
    /// To [`Request::Earlier`].
    Earlier(Box<Earlier>),
    /// To [`Request::Retire`].
    Retired(Retired),
}

/// The versions of one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionList {
    /// The node.
    pub node: String,
    /// Its view, if it keeps one.
    pub view: Option<String>,
    /// The version that everybody reads who is not named.
    pub live: u32,
    /// Consumers of the pipeline file, and others that read a version of their own, with the version they read.
    pub consumers: Vec<(String, u32)>,
    /// By number.
    pub versions: Vec<VersionStatus>,
}

/// One version, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Its number.
    pub version: u32,
    /// The node's name in status and topics.
    pub name: String,
    /// Read, to be read, or read before.
    pub standing: Standing,
    /// What it is at.
    pub phase: Phase,
    /// How the plugin was called when it was made.
    pub plugin: String,
    /// Digest of its component.
    pub component: String,
    /// Its options.
    pub options: Vec<(String, String)>,
    /// Everything in its configuration that changes results, as canonical text.
    pub configuration: String,
    /// Topics that it reads, as versions.
    pub inputs: Vec<String>,
    /// Where it begins.
    pub start: Start,
    /// When it was made.
    pub made: Timestamp,
    /// Cut of its last commit.
    pub cut: Sequence,
    /// Rows of its input that its last commit does not cover.
    pub lag_rows: u64,
    /// Rows that it has taken.
    pub rows_taken: u64,
    /// When the last commit was made.
    pub committed_at: Option<Timestamp>,
    /// Rows and digest of its view.
    pub view: Option<(u64, u128)>,
    /// Found equal to another version: its number, and the cut of both.
    pub validated: Option<(u32, Sequence)>,
}

/// What a replay has before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Rows that its nodes will take.
    pub rows: u64,
    /// Bytes of the columns that they read.
    pub bytes: u64,
    /// Seconds that it takes, by a sample of the log; none: there is too little to take a sample of.
    pub seconds: Option<f64>,
    /// Bytes of the versions that are read now, which are kept beside the new ones.
    pub keep_bytes: u64,
    /// What it costs; none: there is no sample.
    pub bill: Option<Bill>,
}

/// What a replay costs, by the price sheet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Processor time.
    pub compute: Money,
    /// Bytes read from the log.
    pub read: Money,
    /// Keeping a second version of what is held, a month.
    pub keep_month: Money,
    /// What the prices are in.
    pub currency: String,
    /// Whether the pipeline file states prices; else they are those of `Prices::default`.
    pub stated: bool,
}

/// A replay that has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replaying {
    /// Its nodes, as versions.
    pub nodes: Vec<String>,
    /// Whether they were there already: the replay goes on where it stood.
    pub resumed: bool,
    /// Whether the candidate is what everybody reads already.
    pub same: bool,
    /// Nodes to be run for it by the one who asked, as [`crate::run::RunOptions::nodes`] names them; empty: a running
    /// host does.
    pub to_run: Vec<String>,
    /// It is done when its nodes have got here.
    pub goal: Sequence,
    /// What is to be known of where they begin, as sentences.
    pub notes: Vec<String>,
}

/// Who reads what after a move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moved {
    /// Node, the version read before, the version read now.
    pub moves: Vec<(String, u32, u32)>,
    /// The cut at which it happened.
    pub cut: Sequence,
    /// What is to be known of what is read now, as sentences.
    pub notes: Vec<String>,
}

/// What retiring a version frees.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retired {
    /// The version.
    pub name: String,
    /// Rows of its view.
    pub rows: u64,
    /// Bytes of its view and its topics.
    pub bytes: u64,
    /// Its derived topics, with their rows.
    pub topics: Vec<(String, u64)>,
    /// Whether it was done.
    pub done: bool,
}
