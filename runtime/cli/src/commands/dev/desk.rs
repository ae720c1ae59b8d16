//! What lies on the author's desk: sources and what was built of them, the last outcome that was good.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use refrain_engine::host::Project;
use refrain_engine::pipeline::Declaration;
use refrain_engine::trial::{self, Excerpt, Outcome, Trial};
use refrain_plugin::Digest;
use refrain_plugin::build::{Language, Talk, build_component, default_cache};

use super::{is_source, show};
use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::project;

/// All that can be granted.
const EVERYTHING: [&str; 2] = ["wasi", "logging"];
/// Folders of one plugin that are looked at.
const FOLDERS_MAX: usize = 2_000;

/// The desk.
pub(super) struct Desk {
    project: Project,
    named: Vec<String>,
    rows: Excerpt,
    plugins: BTreeMap<String, Built>,
    /// Of the pipeline file, at the last look.
    pipeline: Option<Digest>,
    /// What was tried last with success: pipeline file and components, and what came of it.
    good: Option<(Vec<Digest>, Outcome)>,
    /// What was tried last.
    tried: Vec<Digest>,
}

/// A plugin, as it was looked at last.
struct Built {
    source: Source,
    /// Of all its files.
    seen: Option<Digest>,
    /// The last component that could be built.
    component: Option<Vec<u8>>,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// A folder with sources.
    Folder(PathBuf),
    /// A component as it is.
    File(PathBuf),
}

impl Desk {
    pub(super) fn new(project: Project, named: Vec<String>, rows: Excerpt) -> Desk {
        Desk {
            project,
            named,
            rows,
            plugins: BTreeMap::new(),
            pipeline: None,
            good: None,
            tried: Vec::new(),
        }
    }

    /// Builds what has changed, tries it, and shows what it changes. What is wrong with the author's files is told, and
    /// the last good outcome stays.
    pub(super) fn look(&mut self, global: &Global) -> Result<(), Failure> {
        self.pipeline = digest(&[self.project.pipeline_file()]);
        match self.attempt() {
            Ok(None) => {
                eprintln!("the components are the same as before: no difference");
                show::same(global)?;
            }
            Ok(Some((tried, outcome))) => {
                let before = self.good.as_ref().map(|(_, outcome)| outcome);
                show::outcome(global, before, &outcome)?;
                self.good = Some((tried, outcome));
            }
            Err(failure) => {
                failure.tell(&Global {
                    output: Output::Table,
                    ..global.clone()
                });
                match self.good {
                    Some(_) => eprintln!("the last good one stays"),
                    None => eprintln!("nothing has worked yet"),
                }
                show::failed(global, &failure)?;
            }
        }
        eprintln!("waiting for changes");
        Ok(())
    }

    /// What is tried and what comes of it; none: nothing that was not tried with success already.
    fn attempt(&mut self) -> Result<Option<(Vec<Digest>, Outcome)>, Failure> {
        let mut declaration = self.project.declaration()?;
        // Plugins are built with a voice, and it changes no result.
        for node in &mut declaration.nodes {
            node.grants = EVERYTHING.map(str::to_owned).to_vec();
        }
        let nodes = trial::needed(&declaration, &self.named)?;
        let components = self.build(&plugins(&declaration, &nodes))?;
        let text = Digest::of(declaration.text.as_bytes());
        let tried: Vec<Digest> = std::iter::once(text)
            .chain(components.values().map(|bytes| Digest::of(bytes)))
            .collect();
        if self.good.as_ref().is_some_and(|(good, _)| *good == tried) && self.tried == tried {
            return Ok(None);
        }
        self.tried = tried.clone();
        let trial = Trial {
            project: &self.project,
            declaration: &declaration,
            components,
            nodes,
            cache: Some(project::cache()),
        };
        let outcome = trial.run(&self.rows)?;
        if let Some((node, why)) = outcome.stopped.first() {
            return Err(Failure::new(4, format!("{node} stopped: {why}")));
        }
        Ok(Some((tried, outcome)))
    }

    /// The components of these plugins, built where their sources are and have changed.
    fn build(&mut self, names: &[String]) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        self.plugins.retain(|name, _| names.contains(name));
        let mut first = None;
        for name in names {
            let source = source(&self.project, name);
            let built = self.plugins.entry(name.clone()).or_insert_with(|| Built {
                source: source.clone(),
                seen: None,
                component: None,
            });
            let seen = digest(&source.files());
            if built.source == source && built.seen == seen && built.component.is_some() {
                continue;
            }
            (built.source, built.seen) = (source, seen);
            built.component = None;
            match built.source.component() {
                Ok(component) => built.component = Some(component),
                // The others are built and told about all the same.
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        if let Some(failure) = first {
            return Err(failure);
        }
        let built = self.plugins.iter();
        let built = built.filter_map(|(name, b)| Some((name.clone(), b.component.clone()?)));
        Ok(built.collect())
    }

    /// Whether a file is another than at the last look.
    pub(super) fn has_changed(&self) -> bool {
        let mut plugins = self.plugins.iter();
        digest(&[self.project.pipeline_file()]) != self.pipeline
            || plugins.any(|(name, built)| {
                let source = source(&self.project, name);
                source != built.source || digest(&source.files()) != built.seen
            })
    }

    /// Folders whose changes matter.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.project.root().to_path_buf()];
        folders.extend([self.project.root().join("plugins")]);
        for built in self.plugins.values() {
            match &built.source {
                Source::Folder(folder) => walk(folder, &mut folders, &mut Vec::new()),
                Source::File(file) => folders.extend(file.parent().map(Path::to_path_buf)),
            }
        }
        folders
    }
}

/// Plugins of these nodes, each once.
fn plugins(declaration: &Declaration, nodes: &[String]) -> Vec<String> {
    let chosen = declaration
        .nodes
        .iter()
        .filter(|n| nodes.contains(n.name.get_ref()));
    let mut names: Vec<String> = chosen.map(|n| n.plugin.get_ref().clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Sources are preferred to a component that was built of them some day.
fn source(project: &Project, plugin: &str) -> Source {
    let folder = project.root().join("plugins").join(plugin);
    match Language::of(&folder) {
        Err(refrain_plugin::build::BuildError::NotAPackage(_)) => {
            Source::File(project.component(plugin))
        }
        // What is wrong with it, the build tells.
        _ => Source::Folder(folder),
    }
}

impl Source {
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Source::File(file) => vec![file.clone()],
            Source::Folder(folder) => {
                let mut files = Vec::new();
                walk(folder, &mut Vec::new(), &mut files);
                files
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the user's own file")]
    fn component(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Source::Folder(folder) => {
                let mut say = |line: &str| eprintln!("{line}");
                Ok(build_component(
                    folder,
                    Talk::Talking,
                    &default_cache(),
                    &mut say,
                )?)
            }
            Source::File(file) => std::fs::read(file).map_err(|why| {
                Failure::refused(format!(
                    "{}: {why}; build it with `refrain plugin build`, or put its source in a folder of plugins/",
                    file.display()
                ))
            }),
        }
    }
}

/// Folders and files of sources, in the order of their names.
#[expect(clippy::disallowed_methods, reason = "the user's own folder is read")]
fn walk(folder: &Path, folders: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) {
    if folders.len() >= FOLDERS_MAX {
        return;
    }
    folders.push(folder.to_path_buf());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| is_source(path)) {
        match path.is_dir() {
            true => walk(&path, folders, files),
            false => files.push(path),
        }
    }
}

/// Of names and contents; none: one cannot be read.
#[expect(clippy::disallowed_methods, reason = "the user's own files")]
fn digest(files: &[PathBuf]) -> Option<Digest> {
    let mut all = Vec::new();
    for file in files {
        let content = std::fs::read(file).ok()?;
        all.extend_from_slice(file.as_os_str().as_encoded_bytes());
        all.extend_from_slice(&Digest::of(&content).0);
    }
    Some(Digest::of(&all))
}
