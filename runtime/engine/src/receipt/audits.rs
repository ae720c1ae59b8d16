//! What audits came to: kept by the host, so that a failure outlives the audit, the run and the next start.
//!
//! ```text
//! data/audits.json               what the last round of each version's audit came to
//! data/audits/VIEW.receipt       the receipt of the last round that found all rows equal; VIEW@2 of version 2
//! ```
//!
//! Neither changes a result; who removes them forgets what was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use refrain_log::ids::{Sequence, Timestamp};
use refrain_log::storage::Storage;
use serde::{Deserialize, Serialize};

use super::Receipt;
use super::claim::{Claim, ClaimOrder};
use super::sample::Sample;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::objective::Alert;
use crate::versions::{VersionName, node_named};

/// Of [`Alert`]s.
pub const ALERT: &str = "audit-failed";

/// What a round of an audit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What was computed again is what the view says.
    Equal,
    /// The log is not what it was, or something else came out.
    Differs,
    /// Rows of the log cannot be read.
    Damaged,
    /// It cannot be computed again.
    Undecided,
}

/// What an audit tells the host after a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The view, as the pipeline file names it.
    pub view: String,
    /// Its version.
    pub version: u32,
    /// The cut of both.
    pub cut: Sequence,
    /// Only these keys; none: all.
    pub sample: Option<Sample>,
    /// What it came to.
    pub verdict: Verdict,
    /// The same as a sentence.
    pub what: String,
    /// When all rows are equal: the receipt.
    pub receipt: Option<Box<Receipt>>,
}

/// What the audit of a version has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStanding {
    /// The view, as the pipeline file names it.
    pub view: String,
    /// Its version.
    pub version: u32,
    /// Of the last round that decided: never undecided, unless none has.
    pub verdict: Verdict,
    /// The same as a sentence.
    pub what: String,
    /// The share of the keys that the last round that decided looked at, in millionths.
    pub sample_ppm: u32,
    /// Why the last round could not decide; none: it has.
    pub undecided: Option<String>,
    /// Greatest cut at which all was equal; 0: none.
    pub equal_cut: Sequence,
    /// When it was found so.
    pub equal_at: Option<Timestamp>,
    /// When the last round ended.
    pub checked_at: Timestamp,
    /// Rounds.
    pub rounds: u64,
    /// Rounds that found a difference or damage.
    pub failures: u64,
}

/// About audits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// What does a version say of itself?
    Claim(ClaimOrder),
    /// A round has ended.
    Report(Box<AuditReport>),
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Claim`].
    Claim(Box<Claim>),
    /// To [`Request::Report`].
    Noted(AuditStanding),
}

impl AuditStanding {
    /// Whether the last round that decided found something wrong.
    pub fn is_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Differs | Verdict::Damaged)
    }

    fn alert(&self) -> Option<Alert> {
        self.is_failed().then(|| Alert {
            kind: ALERT.to_owned(),
            at: file_name(&self.view, self.version),
            what: format!("view {}: {}", self.view, self.what),
        })
    }
}

/// What stands after a report. A failure is over when as large a part of the keys is found equal, not by less and not by
/// a round that could not decide.
fn after(was: Option<&AuditStanding>, report: &AuditReport, now: Timestamp) -> AuditStanding {
    let ppm = report.sample.map_or(1_000_000, |sample| sample.ppm);
    let mut standing = was.cloned().unwrap_or_else(|| AuditStanding {
        view: report.view.clone(),
        version: report.version,
        verdict: Verdict::Undecided,
        what: report.what.clone(),
        sample_ppm: ppm,
        undecided: None,
        equal_cut: Sequence(0),
        equal_at: None,
        checked_at: now,
        rounds: 0,
        failures: 0,
    });
    standing.checked_at = now;
    standing.rounds += 1;
    standing.undecided = (report.verdict == Verdict::Undecided).then(|| report.what.clone());
    let is_less = standing.is_failed() && ppm < standing.sample_ppm;
    match report.verdict {
        Verdict::Undecided => return standing,
        Verdict::Equal if is_less => return standing,
        Verdict::Equal => {
            standing.equal_cut = report.cut;
            standing.equal_at = Some(now);
        }
        Verdict::Differs | Verdict::Damaged => standing.failures += 1,
    }
    standing.verdict = report.verdict;
    standing.what.clone_from(&report.what);
    standing.sample_ppm = ppm;
    standing
}

/// A version as files and alerts name it.
pub(super) fn file_name(view: &str, version: u32) -> String {
    VersionName::new(view, version).to_string()
}

/// The standings of all versions that were ever audited.
#[derive(Debug)]
pub(crate) struct Audits {
    storage: Arc<dyn Storage>,
    data: PathBuf,
    known: Mutex<BTreeMap<String, AuditStanding>>,
}

impl Audits {
    /// As they were left in this data folder.
    pub(crate) fn open(storage: Arc<dyn Storage>, data: &Path) -> Audits {
        let path = data.join("audits.json");
        let known = storage.read(&path).ok().and_then(|bytes| {
            let known = serde_json::from_slice(&bytes);
            if let Err(error) = &known {
                let path = path.display();
                tracing::warn!(%error, "{path} cannot be read: what audits found is forgotten");
            }
            known.ok()
        });
        Audits {
            storage,
            data: data.to_owned(),
            known: Mutex::new(known.unwrap_or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, AuditStanding>> {
        self.known.lock().expect("nobody panics with the audits")
    }

    /// The receipt of the last round of a version that found all rows equal.
    pub(super) fn receipt(&self, name: &str) -> Option<Box<Receipt>> {
        let path = self.receipt_file(name);
        let text = self.storage.read(&path).ok()?;
        match Receipt::read(&String::from_utf8_lossy(&text)) {
            Ok(receipt) => Some(Box::new(receipt)),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%error, "{path} is not used: the log is audited without it");
                None
            }
        }
    }

    fn receipt_file(&self, name: &str) -> PathBuf {
        self.data.join("audits").join(format!("{name}.receipt"))
    }

    /// Takes a report, durably.
    fn take(&self, report: &AuditReport, now: Timestamp) -> Result<AuditStanding> {
        let name = file_name(&report.view, report.version);
        let mut known = self.lock();
        if let Some(receipt) = &report.receipt {
            self.write(&self.receipt_file(&name), receipt.text().as_bytes())?;
        }
        let standing = after(known.get(&name), report, now);
        known.insert(name, standing.clone());
        let json = serde_json::to_vec_pretty(&*known).expect("names and numbers are always JSON");
        self.write(&self.data.join("audits.json"), &json)?;
        Ok(standing)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        let made = self.storage.create_dir_all(folder);
        let written = made.and_then(|()| self.storage.replace(path, bytes));
        written.map_err(|source| Error::Io {
            action: "write",
            path: path.display().to_string(),
            source,
        })
    }
}

impl Host {
    /// What the audits of versions that are there have come to.
    pub fn audit_standings(&self) -> Vec<AuditStanding> {
        let versions = self.versions().unwrap_or_default();
        let mut standings: Vec<AuditStanding> = self.audits().lock().values().cloned().collect();
        standings.retain(|standing| {
            let node = node_named(self.declaration(), &standing.view);
            let known = node.and_then(|node| versions.node(&node));
            known.is_some_and(|known| known.versions.contains_key(&standing.version))
        });
        standings
    }

    /// Alerts of failed audits.
    pub(crate) fn audit_alerts(&self) -> Vec<Alert> {
        let standings = self.audit_standings();
        standings.iter().filter_map(AuditStanding::alert).collect()
    }

    /// Answers a request about audits.
    pub(crate) fn of_audits(&self, request: Request) -> Result<Answer> {
        match request {
            Request::Claim(order) => Ok(Answer::Claim(Box::new(self.claim(&order)?))),
            Request::Report(report) => {
                let standing = self.audits().take(&report, self.log().now())?;
                Ok(Answer::Noted(standing))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict, cut: u64, ppm: u32) -> AuditReport {
        AuditReport {
            view: "delays".into(),
            version: 1,
            cut: Sequence(cut),
            sample: Sample::of_ppm(ppm).filter(|s| s.ppm < 1_000_000),
            verdict,
            what: format!("{verdict:?} at {cut}"),
            receipt: None,
        }
    }

    /// The standing after these reports, a second apart.
    fn standing(reports: &[AuditReport]) -> AuditStanding {
        let mut standing = None;
        for (second, report) in (1..).zip(reports) {
            standing = Some(after(
                standing.as_ref(),
                report,
                Timestamp(second * 1_000_000),
            ));
        }
        standing.expect("there are reports")
    }

    #[test]
    fn a_failure_stands_until_as_much_is_found_equal() {
        const ALL: u32 = 1_000_000;
        let equal = report(Verdict::Equal, 5, ALL);
        let failed = report(Verdict::Differs, 7, ALL);
        let part = report(Verdict::Equal, 9, ALL / 10);
        let unknown = report(Verdict::Undecided, 9, ALL);

        let good = standing(std::slice::from_ref(&equal));
        assert!(!good.is_failed() && good.alert().is_none());
        assert_eq!((good.equal_cut, good.failures), (Sequence(5), 0));

        for later in [
            vec![],
            vec![part.clone()],
            vec![unknown.clone()],
            vec![part, unknown.clone()],
        ] {
            let reports = [&[equal.clone(), failed.clone()][..], &later[..]].concat();
            let bad = standing(&reports);
            assert!(bad.is_failed(), "{reports:?}");
            assert_eq!((bad.equal_cut, bad.failures), (Sequence(5), 1));
            assert_eq!(bad.equal_at, Some(Timestamp(1_000_000)));
            assert_eq!(bad.rounds, reports.len() as u64);
            let alert = bad.alert().expect("it failed");
            assert_eq!(alert.what, "view delays: Differs at 7");
        }
        let again = report(Verdict::Equal, 11, ALL);
        let mended = standing(&[equal, failed, unknown.clone(), again]);
        assert!(!mended.is_failed() && mended.undecided.is_none());
        assert_eq!((mended.equal_cut, mended.failures), (Sequence(11), 1));
        let never = standing(&[unknown]);
        assert_eq!(never.verdict, Verdict::Undecided);
        assert!(!never.is_failed() && never.undecided.is_some());
    }

    #[test]
    fn a_failure_of_a_part_is_over_when_as_large_a_part_is_equal() {
        let reports = [
            report(Verdict::Differs, 3, 100_000),
            report(Verdict::Equal, 4, 100_000),
        ];
        assert!(standing(&reports[..1]).is_failed());
        assert!(!standing(&reports).is_failed());
    }
}
