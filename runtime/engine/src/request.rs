//! What a command asks of the host that owns the data folder, and what it is told: the same in the process and over
//! the control socket. Rows travel as columns.

use arrow_array::RecordBatch;
use refrain_log::columns;
use refrain_log::ids::{Offset, Sequence, Timestamp};
use refrain_log::log::{Appended, Finding, Undecoded};
use refrain_log::schema::Schema;
use refrain_log::schemas::{Defaults, SchemaVersion};
use refrain_log::topic::Origin;
use refrain_state::view::ViewState;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::accounts::{Commits, Freshness};
use crate::cost::{Bill, Question};
use crate::graduation::Graduated;
use crate::keep::request as keep;
use crate::objective::{Alert, ObjectiveReport};
use crate::receipt::audits;
use crate::rejected::{RejectedStatus, Resubmission, Resubmitted, RowsAt};
use crate::reopen::{Reopened, ShutPlace};
use crate::status::NodeStatus;
use crate::tap::Tapped;
use crate::topics::{AlterOrder, Alteration};
use crate::versions::request as versions;

/// Rows with their schema.
#[derive(Clone, Debug)]
pub struct Table {
    /// Fields of the rows.
    pub schema: Schema,
    /// The rows.
    pub rows: RecordBatch,
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes =
            columns::to_bytes(&self.rows, &self.schema).map_err(serde::ser::Error::custom)?;
        (&self.schema, bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (schema, bytes) = <(Schema, Vec<u8>)>::deserialize(deserializer)?;
        let rows = columns::from_bytes(&bytes, &schema).map_err(D::Error::custom)?;
        Ok(Table { schema, rows })
    }
}

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// At the first row that is there.
    Earliest,
    /// At an offset.
    Offset(Offset),
    /// At the first row, in log order, with this event time or a later one; where a topic has none, at the first row
    /// appended then or later.
    Time(Timestamp),
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// All topics.
    Topics,
    /// One topic.
    Topic(String),
    /// Rows to a source topic; see [`refrain_log::log::Append`].
    Append {
        /// The topic.
        topic: String,
        /// Rows that decoded.
        rows: Table,
        /// Input row number of each.
        row_numbers: Vec<u64>,
        /// Name of the input.
        input: String,
        /// Rows that did not decode.
        undecoded: Vec<Undecoded>,
        /// Name of the producer and input row number of the first row.
        producer: Option<(String, u64)>,
        /// Processor time that decoding them took, in nanoseconds, whoever did that.
        decode_ns: u64,
    },
    /// Rows of one partition of a topic, at most `limit`, at least one frame's worth of them.
    Read {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Where to begin.
        from: From,
        /// At most so many.
        limit: u64,
    },
    /// Rows of one partition of a topic at these offsets, which rise.
    RowsAt {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offsets.
        offsets: Vec<u64>,
    },
    /// All topics of rows set aside, or one of them.
    Rejected(Option<String>),
    /// Rows set aside, to be appended again.
    Resubmit(Resubmission),
    /// All views.
    Views,
    /// Rows of a view with this key, given as text; the first key fields may do.
    ViewGet {
        /// The view.
        view: String,
        /// Values of the first key fields.
        key: Vec<String>,
    },
    /// The next page of an answer with rows of a view; see [`ViewAnswer::next`].
    ViewNext(u64),
    /// No more pages of that answer are wanted.
    ViewEnough(u64),
    /// Rows of a view in key order.
    ViewScan {
        /// The view.
        view: String,
        /// At most so many; none: all.
        limit: Option<u64>,
    },
    /// About what is kept.
    Keep(keep::Request),
    /// About versions of nodes.
    Versions(versions::Request),
    /// About audits.
    Audits(audits::Request),
    /// Rows on their way into the view of a node; waits a moment for some.
    Tap {
        /// The node, or a version of it.
        node: String,
        /// 0, or the number of the last answer.
        tap: u64,
    },
    /// The schema of the pipeline file, as it is now, for a topic.
    Alter(AlterOrder),
    /// All nodes, and what opening found.
    Status,
    /// Another rhythm for a node, in the file and in the run.
    Rhythm {
        /// The node.
        node: String,
        /// As a pipeline file writes it; `auto` too.
        rhythm: String,
    },
    /// How fresh consumers are served, measured.
    Freshness,
    /// What work costs.
    Cost(Question),
    /// What each of the last commits of a node took; its name, or that of a build.
    Commits(String),
    /// Open again what takes no writes since one of them failed.
    Reopen,
    /// Stop the run: finish rounds under way, commit, leave.
    Stop,
}

/// One topic, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopicStatus {
    /// Its name.
    pub name: String,
    /// Source or derived.
    pub origin: Origin,
    /// Its fields.
    pub schema: Schema,
    /// Values of fields that a row is given without.
    #[serde(default)]
    pub defaults: Defaults,
    /// All versions of its schema, the first one first.
    #[serde(default)]
    pub versions: Vec<SchemaVersion>,
    /// Its partition key.
    pub key: Vec<String>,
    /// Its event-time field.
    pub time: Option<String>,
    /// First offset and end offset of each partition.
    pub partitions: Vec<(Offset, Offset)>,
    /// Bytes of its frames.
    pub bytes: u64,
    /// Largest event time.
    pub time_max: Option<Timestamp>,
    /// What is kept, as people say it.
    pub retention: String,
    /// Append time of the oldest row that is there.
    pub oldest: Option<Timestamp>,
    /// Bytes that retention has removed.
    pub removed_bytes: u64,
}

/// One view, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewStatus {
    /// Its name.
    pub name: String,
    /// The node that keeps it.
    pub node: String,
    /// Its fields.
    pub schema: Schema,
    /// How many of the first fields are its key.
    pub key_fields: usize,
    /// As of its last commit.
    pub state: ViewState,
    /// How fresh that is.
    pub freshness: Freshness,
}

/// Rows of a topic with where they stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopicRows {
    /// The rows.
    pub table: Table,
    /// Offset of each.
    pub offsets: Vec<u64>,
    /// Sequence of the frame of each.
    pub sequences: Vec<u64>,
    /// Append time of the frame of each, in microseconds since the Unix epoch.
    #[serde(default)]
    pub appended_us: Vec<i64>,
    /// Offset to go on with.
    pub next: Offset,
}

/// Rows of a view with what they stand for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewAnswer {
    /// The view as of the commit that the rows belong to.
    pub status: ViewStatus,
    /// The rows, in key order.
    pub table: Table,
    /// Whether each is final.
    pub finals: Vec<bool>,
    /// There are more rows of the same commit: ask for them under this number.
    pub next: Option<u64>,
}

/// The host, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostStatus {
    /// Nodes, in the order of the plan.
    pub nodes: Vec<NodeStatus>,
    /// Newest durable sequence.
    pub durable: Sequence,
    /// What opening found that an operator should know.
    pub findings: Vec<Finding>,
    /// What takes no writes until it is reopened.
    #[serde(default)]
    pub shut: Vec<ShutPlace>,
    /// Whether a run is in progress.
    pub running: bool,
    /// Bytes of state and views.
    pub state_bytes: u64,
    /// What is wrong with freshness and runs, and audits that failed.
    pub alerts: Vec<Alert>,
    /// What audits of versions have come to.
    pub audits: Vec<audits::AuditStanding>,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Topics`] and [`Request::Topic`].
    Topics(Vec<TopicStatus>),
    /// To [`Request::Append`].
    Appended(Appended),
    /// To [`Request::Read`].
    Read(TopicRows),
    /// To [`Request::RowsAt`].
    RowsAt(RowsAt),
    /// To [`Request::Rejected`].
    Rejected(Vec<RejectedStatus>),
    /// To [`Request::Resubmit`].
    Resubmitted(Resubmitted),
    /// To [`Request::Views`].
    Views(Vec<ViewStatus>),
    /// To [`Request::ViewGet`] and [`Request::ViewScan`].
    View(ViewAnswer),
    /// To [`Request::ViewEnough`].
    Enough,
    /// To [`Request::Keep`].
    Kept(Box<keep::Answer>),
    /// To [`Request::Versions`].
    Versions(Box<versions::Answer>),
    /// To [`Request::Audits`].
    Audits(Box<audits::Answer>),
    /// To [`Request::Tap`].
    Tapped(Tapped),
    /// To [`Request::Alter`].
    Altered(Alteration),
    /// To [`Request::Status`].
    Status(HostStatus),
    /// To [`Request::Rhythm`].
    Rhythm(Graduated),
    /// To [`Request::Freshness`].
    Freshness(ObjectiveReport),
    /// To [`Request::Cost`].
    Cost(Box<Bill>),
    /// To [`Request::Commits`], the newest last.
    Commits(Commits),
    /// To [`Request::Reopen`].
    Reopened(Reopened),
    /// To [`Request::Stop`].
    Stopping,
    /// The request was refused, with the exit code that the command should give.
    Refused {
        /// A sentence.
        message: String,
        /// See docs/cli.md.
        code: u8,
    },
}
