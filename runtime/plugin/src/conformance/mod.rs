//! The conformance suite: does a component keep the contract, whoever built it and in whatever language.
//!
//! It makes up rows from the plugin's own description, sends them through in many ways that must come to the same, and
//! reports each promise as kept, broken or not asked for. Everything follows from the seed.

mod checks;
mod fold;
mod joined;
mod large;
mod older;
mod process;
mod rows;
mod shown;
mod slots;
mod transform;
mod ways;

use arrow_array::ArrayRef;
use refrain_log::schema::Field;
use serde::Serialize;

use crate::about::{About, PluginKind};
use crate::fault::{Fault, FaultKind};
use crate::grant::{self, Grants};
use crate::host::{Host, Plugin};
use crate::instance::Instance;
use crate::limits::Limits;

pub use rows::ordinary;

/// How a suite is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where all rows and splits come from.
    pub seed: u64,
    /// Rows of each batch.
    pub rows: usize,
    /// Options that the plugin is given; its defaults where nothing is said.
    pub options: Vec<(String, String)>,
    /// Keys that a fold is shown which wants some: the key fields of a node, then the one of its window.
    pub keys: Vec<Field>,
    /// An older version of the plugin, to make the states of that `migrate` takes over.
    pub older: Option<Older>,
    /// What each instance may use.
    pub limits: Limits,
}

/// A component by the name that it is told under.
#[derive(Clone, Debug)]
pub struct Older {
    /// Name.
    pub name: String,
    /// The component.
    pub bytes: Vec<u8>,
}

impl Default for Settings {
    /// Seed 1, 200 rows, defaults, calls of at most 5 seconds.
    fn default() -> Self {
        Self {
            seed: 1,
            rows: 200,
            options: Vec::new(),
            keys: Vec::new(),
            older: None,
            limits: Limits {
                call_ms_max: 5_000,
                ..Limits::default()
            },
        }
    }
}

/// What became of one promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Kept.
    Passed,
    /// Broken.
    Failed,
    /// Of no concern to this plugin, or not to be asked after an earlier finding.
    Skipped,
}

/// One promise of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Short name, stable.
    pub name: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// What is promised; what was found instead; why it was not asked.
    pub text: String,
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name that the plugin was loaded under.
    pub plugin: String,
    /// BLAKE3 of its bytes.
    pub digest: String,
    /// `fold`, `transform` or `process`; nothing when it does not load.
    pub kind: Option<PluginKind>,
    /// Repeats this run.
    pub seed: u64,
    /// In the order in which they were asked.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether every promise that was asked for is kept.
    pub fn passed(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.verdict != Verdict::Failed)
    }
}

/// What is added to a finding after which nothing more is asked.
const TOO_LONG: &str = "limits stop the node, and nothing more is asked here";

/// Why a check failed.
#[derive(Debug)]
struct Problem(String);

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let what = match fault.kind {
            FaultKind::Trap => {
                "a row that traps is refused without a reason: refuse it by a reject instead"
            }
            FaultKind::Deadline => TOO_LONG,
            FaultKind::Memory | FaultKind::Stack => "limits stop the node",
            FaultKind::Malformed => "the contract rules this answer out",
            FaultKind::Fatal => "no row may stop the node",
            FaultKind::Options => "its own defaults are to be taken",
        };
        Problem(format!("{} {} ({what})", fault.function, fault.what))
    }
}

/// The plugin under test, and how it is started.
struct Subject<'a> {
    plugin: &'a Plugin,
    options: Vec<(String, String)>,
    settings: &'a Settings,
    host: &'a Host,
}

impl Subject<'_> {
    fn about(&self) -> &About {
        self.plugin.about()
    }

    fn start(&self) -> Result<Instance, Problem> {
        Ok(self
            .plugin
            .instantiate(&self.options, self.settings.limits)?)
    }

    /// Rows of a batch.
    fn rows(&self) -> usize {
        self.settings.rows.max(2)
    }

    /// Whether `evaluate` wants keys and nobody said which: it cannot be asked then.
    fn lacks_keys(&self) -> bool {
        self.about().wants_keys && self.settings.keys.is_empty()
    }

    /// Made-up keys for `evaluate`, a column a field; none where it wants none.
    fn keys(&self, sort: rows::Sort, count: usize, dice: &mut rows::Dice) -> Vec<ArrayRef> {
        match self.about().wants_keys {
            true => rows::columns(&self.settings.keys, sort, count, dice),
            false => Vec::new(),
        }
    }
}

/// Runs the suite on these bytes. Never fails itself: what is wrong is in the report.
pub fn examine(host: &Host, name: &str, bytes: &[u8], settings: &Settings) -> Report {
    let mut report = Report {
        plugin: name.to_owned(),
        digest: crate::host::Digest::of(bytes).to_string(),
        kind: None,
        seed: settings.seed,
        checks: Vec::new(),
    };
    let mut push = |name, verdict, text: String| {
        report.checks.push(Check {
            name,
            verdict,
            text,
        });
    };
    let imports = match host.imports(name, bytes) {
        Ok(imports) => imports,
        Err(error) => {
            push("loads", Verdict::Failed, error.what);
            return report;
        }
    };
    if let Err(why) = grant::refuse(&imports, &Grants::all()) {
        push("imports", Verdict::Failed, why);
        return report;
    }
    match host.load_granting(name, bytes, &Grants::all()) {
        Err(error) => push("loads", Verdict::Failed, error.what),
        Ok(plugin) => {
            let well = "is a component of this contract, describes itself well";
            push("loads", Verdict::Passed, well.into());
            push("imports", Verdict::Passed, told(&imports));
            report.kind = Some(plugin.about().kind);
            report.checks.extend(checks::all(host, &plugin, settings));
        }
    }
    report
}

/// What it imports, none of it forbidden.
fn told(imports: &[grant::Import]) -> String {
    match grant::told(imports) {
        None => "imports no function".to_owned(),
        Some(told) => format!("imports nothing that cannot be granted: {told} in its node"),
    }
}

/// The options that a plugin gets: what was said, and its defaults.
///
/// # Errors
/// An option that it does not have, or one without a default that was not given.
pub fn options_of(
    about: &About,
    given: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    if let Some((name, _)) = given
        .iter()
        .find(|(name, _)| about.settings.iter().all(|s| s.name != *name))
    {
        return Err(format!("it has no option `{name}`"));
    }
    let value = |setting: &crate::about::Setting| {
        let said = given.iter().find(|(name, _)| *name == setting.name);
        let value = said
            .map(|(_, value)| value.clone())
            .or(setting.default.clone());
        let value = value
            .ok_or_else(|| format!("give the option `{}`: it has no default", setting.name))?;
        setting.check(&value)?;
        Ok((setting.name.clone(), value))
    };
    about.settings.iter().map(value).collect()
}
