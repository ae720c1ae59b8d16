//! An audit: a version of a view is executed again from log and components, round after round, and compared with what it
//! says of itself. Between rounds the execution stands, so that a round costs what came since the last one.
//!
//! A round begins anew when the version that is read is another one, when its lineage is not what it was with more behind
//! it, when its cut went back, or when the last round could not be ended. A difference is told only when it shows from a
//! fresh beginning, too: what retention took meanwhile, or a fault of an execution that went on, is no difference.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use refrain_log::topic::Topic;

use super::audits::{AuditReport, Verdict, file_name};
use super::claim::{Claim, Said};
use super::execution::Execution;
use super::ground::Ground;
use super::make::sources;
use super::private::Pace;
use super::prove::{Components, Means, compare, log_differs, watermark_differs};
use super::sample::{Sample, Sampled};
use super::trail::{Part, Trail, fields_of};
use super::{FORMAT, Lineage, Output, Receipt, components_of};
use crate::answer::exit_code;
use crate::error::{Error, Result};
use crate::request::Table;

/// The exit code of damaged rows.
const DAMAGED: u8 = 5;

/// With what a version is audited.
pub struct Tools {
    /// The project: its log and its components are read.
    pub root: PathBuf,
    /// Components given beside those of the project.
    pub components: Components,
    /// Where compiled components are kept.
    pub cache: Option<PathBuf>,
    /// A folder for the folder in which it is executed.
    pub scratch: PathBuf,
    /// How it is executed, and the way to end it.
    pub pace: Arc<Pace>,
    /// How long an execution goes on before it begins anew, and the log is read again from its first row.
    pub afresh: Duration,
}

/// An audit in progress.
pub struct Audit {
    tools: Tools,
    going: Option<Going>,
}

/// What stands between rounds.
struct Going {
    /// Version, and the sample of its keys.
    of: (String, Option<Sample>),
    execution: Execution,
    /// Of each partition of each source topic, with the topic; none for a sample.
    trails: Vec<(String, Trail)>,
    begun: Instant,
}

/// What a round came to.
#[derive(Debug)]
pub struct Round {
    /// What the host is told.
    pub report: AuditReport,
    /// The exit code for it.
    pub code: u8,
    /// Rows of the log that were executed.
    pub rows_taken: u64,
    /// Whether it began with the first row.
    pub anew: bool,
    /// Rows that came out near the first difference.
    pub rows: Option<Table>,
}

/// What an attempt found.
enum Found {
    Equal(Option<Box<Receipt>>),
    /// A sentence, and rows that came out.
    Differs(String, Option<Table>),
    /// It was told to stop.
    Stopped,
}

impl Audit {
    /// Nothing is executed yet.
    pub fn new(tools: Tools) -> Audit {
        Audit { tools, going: None }
    }

    /// The way to end it, from any thread.
    pub fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.tools.pace)
    }

    /// Executes on to the cut of a claim, and compares; none: it was told to stop.
    pub fn round(&mut self, claim: &Claim) -> Option<Round> {
        let mut anew = self.look(claim);
        let before = self.rows_taken();
        let mut found = self.attempt(claim);
        let is_doubtful = match &found {
            Ok(Found::Equal(_) | Found::Stopped) => false,
            // What a fresh execution gives is what the log gives; what it reads may be going from under it.
            Ok(Found::Differs(..)) => !anew,
            Err(error) => exit_code(error) == DAMAGED,
        };
        if is_doubtful {
            self.going = None;
            anew = true;
            found = self.attempt(claim);
        }
        let rows_taken = match anew {
            true => self.rows_taken(),
            false => self.rows_taken().saturating_sub(before),
        };
        let (verdict, code, what, receipt, rows) = match found {
            Ok(Found::Stopped) => return None,
            Ok(Found::Equal(receipt)) => (Verdict::Equal, 0, equal(claim), receipt, None),
            Ok(Found::Differs(what, rows)) => (Verdict::Differs, 3, what, None, rows),
            Err(error) => {
                let (verdict, code) = match exit_code(&error) {
                    DAMAGED => (Verdict::Damaged, DAMAGED),
                    code => (Verdict::Undecided, code),
                };
                (verdict, code, error.to_string(), None, None)
            }
        };
        if verdict != Verdict::Equal {
            self.going = None;
        }
        Some(Round {
            report: AuditReport {
                view: claim.view.clone(),
                version: claim.version,
                cut: claim.cut,
                sample: claim.said.sample(),
                verdict,
                what,
                receipt,
            },
            code,
            rows_taken,
            anew,
            rows,
        })
    }

    /// Lets go of an execution that does not lead to a claim; whether there is none.
    fn look(&mut self, claim: &Claim) -> bool {
        let of = of(claim);
        self.going.take_if(|going| {
            going.of != of
                || !going.execution.leads_to(&claim.lineage, claim.cut)
                || going.begun.elapsed() >= self.tools.afresh
        });
        self.going.is_none()
    }

    fn rows_taken(&self) -> u64 {
        let going = self.going.as_ref();
        going.map_or(0, |going| going.execution.rows_taken())
    }

    fn attempt(&mut self, claim: &Claim) -> Result<Found> {
        // What the claim covers is durable, and so in the log as it is opened now.
        let ground = Ground::open(&self.tools.root)?;
        self.gather(&claim.lineage);
        let means = Means {
            ground: &ground,
            components: &self.tools.components,
            cache: self.tools.cache.clone(),
            scratch: &self.tools.scratch,
            workers: self.tools.pace.workers,
        };
        let going = match &mut self.going {
            Some(going) => going,
            none => {
                refuse_removed(&ground, claim)?;
                if let Some(differs) = log_changed(&ground, claim)? {
                    return Ok(Found::Differs(differs, None));
                }
                none.insert(Going::begin(&ground, claim, &means)?)
            }
        };
        for (topic, trail) in &mut going.trails {
            trail.go(&*topic_of(&ground, topic)?, claim.cut)?;
        }
        let pace = &self.tools.pace;
        if !going
            .execution
            .go(&claim.lineage, claim.cut, &means, pace)?
        {
            return Ok(Found::Stopped);
        }
        going.judge(claim)
    }

    /// Finds components that the lineage names.
    fn gather(&mut self, lineage: &[Lineage]) {
        let mut missing = components_of(lineage);
        missing.retain(|digest| self.tools.components.get(digest).is_err());
        if !missing.is_empty() {
            for note in self.tools.components.gather(&self.tools.root, &missing) {
                tracing::warn!("{note}");
            }
        }
    }
}

fn of(claim: &Claim) -> (String, Option<Sample>) {
    (file_name(&claim.view, claim.version), claim.said.sample())
}

fn equal(claim: &Claim) -> String {
    let part = claim.said.sample().map_or(String::new(), |sample| {
        format!(" in {} % of its keys", f64::from(sample.ppm) / 10_000.0)
    });
    format!(
        "version {} of view {} at cut {} is what log and lineage give{part}",
        claim.version, claim.view, claim.cut
    )
}

fn topic_of(ground: &Ground, name: &str) -> Result<Arc<Topic>> {
    let topic = ground.log.topic(name);
    topic.ok_or_else(|| Error::Refused(format!("topic {name} is not in the log any more")))
}

/// Refuses to begin where rows are gone that the version has taken.
fn refuse_removed(ground: &Ground, claim: &Claim) -> Result<()> {
    for (name, after) in sources(&claim.lineage)? {
        let topic = topic_of(ground, &name)?;
        for partition in 0..topic.spec().partitions {
            let kept = topic.kept(partition)?;
            if kept.removed_up_to > after {
                return Err(Error::Refused(format!(
                    "retention has removed the rows of topic {name}, partition {partition}, before offset {}, which \
                     version {} of view {} has taken: from the log alone it cannot be computed again. A version that \
                     begins behind them can (`refrain replay`)",
                    kept.start, claim.version, claim.view
                )));
            }
        }
    }
    Ok(())
}

/// Where the log is not what it was when all was last found equal; a sentence.
fn log_changed(ground: &Ground, claim: &Claim) -> Result<Option<String>> {
    let Some(receipt) = &claim.receipt else {
        return Ok(None);
    };
    for wanted in &receipt.log {
        let topic = ground.log.topic(&wanted.topic);
        let start = topic.filter(|topic| wanted.partition < topic.spec().partitions);
        let start = start.map(|topic| topic.start(wanted.partition));
        // What retention took is not there to be compared.
        if start.is_some_and(|start| start > wanted.first) {
            continue;
        }
        if let Some(differs) = log_differs(ground, wanted, receipt.cut)? {
            return Ok(Some(format!(
                "{differs}; it was equal at cut {}, when the last audit ended",
                receipt.cut
            )));
        }
    }
    Ok(None)
}

impl Going {
    fn begin(ground: &Ground, claim: &Claim, means: &Means<'_>) -> Result<Going> {
        let of = of(claim);
        let mut trails = Vec::new();
        if of.1.is_none() {
            for (name, after) in sources(&claim.lineage)? {
                let topic = topic_of(ground, &name)?;
                for partition in 0..topic.spec().partitions {
                    let part = Part {
                        partition,
                        after,
                        cut: claim.cut,
                        marked_for: None,
                    };
                    let trail = Trail::begin(&topic, part, &fields_of(topic.schema()))?;
                    trails.push((name.clone(), trail));
                }
            }
        }
        Ok(Going {
            execution: Execution::begin(&claim.lineage, means, of.1)?,
            of,
            trails,
            begun: now(),
        })
    }

    /// Compares what came out with what is claimed.
    fn judge(&mut self, claim: &Claim) -> Result<Found> {
        let node = claim.lineage.last().map_or("", |last| &last.node);
        let private = &self.execution.private;
        match &claim.said {
            Said::Whole(output) => {
                let found = compare(private, node, (output, claim.watermark))?;
                Ok(match found.differs {
                    Some(differs) => Found::Differs(told(claim, &differs), found.rows),
                    None => Found::Equal(Some(Box::new(self.receipt(claim, found.output)))),
                })
            }
            Said::Sampled(sample, wanted) => {
                let planned = self.execution.planned();
                let view = private.view(node)?;
                let found = sample.of_view(planned, &view, view.pages(None, None)?)?;
                let differs = match found == *wanted {
                    true => watermark_differs(private, node, claim.watermark),
                    false => Some(sample_differs(*sample, wanted, &found)),
                };
                Ok(match differs {
                    Some(differs) => Found::Differs(told(claim, &differs), None),
                    None => Found::Equal(None),
                })
            }
        }
    }

    fn receipt(&mut self, claim: &Claim, output: Output) -> Receipt {
        let trails = self.trails.iter_mut();
        Receipt {
            format: FORMAT.to_owned(),
            view: claim.view.clone(),
            version: claim.version,
            cut: claim.cut,
            watermark: claim.watermark,
            output,
            rows_gone: 0,
            log: trails.map(|(_, trail)| trail.range()).collect(),
            lineage: claim.lineage.clone(),
            seal: String::new(),
        }
        .sealed()
    }
}

fn told(claim: &Claim, differs: &str) -> String {
    format!(
        "version {} at cut {} is not what log and lineage give: {differs}",
        claim.version, claim.cut
    )
}

fn sample_differs(sample: Sample, wanted: &Sampled, found: &Sampled) -> String {
    format!(
        "in the sample of {} % of the keys {} rows with digest {} came out, and the view has {} rows with digest {}; an \
         audit without --sample says where",
        f64::from(sample.ppm) / 10_000.0,
        found.rows,
        found.digest,
        wanted.rows,
        wanted.digest
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "says when to begin anew; decides no result"
)]
fn now() -> Instant {
    Instant::now()
}
