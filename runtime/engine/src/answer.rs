//! Requests and their answers. Reads see durable frames and the last commit only.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use refrain_log::clock::{Clock, SystemClock};
use refrain_log::frame::FrameKind;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::topic::Topic;
use refrain_state::commit::NodeState;
use refrain_state::view::{Pages, View};

use crate::accounts::Freshness;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::keep::request as keep;
use crate::pipeline::Rhythm;
use crate::request::{
    From, HostStatus, Request, Response, Table, TopicRows, TopicStatus, ViewAnswer, ViewStatus,
};
use crate::status::NodeStatus;
use crate::versions::VersionName;
use crate::versions::request as versions;
use crate::{names, rejected};

/// Rows that one answer to a read has at most.
const READ_ROWS_MAX: u64 = 65_536;

/// Rows that one page of a view has at most.
const VIEW_ROWS_MAX: usize = 65_536;
/// Bytes of rows that one answer has at most, unless one row alone has more.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// Answers a request; what goes wrong becomes a refusal.
pub fn answer(host: &Host, request: Request) -> Response {
    attempt(host, request).unwrap_or_else(|error| Response::Refused {
        code: exit_code(&error),
        message: error.to_string(),
    })
}

/// The exit code that a command gives for an error; documented in docs/cli.md.
pub fn exit_code(error: &Error) -> u8 {
    use refrain_log::Error as Log;
    let of_log = |e: &Log| match e {
        Log::NoSpace { .. } => 7,
        Log::Locked { .. } => 6,
        Log::Damaged { .. } => 5,
        Log::Invalid(_) | Log::Removed { .. } | Log::Redeclared { .. } => 2,
        _ => 1,
    };
    if error.is_failed_write() {
        return 9;
    }
    match error {
        Error::Log(e) | Error::State(refrain_state::Error::Log(e)) => of_log(e),
        Error::State(refrain_state::Error::Invalid(_)) => 2,
        Error::State(refrain_state::Error::Damaged { .. }) => 5,
        Error::State(_) => 1,
        Error::Savepoint { .. } => 5,
        Error::Fault { .. } => 4,
        Error::Load(_) | Error::Pipeline(_) | Error::Refused(_) => 2,
        Error::Io { .. } => 1,
    }
}

fn attempt(host: &Host, request: Request) -> Result<Response> {
    Ok(match request {
        Request::Topics => Response::Topics(
            host.log()
                .topics()
                .iter()
                .map(|t| topic_status(host, t))
                .collect(),
        ),
        Request::Topic(name) => Response::Topics(vec![topic_status(host, &topic(host, &name)?)]),
        append @ Request::Append { .. } => {
            let appended = host.submit(append)?.wait();
            Response::Appended(appended?)
        }
        Request::Read {
            topic: name,
            partition,
            from,
            limit,
        } => Response::Read(read(&topic(host, &name)?, partition, from, limit)?),
        Request::RowsAt {
            topic: name,
            partition,
            offsets,
        } => Response::RowsAt(rejected::rows_at(
            &topic(host, &name)?,
            partition,
            &offsets,
        )?),
        Request::Rejected(None) => Response::Rejected(rejected::all(host)?),
        Request::Rejected(Some(name)) => Response::Rejected(vec![rejected::one(host, &name)?]),
        Request::Resubmit(rows) => Response::Resubmitted(rejected::resubmit(host, rows)?),
        Request::Views => Response::Views(views(host)?),
        Request::ViewGet { view: name, key } => {
            let (view, pages) = of_view(host, &name, |view| {
                Ok(view.pages(Some(&parse_key(view, &key)?), None)?)
            })?;
            Response::View(page(host, view, pages)?)
        }
        Request::ViewScan { view: name, limit } => {
            let limit = limit.map(|l| usize::try_from(l).unwrap_or(usize::MAX));
            let (view, pages) = of_view(host, &name, |view| Ok(view.pages(None, limit)?))?;
            Response::View(page(host, view, pages)?)
        }
        Request::ViewNext(number) => {
            let (view, pages) = host.scans().take(number).ok_or_else(|| {
                let what = "these rows were given up, since many others were asked for; ask again";
                Error::Refused(what.into())
            })?;
            Response::View(page(host, view, pages)?)
        }
        Request::ViewEnough(number) => {
            drop(host.scans().take(number));
            Response::Enough
        }
        Request::Keep(request) => Response::Kept(Box::new(of_keeping(host, request)?)),
        Request::Versions(request) => Response::Versions(Box::new(of_versions(host, request)?)),
        Request::Audits(request) => Response::Audits(Box::new(host.of_audits(request)?)),
        Request::Tap { node, tap } => Response::Tapped(host.tap(&node, tap)?),
        Request::Alter(order) => Response::Altered(host.alter_topic(&order)?),
        Request::Status => Response::Status(status(host)),
        Request::Rhythm { node, rhythm } => {
            Response::Rhythm(crate::graduation::graduate(host, &node, &rhythm)?)
        }
        Request::Freshness => Response::Freshness(crate::objective::report(host)?),
        Request::Cost(question) => Response::Cost(Box::new(crate::cost::asked(host, &question)?)),
        Request::Commits(node) => Response::Commits(crate::accounts::commits::asked(host, &node)?),
        Request::Reopen => Response::Reopened(host.reopen()?),
        Request::Stop => {
            host.stopper().stop();
            Response::Stopping
        }
    })
}

fn of_keeping(host: &Host, request: keep::Request) -> Result<keep::Answer> {
    use keep::{Answer, Request};
    Ok(match request {
        Request::Trim(order) => Answer::Trimmed(host.trim(&order)?),
        Request::Report => Answer::Report(host.kept()?),
        Request::Scrub(keep::Scrub { place, from }) => Answer::Scrubbed(match place {
            Some((name, partition)) => topic(host, &name)?.scrub(partition, from)?,
            None => host.state().scrub(from)?,
        }),
        Request::Optimize(order) => Answer::Optimized(host.optimize(&order)?),
        Request::Save(name) => Answer::Saved(host.save(&name)?),
        Request::Savepoints => Answer::Savepoints(host.savepoints()?),
        Request::Unsave { name, confirm } => {
            let (savepoint, gone) = host.unsave(&name, confirm)?;
            Answer::Unsaved(savepoint, gone)
        }
    })
}

fn of_versions(host: &Host, request: versions::Request) -> Result<versions::Answer> {
    use versions::{Answer, Request};
    Ok(match request {
        Request::List(name) => Answer::List(host.list_versions(&name)?),
        Request::Estimate(order) => Answer::Estimate(host.estimate(&order)?),
        Request::Replay(order) => Answer::Replaying(host.replay(&order)?),
        Request::Validate(order) => Answer::Validated(host.validate(&order)?),
        Request::Diverge(order) => Answer::Diverged(Box::new(host.diverge(&order)?)),
        Request::Check(order) => Answer::Checked(host.check_data(&order)?),
        Request::Changes => Answer::Changes(host.changes()?),
        Request::Cutover(order) => {
            host.look();
            let moved = host.cutover(&order)?;
            host.look();
            Answer::Moved(moved)
        }
        Request::Rollback { name, consumer } => {
            host.look();
            let moved = host.rollback(&name, consumer.as_deref())?;
            host.look();
            Answer::Moved(moved)
        }
        Request::Upgrade(order) => Answer::Upgraded(host.upgrade(&order)?),
        Request::Receipt { name, version } => {
            Answer::Receipt(Box::new(host.receipt(&name, version)?))
        }
        Request::Earlier { name, version, cut } => {
            Answer::Earlier(Box::new(host.earlier(&name, version, cut)?))
        }
        Request::Retire {
            name,
            version,
            confirm,
        } => Answer::Retired(host.retire(&name, version, confirm)?),
    })
}

fn topic(host: &Host, name: &str) -> Result<Arc<Topic>> {
    host.log().topic(&host.topic_named(name)?).ok_or_else(|| {
        let topics = host.log().topics();
        let all = topics.iter().map(|t| t.spec().name.as_str());
        let none = "the pipeline file declares none; write a [topic.NAME] section";
        Error::Refused(names::unknown("topic", name, all, none))
    })
}

fn view(host: &Host, name: &str) -> Result<Arc<View>> {
    host.view_named(name)?.ok_or_else(|| {
        let views = host.state().views();
        let all = views.iter().map(|v| v.spec().name.as_str());
        Error::Refused(names::unknown("view", name, all, names::NO_VIEWS))
    })
}

/// Rows of the version of a view that its reader is to see. When readers were moved while the rows were taken, they are
/// taken again: what is answered was what the reader was to see at the very moment that it stands for.
fn of_view(
    host: &Host,
    name: &str,
    mut rows: impl FnMut(&Arc<View>) -> Result<Pages>,
) -> Result<(Arc<View>, Pages)> {
    loop {
        let before = host.state().registry().changed();
        let view = view(host, name)?;
        let found = rows(&view)?;
        if host.state().registry().changed() == before {
            return Ok((view, found));
        }
    }
}

fn topic_status(host: &Host, topic: &Arc<Topic>) -> TopicStatus {
    let kept = host.kept_of(topic).ok();
    let spec = topic.spec();
    TopicStatus {
        name: spec.name.clone(),
        origin: spec.origin,
        schema: spec.schema.clone(),
        defaults: spec.defaults.clone(),
        versions: topic.history().versions().to_vec(),
        key: spec.key.clone(),
        time: spec.time.clone(),
        partitions: (0..spec.partitions)
            .map(|p| (topic.start(p), topic.end(p)))
            .collect(),
        bytes: topic.bytes(),
        time_max: topic.time_max(),
        retention: kept
            .as_ref()
            .map(|kept| kept.rule.to_string())
            .unwrap_or_default(),
        oldest: kept.as_ref().and_then(|kept| kept.oldest),
        removed_bytes: kept.map_or(0, |kept| kept.removed_bytes),
    }
}

fn view_status(host: &Host, view: &Arc<View>) -> Result<ViewStatus> {
    let spec = view.spec();
    let state = view.state();
    Ok(ViewStatus {
        name: spec.name.clone(),
        node: spec.node.clone(),
        schema: spec.schema.clone(),
        key_fields: spec.key_fields,
        freshness: freshness(host, &spec.node, state.cut)?,
        state,
    })
}

/// How fresh the results of a node at a cut are now.
fn freshness(host: &Host, node: &str, cut: Sequence) -> Result<Freshness> {
    let pending = crate::accounts::freshness::pending(host.log(), host.chain(node).sources, cut)?;
    let tiers = &host.declaration().tiers;
    Ok(Freshness::of(pending, host.log().now(), tiers))
}

/// Each view in the version that everybody reads.
fn views(host: &Host) -> Result<Vec<ViewStatus>> {
    let mut found = Vec::new();
    for view in host.state().views() {
        let name = VersionName::parse(&view.spec().name).name;
        let live = host.view_named(&name)?;
        if live.is_some_and(|live| Arc::ptr_eq(&live, &view)) {
            found.push(ViewStatus {
                name,
                ..view_status(host, &view)?
            });
        }
    }
    Ok(found)
}

/// The next page; what is left is kept until it is asked for.
fn page(host: &Host, view: Arc<View>, mut pages: Pages) -> Result<ViewAnswer> {
    let rows = pages.next(VIEW_ROWS_MAX, ANSWER_BYTES_MAX)?;
    let status = ViewStatus {
        freshness: freshness(host, &view.spec().node, rows.state.cut)?,
        state: rows.state,
        ..view_status(host, &view)?
    };
    Ok(ViewAnswer {
        status,
        finals: rows.finals.iter().collect(),
        table: Table {
            schema: view.spec().schema.clone(),
            rows: rows.rows,
        },
        next: (!pages.is_done()).then(|| host.scans().keep(view, pages)),
    })
}

fn read(topic: &Arc<Topic>, partition: u32, from: From, limit: u64) -> Result<TopicRows> {
    let count = topic.spec().partitions;
    if partition >= count {
        let what = format!(
            "topic {} has partitions 0 to {}, not {partition}",
            topic.spec().name,
            count - 1
        );
        return Err(Error::Refused(what));
    }
    let from = match from {
        From::Earliest => topic.start(partition),
        From::Offset(offset) => offset,
        From::Time(time) => topic.row_at_time(partition, time)?,
    };
    let fields: Vec<usize> = (0..topic.schema().fields().len()).collect();
    let mut parts = Vec::new();
    let (mut offsets, mut sequences) = (Vec::new(), Vec::new());
    let mut appended_us = Vec::new();
    let mut next = from;
    let mut left = limit.min(READ_ROWS_MAX);
    let mut cursor = topic.cursor(partition, from)?;
    let mut bytes = 0;
    while left > 0 && bytes < ANSWER_BYTES_MAX {
        let Some(frame) = cursor.next(Sequence(u64::MAX))? else {
            break;
        };
        let header = frame.header();
        let end = header.base_offset.0 + u64::from(header.rows);
        if !matches!(header.kind, FrameKind::Rows) || header.rows == 0 || end <= next.0 {
            continue;
        }
        let skip = next.0.saturating_sub(header.base_offset.0);
        // A frame's rows are about as long as each other.
        let row_bytes = (frame.bytes() / u64::from(header.rows)).max(1);
        let fit = (ANSWER_BYTES_MAX.saturating_sub(bytes) / row_bytes).max(1);
        let take = left.min(u64::from(header.rows) - skip).min(fit);
        bytes += take * row_bytes;
        parts.push(frame.batch(&fields)?.slice(skip as usize, take as usize));
        let first = header.base_offset.0 + skip;
        offsets.extend(first..first + take);
        sequences.extend(std::iter::repeat_n(header.sequence.0, take as usize));
        appended_us.extend(std::iter::repeat_n(header.append_time.0, take as usize));
        next = Offset(first + take);
        left -= take;
        if next.0 < end {
            break;
        }
    }
    let rows = arrow_select::concat::concat_batches(&topic.schema().arrow(), &parts)
        .expect("frames of one topic have its schema");
    Ok(TopicRows {
        table: Table {
            schema: (**topic.schema()).clone(),
            rows,
        },
        offsets,
        sequences,
        appended_us,
        next,
    })
}

fn status(host: &Host) -> HostStatus {
    let durable = host.log().durable();
    let names = host.version_names();
    let nodes = names
        .into_iter()
        .map(|name| node_status(host, name, durable))
        .collect();
    // What is damaged is told by the findings.
    let freshness = crate::objective::report(host).unwrap_or_default();
    HostStatus {
        alerts: [freshness.alerts(), host.audit_alerts()].concat(),
        audits: host.audit_standings(),
        nodes,
        durable,
        findings: host.findings().to_vec(),
        shut: host.shut(),
        running: host.is_running(),
        state_bytes: host.state().bytes(),
    }
}

fn node_status(host: &Host, name: String, durable: Sequence) -> NodeStatus {
    let last = host.state().node(&name);
    let inputs = host.declaration().node_inputs(&name);
    let topics = inputs.iter().filter_map(|input| host.log().topic(input));
    let taken = |topic: &Arc<Topic>, partition: u32| {
        let end = last.as_ref().and_then(|l| {
            l.sources
                .iter()
                .find(|s| s.topic == topic.spec().name && s.partition == partition)
                .map(|s| s.end)
        });
        end.unwrap_or(topic.start(partition))
    };
    let lag = |topic: &Arc<Topic>| -> u64 {
        (0..topic.spec().partitions)
            .map(|p| topic.end(p).0.saturating_sub(taken(topic, p).0))
            .sum()
    };
    let topics: Vec<Arc<Topic>> = topics.collect();
    let lag_rows = topics.iter().map(lag).sum();
    let lag_rows = host.version_lag(&name).unwrap_or(lag_rows);
    let (rhythm, rhythm_auto) = rhythm(host, &name);
    let going = host.board().going(&name);
    let now = SystemClock.now();
    let age = |l: &NodeState| u64::try_from(now.0 - l.time.0).unwrap_or(0);
    let cut = last.as_ref().map_or(Sequence(0), |l| l.cut);
    NodeStatus {
        lag_event_us: lag_event_us(&topics, taken, lag_rows),
        frontier: going.frontier.unwrap_or(cut).max(cut),
        rows_per_second: going.rows_per_second,
        commits: going.commits,
        commit: going.commit,
        visible: going.visible,
        cache: going.cache,
        state_bytes: host.state().node_bytes(&name),
        view_bytes: view_bytes(host, &name),
        commit_age_us: last.as_ref().map(age),
        phase: host.board().get(&name),
        rhythm,
        rhythm_auto,
        cut,
        durable,
        lag_rows,
        watermark: last
            .as_ref()
            .map(|l| l.watermark)
            .filter(|w| w.0 != i64::MIN),
        committed_at: last.as_ref().map(|l| l.time),
        counts: last.map(|l| l.counts).unwrap_or_default(),
        name,
    }
}

/// When a node runs, as the run has it, or else as the file says.
fn rhythm(host: &Host, node: &str) -> (Option<Rhythm>, bool) {
    if let Some((rhythm, auto)) = host.board().rhythm_of(node) {
        return (Some(rhythm), auto);
    }
    let nodes = &host.declaration().nodes;
    let node = nodes.iter().find(|n| n.name.get_ref() == node);
    let stated = node
        .and_then(|n| n.rhythm.as_ref())
        .map(|r| r.get_ref().clone());
    let auto = stated.is_none();
    (stated, auto)
}

fn view_bytes(host: &Host, node: &str) -> u64 {
    let views = host.state().views();
    let of_node = views.iter().filter(|view| view.spec().node == node);
    of_node.map(|view| view.state().bytes).sum()
}

/// How far the newest event time of the inputs is ahead of the newest that the node has committed; none where either is
/// unknown.
fn lag_event_us(
    inputs: &[Arc<Topic>],
    taken: impl Fn(&Arc<Topic>, u32) -> Offset,
    lag_rows: u64,
) -> Option<u64> {
    if lag_rows == 0 {
        return Some(0);
    }
    let newest = inputs.iter().filter_map(|topic| topic.time_max()).max()?;
    let partitions = |topic: &Arc<Topic>| 0..topic.spec().partitions;
    let committed = inputs.iter().flat_map(|topic| {
        // What cannot be read is told by who reads it.
        partitions(topic).filter_map(|p| topic.time_max_before(p, taken(topic, p)).ok().flatten())
    });
    let lag = newest.0.saturating_sub(committed.max()?.0);
    Some(u64::try_from(lag).unwrap_or(0))
}

/// A key given as text, as a row of the view's first key fields.
fn parse_key(view: &Arc<View>, key: &[String]) -> Result<RecordBatch> {
    let spec = view.spec();
    let fields = &spec.schema.fields()[..spec.key_fields];
    if key.is_empty() || key.len() > fields.len() {
        let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
        return Err(Error::Refused(format!(
            "view {} is read by its key: {}",
            spec.name,
            names.join(", ")
        )));
    }
    let columns: Result<Vec<ArrayRef>> = fields
        .iter()
        .zip(key)
        .map(|(field, text)| parse_value(field, text))
        .collect();
    let schema = Schema::new(fields[..key.len()].to_vec());
    Ok(RecordBatch::try_new(schema.arrow(), columns?)
        .expect("each value has the type of its field"))
}

fn parse_value(field: &Field, text: &str) -> Result<ArrayRef> {
    let wrong = || Error::Refused(format!("{text:?} is not a value of the key field {field}"));
    Ok(match field.kind {
        Kind::Bool => Arc::new(BooleanArray::from(vec![
            text.parse::<bool>().map_err(|_| wrong())?,
        ])),
        Kind::I64 => Arc::new(Int64Array::from(vec![
            text.parse::<i64>().map_err(|_| wrong())?,
        ])),
        Kind::Text => Arc::new(StringArray::from(vec![text])),
        Kind::Bytes => Arc::new(BinaryArray::from(vec![text.as_bytes()])),
        Kind::Timestamp => {
            let micros = crate::ingest::time::parse(text.as_bytes(), None).map_err(|_| wrong())?;
            Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))
        }
        Kind::F64 => return Err(wrong()),
    })
}
