//! The conformance suite: does a component keep the contract, whoever built it and in whatever language.
//!
//! It makes up rows from the plugin's own description, sends them through in many ways that must come to the same, and
//! reports each promise as kept, broken or not asked for. Everything follows from the seed.

mod checks;
mod fold;
mod process;
mod rows;
mod shown;
mod transform;

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
    /// What each instance may use.
    pub limits: Limits,
}

impl Default for Settings {
    /// Seed 1, 200 rows, defaults, calls of at most 5 seconds.
    fn default() -> Self {
        Self {
            seed: 1,
            rows: 200,
            options: Vec::new(),
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

/// Why a check failed.
#[derive(Debug)]
struct Problem(String);

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let what = match fault.kind {
            FaultKind::Trap => {
                "a row that traps is refused without a reason: refuse it by a reject instead"
            }
            FaultKind::Deadline | FaultKind::Memory | FaultKind::Stack => "limits stop the node",
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
    match host.load_granting(name, bytes, &Grants::all()) {
        Err(error) => report.checks.push(Check {
            name: "loads",
            verdict: Verdict::Failed,
            text: error.what,
        }),
        Ok(plugin) => {
            report.kind = Some(plugin.about().kind);
            report.checks.push(Check {
                name: "loads",
                verdict: Verdict::Passed,
                text: loads(&plugin),
            });
            report.checks.extend(checks::all(&plugin, settings));
        }
    }
    report
}

fn loads(plugin: &Plugin) -> String {
    let imports = match grant::told(plugin.imports()) {
        None => "nothing".to_owned(),
        Some(told) => told,
    };
    format!("is a component of this contract, imports {imports}, describes itself well")
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
