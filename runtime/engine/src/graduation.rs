//! A node's rhythm changed by a command: first in the pipeline file, which stays the one place that says it, then in the
//! run, where it takes effect with the node's next commit.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::{self, Declaration, Plan, Rhythm, edit};
use crate::run::Graduation;
use crate::tiers;

/// What a change of rhythm did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graduated {
    /// The node.
    pub node: String,
    /// What the file says now.
    pub written: String,
    /// Rhythms of the run that change with the next commits: node and rhythm. Empty when no host runs.
    pub changed: Vec<(String, Rhythm)>,
    /// Whether a host runs the pipeline.
    pub running: bool,
}

/// Writes a node's rhythm into the pipeline file, and gives it to the run if there is one.
///
/// # Errors
/// A refusal changes nothing.
pub fn graduate(host: &Host, node: &str, text: &str) -> Result<Graduated> {
    let rhythm = match text.trim() {
        "auto" => None,
        text => Some(Rhythm::parse(text).map_err(|e| Error::Refused(e.to_string()))?),
    };
    let written = rhythm.as_ref().map_or("auto".into(), Rhythm::to_string);
    let file = host.project().declaration()?;
    let edited = edit::with_rhythm(&file, node, &written).map_err(Error::Refused)?;
    let env = |name: &str| std::env::var(name).ok();
    let new = pipeline::parse(&file.file, &edited, &env).map_err(Error::Pipeline)?;
    if !says(&new, node, rhythm.as_ref()) {
        let what = format!(
            "write rhythm = \"{written}\" for node {node} in {} yourself",
            file.file
        );
        return Err(Error::Refused(what));
    }
    replace(&host.project().pipeline_file(), &edited)?;
    let changed = host.graduate(node, rhythm);
    Ok(Graduated {
        node: node.into(),
        written,
        changed,
        running: host.is_running(),
    })
}

fn says(file: &Declaration, node: &str, rhythm: Option<&Rhythm>) -> bool {
    let node = file.nodes.iter().find(|n| n.name.get_ref() == node);
    node.is_some_and(|n| n.rhythm.as_ref().map(|r| r.get_ref()) == rhythm)
}

/// The plan with the node's new rhythm, `auto` nodes planned anew; what of it is another rhythm than before.
pub(crate) fn replan(
    plan: &mut Plan,
    node: &str,
    rhythm: Option<Rhythm>,
    measures: &tiers::Measures,
) -> Vec<Graduation> {
    let before: Vec<Rhythm> = plan.nodes.iter().map(|n| n.rhythm.clone()).collect();
    for planned in plan.nodes.iter_mut().filter(|n| n.name == node) {
        planned.rhythm_auto = rhythm.is_none();
        planned.rhythm = rhythm.clone().unwrap_or(Rhythm::Continuous);
    }
    tiers::settle(plan, measures);
    let nodes = plan.nodes.iter().zip(before);
    nodes
        .filter(|(n, before)| n.rhythm != *before || n.name == node)
        .map(|(n, _)| Graduation {
            node: n.name.clone(),
            rhythm: n.rhythm.clone(),
            auto: n.rhythm_auto,
        })
        .collect()
}

/// Puts a new text in the place of the user's file: all of it, or what was there before.
#[expect(clippy::disallowed_methods, reason = "the user's own file")]
fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension(format!("toml.{}.part", std::process::id()));
    let told = |source| Error::Io {
        action: "write",
        path: path.display().to_string(),
        source,
    };
    let written = std::fs::write(&beside, text)
        .and_then(|()| std::fs::set_permissions(&beside, std::fs::metadata(path)?.permissions()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(told)
}
