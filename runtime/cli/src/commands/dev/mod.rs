//! `refrain dev`: on every change of a plugin's source or of the pipeline file, build, play rows of the log through the
//! new components privately, and show what that changes.

mod desk;
pub(super) mod excerpt;
mod show;
mod watch;

use std::path::Path;

use refrain_engine::trial;

use crate::args::Global;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use crate::show::grouped;
use desk::Desk;
use watch::Watch;

/// Build on every change, play rows of the log through the new plugins, show what changes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain dev                                            the last 100,000 rows of each source topic
  refrain dev --node delays --rows 5000                  one node and what it reads
  refrain dev --from 2001-01-06 --to 2001-01-08          the rows of two days

Nothing of the project is written: components stay in memory, and so do topics and views of the trial. A host that runs
goes on as it is; `refrain plugin build`, and `refrain replay` or a new start, take the new plugin. What does not build,
or stops on a row, is told, and the last plugin that worked stays what is compared with. ctrl-C ends it.")]
pub(crate) struct DevArgs {
    /// Only this node and the nodes that it reads from; may be given several times [default: all]
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    span: excerpt::Span,
}

pub(crate) fn run(global: &Global, args: &DevArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let declaration = project.declaration()?;
    let nodes = trial::needed(&declaration, &args.nodes)?;
    // Before anything is looked at, so that no change is missed.
    let mut watch = Watch::start()?;
    watch.follow(project.root());
    let rows = {
        let mut link = Link::open(&project)?;
        excerpt::take(&mut link, &trial::sources(&declaration, &nodes), &args.span)?
    };
    eprintln!("{} rows of {}", grouped(rows.rows()), args.span);
    let mut desk = Desk::new(project, args.nodes.clone(), rows);
    loop {
        desk.look(global)?;
        for folder in desk.folders() {
            watch.follow(&folder);
        }
        // A folder may have changed before it was followed.
        while !desk.has_changed() {
            watch.wait()?;
        }
        watch.settle()?;
    }
}

/// Whether a change of this file or folder is one of a source: not what tools leave beside sources.
fn is_source(path: &Path) -> bool {
    const LEFT: [&str; 5] = [
        "target",
        "node_modules",
        "__pycache__",
        "fixtures",
        "Cargo.lock",
    ];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let backup = name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".tmp");
    !name.starts_with('.') && !name.starts_with('#') && !backup && !LEFT.contains(&&*name)
}
