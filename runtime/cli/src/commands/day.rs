//! `refrain demo --day`: the same generated day through the same plugins in two ways, a rhythm for each reader and one rhythm
//! for all, on the real disk and by a clock that jumps; what each way cost, what each reader got, that the results are the
//! same, and how well either bill would have been foretold from the other.

mod compare;
mod events;
mod play;
mod tell;

use std::path::Path;

use refrain_engine::cost::Question;
use refrain_engine::host::Project;
use refrain_log::clock::{Clock, SystemClock};
use refrain_log::ids::Timestamp;
use refrain_plugin::build::{Language, Talk, TemplateKind, create_plugin};

use self::compare::{Day, Foretold};
use self::play::Variant;
use super::init;
use crate::args::{Global, Output};
use crate::failure::Failure;

const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// The day ends at this hour, UTC: half an hour after the nightly run.
const ENDS_AT_US: i64 = 3 * HOUR_US;

/// Plugins with their sources, as they are in plugins/.
const PLUGINS: [(&str, TemplateKind, &str); 3] = [
    (
        "clean",
        TemplateKind::Transform,
        include_str!("../../../../plugins/clean/src/lib.rs"),
    ),
    (
        "engagement",
        TemplateKind::Fold,
        include_str!("../../../../plugins/engagement/src/lib.rs"),
    ),
    (
        "engagement_total",
        TemplateKind::Fold,
        include_str!("../../../../plugins/engagement_total/src/lib.rs"),
    ),
];

/// Folder and pipeline file of each way.
pub(crate) const WAYS: [(&str, &str); 2] = [
    (
        "tier-per-node",
        include_str!("../../../../plugins/engagement/day/refrain.toml"),
    ),
    (
        "single-tier",
        include_str!("../../../../plugins/engagement/day/single-tier.toml"),
    ),
];

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) hours: u32,
}

pub(crate) fn run(global: &Global, dir: &Path, size: Size) -> Result<(), Failure> {
    let projects = make(dir)?;
    // Past, whatever the hour is now, and within the days from which the planner measures.
    let today_us = SystemClock.now().0.div_euclid(DAY_US) * DAY_US;
    let until = Timestamp(today_us - DAY_US + ENDS_AT_US);
    let span_us = i64::from(size.hours) * HOUR_US;
    let mut variants = Vec::new();
    let mut foretold = Vec::new();
    for (place, project) in projects.iter().enumerate() {
        let (name, other) = (WAYS[place].0, WAYS[1 - place].1);
        eprintln!("\n== {name}: {} rows over {} hours", size.rows, size.hours);
        let variant = Variant::play(name, project, size.rows, until, span_us)?;
        eprintln!("asking what it would cost as {}", WAYS[1 - place].0);
        foretold.push(variant.bill(Question {
            month: true,
            file: Some(other.to_owned()),
            ..Question::default()
        })?);
        variants.push(variant);
    }
    let foretold = [0, 1].map(|asked| {
        let played = &variants[1 - asked];
        Foretold::of(played.name, &foretold[asked], &played.month)
    });
    let day = Day::of(variants, foretold)?;
    match global.output {
        Output::Json => crate::show::json(&day)?,
        output => tell::tell(&day, output)?,
    }
    day.refuse_differences()?;
    eprintln!(
        "\nLook around: refrain --project {} tiers, and cost, view list, freshness",
        projects[0].root().display()
    );
    Ok(())
}

/// Two projects with the same plugins.
#[expect(clippy::disallowed_methods, reason = "the user's own new files")]
fn make(dir: &Path) -> Result<Vec<Project>, Failure> {
    let mut projects: Vec<Project> = Vec::new();
    for (name, pipeline) in WAYS {
        let project = Project::new(dir.join(name));
        init::make(project.root(), pipeline)?;
        for (plugin, kind, source) in PLUGINS {
            match projects.first() {
                None => {
                    let plugins = project.root().join("plugins");
                    let package = create_plugin(&plugins, plugin, Language::Rust, kind)?;
                    std::fs::write(package.join("src/lib.rs"), source)?;
                    super::plugin::build::build(&project, plugin, Talk::Silent, &mut |line| {
                        eprintln!("{line}")
                    })?;
                }
                Some(first) => {
                    std::fs::copy(first.component(plugin), project.component(plugin))?;
                }
            }
        }
        projects.push(project);
    }
    Ok(projects)
}
