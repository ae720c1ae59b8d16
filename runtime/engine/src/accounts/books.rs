//! The books: work by node and hour, met and missed time by consumer and hour, missed runs by node. Pure; bounded: hours
//! of the last three days, days before that, nothing older than 400 days.

use std::collections::BTreeMap;

use refrain_log::ids::Timestamp;
use refrain_log::meter::Used;
use serde::{Deserialize, Serialize};

use super::commits::{self, CommitFigures, Commits};
use super::parts::{Growth, Parts};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// The first work began about so much before it was put in, in microseconds; what lasts less has no rates.
const WORK_BEFORE_US: i64 = 1_000_000;
/// How long hours are kept as hours.
const HOURS_KEPT_US: i64 = 3 * DAY_US;
/// How long anything is kept.
const KEPT_US: i64 = 400 * DAY_US;

/// Work on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// Processor time inside the plugin, in nanoseconds.
    pub guest_ns: u64,
    /// Processor time of the host on the node's behalf, in nanoseconds.
    pub host_ns: u64,
    /// Bytes of columns read from the log.
    pub read_bytes: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Of them, bytes of its commits in the commit log.
    pub commit_bytes: u64,
    /// Of them, its share of what was written for bases of the commit log.
    pub base_bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Rows taken.
    pub rows: u64,
    /// Rows that came out: written to its topic, or of windows that closed.
    pub out_rows: u64,
    /// Rows written to its topics of rejected and of late rows.
    pub letter_rows: u64,
    /// Rows of its view that changed.
    pub view_rows: u64,
    /// Frames taken, empty ones included.
    pub frames: u64,
    /// Rounds that ended with nothing to commit.
    pub idle_rounds: u64,
    /// Commits.
    pub commits: u64,
    /// Times that its tasks were opened: instances made, states handed to them.
    pub openings: u64,
    /// Processor time of that, in nanoseconds; part of the two above.
    pub opening_ns: u64,
    /// Processor time of rounds that ended with nothing to commit, in nanoseconds; part of the two above.
    pub idle_ns: u64,
    /// Processor time of taking rows, in nanoseconds: of a round, of a frame, of a row.
    pub taking: Parts,
    /// Processor time of committing, in nanoseconds: of a commit, of a changed state or row of the view.
    pub committing: Parts,
    /// Changed states and rows of a commit, by rows taken since the one before.
    pub changing: Growth,
    /// How long passes took: how many below 2^k microseconds, by k.
    pub passes: BTreeMap<u8, u64>,
}

impl Work {
    /// Adds another's.
    pub fn add(&mut self, other: &Work) {
        self.guest_ns += other.guest_ns;
        self.host_ns += other.host_ns;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.commit_bytes += other.commit_bytes;
        self.base_bytes += other.base_bytes;
        self.syncs += other.syncs;
        self.rows += other.rows;
        self.out_rows += other.out_rows;
        self.letter_rows += other.letter_rows;
        self.view_rows += other.view_rows;
        self.frames += other.frames;
        self.idle_rounds += other.idle_rounds;
        self.commits += other.commits;
        self.openings += other.openings;
        self.opening_ns += other.opening_ns;
        self.idle_ns += other.idle_ns;
        self.taking.add(&other.taking);
        self.committing.add(&other.committing);
        self.changing.add(&other.changing);
        for (k, count) in &other.passes {
            *self.passes.entry(*k).or_default() += count;
        }
    }

    /// Adds what a thread has used.
    pub fn used(&mut self, used: Used) {
        self.guest_ns += used.guest_ns;
        self.host_ns += used.cpu_ns.saturating_sub(used.guest_ns);
        self.read_bytes += used.read_bytes;
        self.written_bytes += used.written_bytes;
        self.syncs += used.syncs;
    }

    /// A pass took so long.
    pub fn pass(&mut self, us: u64) {
        let k = 64 - us.leading_zeros();
        *self.passes.entry(k as u8).or_default() += 1;
    }

    /// Processor time in all, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.guest_ns + self.host_ns
    }

    /// The time that 95 of 100 passes do not exceed, in microseconds, to the next power of two; none: no passes.
    pub fn pass_us(&self) -> Option<i64> {
        let all: u64 = self.passes.values().sum();
        let mut left = (all > 0).then(|| all - all / 20)?;
        for (k, count) in &self.passes {
            left = left.saturating_sub(*count);
            if left == 0 {
                return Some(1_i64 << (*k).min(61));
            }
        }
        None
    }
}

/// Bytes that a build of a node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// Of keyed state, in memory or on the disk.
    pub state_bytes: u64,
    /// Of rows of its view.
    pub view_bytes: u64,
    /// Of segments of the topics that it writes.
    pub topic_bytes: u64,
}

impl Held {
    /// All of them.
    pub fn bytes(self) -> u64 {
        self.state_bytes + self.view_bytes + self.topic_bytes
    }
}

/// How long a consumer was looked at, and how long of that it did not get what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Time looked at, in microseconds.
    pub observed_us: i64,
    /// Of it, time in which its view was older than it needs it.
    pub missed_us: i64,
    /// The oldest that its view was, in microseconds.
    pub worst_us: i64,
}

/// A consumer's hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerBook {
    /// Looked at until then; 0: never.
    pub until: i64,
    /// By start of the hour or day.
    pub hours: BTreeMap<i64, Kept>,
}

/// How high the commit log stood in an hour or a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stood {
    /// Time looked at, in microseconds.
    pub us: i64,
    /// Bytes by microseconds that they were there.
    pub byte_us: f64,
    /// Bytes when it was first looked at.
    pub first_bytes: u64,
}

impl Stood {
    fn add(&mut self, next: &Stood) {
        if self.us == 0 {
            self.first_bytes = next.first_bytes;
        }
        self.us += next.us;
        self.byte_us += next.byte_us;
    }

    /// Bytes on average; none: it was not looked at.
    pub fn mean_bytes(&self) -> Option<u64> {
        (self.us > 0).then(|| (self.byte_us / self.us as f64).round() as u64)
    }
}

/// The commit log over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogBook {
    /// Looked at until then; 0: never.
    pub until: i64,
    /// Bytes of it since then.
    pub bytes: u64,
    /// By start of the hour or day.
    pub hours: BTreeMap<i64, Stood>,
}

/// A node's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBook {
    /// When the last pass began; 0: never.
    pub last: i64,
    /// Runs that were due and did not happen, by start of the hour or day in which that was found.
    pub missed: BTreeMap<i64, u64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    /// Version of this form: 1.
    pub version: u32,
    /// When the first run or append began; 0: never.
    pub since: i64,
    /// Work by node, and by start of the hour or day.
    pub work: BTreeMap<String, BTreeMap<i64, Work>>,
    /// The last commits of each node.
    pub commits: BTreeMap<String, Commits>,
    /// Work for appends to source topics, by topic, and by start of the hour or day.
    pub appends: BTreeMap<String, BTreeMap<i64, Work>>,
    /// Work of the process that is no node's and no append's while a host ran, by start of the hour or day.
    pub rest: BTreeMap<i64, Work>,
    /// Of nodes that have several builds, the one that everybody reads.
    pub live: BTreeMap<String, String>,
    /// Bytes held by builds of nodes, when somebody last looked.
    pub held: BTreeMap<String, Held>,
    /// The commit log.
    pub log: LogBook,
    /// Time in which a host ran, in microseconds, by start of the hour or day.
    pub alive: BTreeMap<i64, i64>,
    /// Consumers.
    pub consumers: BTreeMap<String, ConsumerBook>,
    /// Runs of nodes of once and cron.
    pub runs: BTreeMap<String, RunBook>,
}

fn hour(at: i64) -> i64 {
    at.div_euclid(HOUR_US) * HOUR_US
}

impl Books {
    /// Work was done.
    pub fn work(&mut self, node: &str, now: Timestamp, work: &Work) {
        self.begin(now);
        let hours = self.work.entry(node.to_owned()).or_default();
        hours.entry(hour(now.0)).or_default().add(work);
    }

    /// Work begins, if none has before.
    pub fn begin(&mut self, now: Timestamp) {
        if self.since == 0 {
            self.since = now.0 - WORK_BEFORE_US;
        }
    }

    /// A node has committed.
    pub fn committed(&mut self, node: &str, figures: CommitFigures) {
        commits::push(self.commits.entry(node.to_owned()).or_default(), figures);
    }

    /// Rows were appended to a topic.
    pub fn appended(&mut self, topic: &str, now: Timestamp, work: &Work) {
        self.begin(now);
        let hours = self.appends.entry(topic.to_owned()).or_default();
        hours.entry(hour(now.0)).or_default().add(work);
    }

    /// The process has worked beside nodes and appends.
    pub fn rested(&mut self, now: Timestamp, work: &Work) {
        self.rest.entry(hour(now.0)).or_default().add(work);
    }

    /// A host has run in (from, to].
    pub fn alive(&mut self, from: Timestamp, to: Timestamp) {
        spread(from.0, to.0, |start, us| {
            *self.alive.entry(start).or_default() += us
        });
    }

    /// Looks at a consumer until `now`. `pending` is when the oldest input came that its view did not include in all that
    /// time; none: there was none.
    pub fn observe(
        &mut self,
        consumer: &str,
        need_us: i64,
        pending: Option<Timestamp>,
        now: Timestamp,
    ) {
        let book = self.consumers.entry(consumer.to_owned()).or_default();
        let from = book.until.max(now.0 - KEPT_US);
        if book.until == 0 || now.0 <= from {
            book.until = book.until.max(now.0);
            return;
        }
        let ConsumerBook { until, hours } = book;
        spread(from, now.0, |start, us| {
            hours.entry(start).or_default().observed_us += us
        });
        if let Some(pending) = pending {
            let late = pending.0.saturating_add(need_us).max(from);
            spread(late, now.0, |start, us| {
                hours.entry(start).or_default().missed_us += us
            });
            let worst = &mut hours.entry(hour(now.0)).or_default().worst_us;
            *worst = (*worst).max(now.0 - pending.0);
        }
        *until = now.0;
    }

    /// The commit log has so many bytes from now on; until now it had as many as it was last said to have.
    pub fn log_stands(&mut self, bytes: u64, now: Timestamp) {
        let LogBook {
            until,
            bytes: had,
            hours,
        } = &mut self.log;
        if *until != 0 {
            spread((*until).max(now.0 - KEPT_US), now.0, |start, us| {
                hours.entry(start).or_default().add(&Stood {
                    us,
                    byte_us: *had as f64 * us as f64,
                    first_bytes: *had,
                });
            });
        }
        (*until, *had) = ((*until).max(now.0), bytes);
    }

    /// A pass of a node began; `missed` runs before it did not happen.
    pub fn ran(&mut self, node: &str, now: Timestamp, missed: u64) {
        let book = self.runs.entry(node.to_owned()).or_default();
        book.last = now.0;
        if missed > 0 {
            *book.missed.entry(hour(now.0)).or_default() += missed;
        }
    }

    /// A consumer's time since `from`.
    pub fn kept(&self, consumer: &str, from: Timestamp) -> Kept {
        let mut kept = Kept::default();
        let hours = self
            .consumers
            .get(consumer)
            .map(|b| b.hours.range(hour(from.0)..));
        for (_, hour) in hours.into_iter().flatten() {
            kept.observed_us += hour.observed_us;
            kept.missed_us += hour.missed_us;
            kept.worst_us = kept.worst_us.max(hour.worst_us);
        }
        kept
    }

    /// A node's work since `from`.
    pub fn worked(&self, node: &str, from: Timestamp) -> Work {
        self.work
            .get(node)
            .map_or_else(Work::default, |hours| since(hours, from))
    }

    /// Work for appends since `from`, by topic.
    pub fn appended_since(&self, from: Timestamp) -> BTreeMap<String, Work> {
        let topics = self.appends.iter();
        topics
            .map(|(topic, hours)| (topic.clone(), since(hours, from)))
            .collect()
    }

    /// The rest of the process since `from`.
    pub fn rest_since(&self, from: Timestamp) -> Work {
        since(&self.rest, from)
    }

    /// The commit log since `from`.
    pub fn log_stood(&self, from: Timestamp) -> Stood {
        let mut stood = Stood::default();
        let hours = self.log.hours.range(hour(from.0)..);
        hours.for_each(|(_, hour)| stood.add(hour));
        stood
    }

    /// Time in which a host ran since `from`, in microseconds.
    pub fn lived_us(&self, from: Timestamp) -> i64 {
        self.alive.range(hour(from.0)..).map(|(_, us)| us).sum()
    }

    /// Merges old hours into days and drops what is older than is kept.
    pub fn bound(&mut self, now: Timestamp) {
        let of_work = self.work.values_mut().chain(self.appends.values_mut());
        for hours in of_work.chain([&mut self.rest]) {
            bound(hours, now.0, |into: &mut Work, other| into.add(&other));
        }
        for book in self.consumers.values_mut() {
            bound(&mut book.hours, now.0, |into: &mut Kept, other| {
                into.observed_us += other.observed_us;
                into.missed_us += other.missed_us;
                into.worst_us = into.worst_us.max(other.worst_us);
            });
        }
        for book in self.runs.values_mut() {
            bound(&mut book.missed, now.0, |into: &mut u64, other| {
                *into += other
            });
        }
        bound(&mut self.log.hours, now.0, |into: &mut Stood, other| {
            into.add(&other);
        });
        bound(&mut self.alive, now.0, |into: &mut i64, other| {
            *into += other
        });
    }
}

fn bound<T: Default>(hours: &mut BTreeMap<i64, T>, now: i64, merge: impl Fn(&mut T, T)) {
    let recent = hours.split_off(&hour(now - HOURS_KEPT_US));
    let old = std::mem::take(hours);
    for (start, value) in old.into_iter().filter(|(start, _)| *start >= now - KEPT_US) {
        merge(
            hours.entry(start.div_euclid(DAY_US) * DAY_US).or_default(),
            value,
        );
    }
    for (start, value) in recent {
        merge(hours.entry(start).or_default(), value);
    }
}

/// All work since `from`.
fn since(hours: &BTreeMap<i64, Work>, from: Timestamp) -> Work {
    let mut all = Work::default();
    let hours = hours.range(hour(from.0)..);
    hours.for_each(|(_, work)| all.add(work));
    all
}

/// Gives each hour of (from, to] its part.
fn spread(from: i64, to: i64, mut give: impl FnMut(i64, i64)) {
    let mut at = from;
    while at < to {
        let start = hour(at);
        let end = to.min(start + HOUR_US);
        give(start, end - at);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(us: i64) -> Timestamp {
        Timestamp(1_000 * DAY_US + us)
    }

    proptest! {
        /// However often one looks, and however many hours lie between: what was observed and missed is what a clock that
        /// looks at each instant would say.
        #[test]
        fn looking_often_changes_nothing(
            need in 1..3 * HOUR_US,
            pending in prop::option::of(0..5 * HOUR_US),
            mut looks in prop::collection::vec(1..30 * HOUR_US, 1..20),
        ) {
            let mut books = Books::default();
            books.observe("c", need, None, at(0));
            looks.sort_unstable();
            for look in &looks {
                let waits = pending.filter(|p| p < look).map(at);
                books.observe("c", need, waits, at(*look));
            }
            let end = *looks.last().expect("one at least");
            let kept = books.kept("c", at(0));
            prop_assert_eq!(kept.observed_us, end);
            let missed = pending.map_or(0, |p| (end - (p + need)).max(0));
            prop_assert_eq!(kept.missed_us, missed);
            books.bound(at(end + 10 * DAY_US));
            prop_assert_eq!(books.kept("c", at(-DAY_US)).missed_us, missed);
        }

        /// However often one looks at the commit log, and though hours become days: its mean is that of all instants.
        #[test]
        fn the_log_stands_as_high_as_it_stood(
            steps in prop::collection::vec((1..30 * HOUR_US, 0_u64..1 << 30), 1..20),
        ) {
            let mut books = Books::default();
            books.log_stands(7, at(0));
            let (mut now, mut bytes, mut byte_us) = (0, 7, 0.0);
            for (us, next) in &steps {
                byte_us += bytes as f64 * *us as f64;
                books.log_stands(bytes, at(now + us / 2));
                now += us;
                books.log_stands(*next, at(now));
                bytes = *next;
            }
            books.bound(at(now + 10 * DAY_US));
            let stood = books.log_stood(at(-DAY_US));
            prop_assert_eq!((stood.us, stood.first_bytes), (now, 7));
            prop_assert!((stood.byte_us / byte_us - 1.0).abs() < 1e-9);
            prop_assert_eq!(stood.mean_bytes(), Some((byte_us / now as f64).round() as u64));
            prop_assert_eq!(Books::default().log_stood(at(0)).mean_bytes(), None);
        }

        /// Old hours become days and very old ones go, so that the books stay small.
        #[test]
        fn books_are_bounded(hours in prop::collection::vec(0_i64..20_000, 1..300)) {
            let mut books = Books::default();
            for hour in &hours {
                let work = Work { rows: 1, ..Work::default() };
                books.work("n", at(hour * HOUR_US), &work);
            }
            let end = at(20_000 * HOUR_US);
            books.bound(end);
            let kept = books.work["n"].len();
            prop_assert!(kept <= 400 + 73, "{}", kept);
            let young = |h: &&i64| at(**h * HOUR_US).0 >= end.0 - KEPT_US;
            let rows: u64 = books.work["n"].values().map(|w| w.rows).sum();
            prop_assert_eq!(rows, hours.iter().filter(young).count() as u64);
        }
    }

    #[test]
    fn passes_are_told_apart() {
        let mut work = Work::default();
        assert_eq!(work.pass_us(), None);
        (0..99).for_each(|_| work.pass(1000));
        work.pass(1_000_000);
        assert_eq!(work.pass_us(), Some(1024));
    }
}
