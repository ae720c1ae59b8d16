//! Which project a command is about, and what of it commands need without a host.

use std::path::{Path, PathBuf};

use refrain_engine::host::{PIPELINE_FILE, Project};
use refrain_engine::names;
use refrain_engine::pipeline::{Declaration, SourceTopic, source_topics};

use crate::args::Global;
use crate::failure::Failure;

/// The project named, or the nearest folder upwards that has a pipeline file.
pub(crate) fn find(global: &Global) -> Result<Project, Failure> {
    let root = match &global.project {
        Some(root) => root.clone(),
        None => nearest(&std::env::current_dir()?)?,
    };
    if !root.join(PIPELINE_FILE).is_file() {
        return Err(Failure::refused(format!(
            "{} has no {PIPELINE_FILE}; make a project with `refrain init DIR`",
            root.display()
        )));
    }
    Ok(Project::new(root))
}

fn nearest(from: &Path) -> Result<PathBuf, Failure> {
    let found = from
        .ancestors()
        .find(|dir| dir.join(PIPELINE_FILE).is_file());
    found.map(Path::to_path_buf).ok_or_else(|| {
        Failure::refused(format!(
            "no {PIPELINE_FILE} in {} or above it; go to a project, name one with --project DIR, or make one with `refrain init DIR`",
            from.display()
        ))
    })
}

/// The source topic of that name, as the pipeline file declares it.
pub(crate) fn source_topic(declaration: &Declaration, name: &str) -> Result<SourceTopic, Failure> {
    let topics = source_topics(declaration)?;
    let names: Vec<String> = topics.iter().map(|t| t.spec.name.clone()).collect();
    let found = topics.into_iter().find(|t| t.spec.name == name);
    found.ok_or_else(|| {
        let all = names.iter().map(String::as_str);
        let none = "the pipeline file declares none; write a [topic.NAME] section";
        Failure::refused(names::unknown("source topic", name, all, none))
    })
}

/// Where compiled plugins are kept.
pub(crate) fn cache() -> PathBuf {
    refrain_plugin::build::default_cache().join("compiled")
}
