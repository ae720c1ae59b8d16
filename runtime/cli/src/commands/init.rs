//! `refrain init`

use std::path::{Path, PathBuf};

use refrain_engine::host::PIPELINE_FILE;

use crate::args::Global;
use crate::failure::Failure;

const PIPELINE: &str = r#"# What flows where. Check it with `refrain check`.

[topic.events]
schema = { time = "timestamp", id = "i64", kind = "text", value = "i64" }
time   = "time"          # the event time
key    = ["id"]          # rows with the same id go to the same partition

# After `refrain plugin new totals` and `refrain plugin build totals`:
#
# [node.totals]
# plugin = "totals"
# input  = "events"
# key    = ["id"]
# window = { tumbling = "1m", lateness = "10s" }
# rhythm = "auto"       # or "continuous", "every 1m", "0 2 * * *", "once"
# view   = "totals"
"#;

const IGNORED: &str = "/data/\n/plugins/*.wasm\n/plugins/.kept/\n/plugins/.sdk/\n";

/// Make a project: a folder with a refrain.toml
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  refrain init shop && cd shop && refrain check")]
pub(crate) struct InitArgs {
    /// Folder to make; --project DIR says the same
    dir: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, args: &InitArgs) -> Result<(), Failure> {
    let dir = match (&args.dir, &global.project) {
        (Some(dir), None) | (None, Some(dir)) => dir,
        (Some(_), Some(_)) => {
            return Err(Failure::refused(
                "two folders are named: give the one to make, as `refrain init DIR` or with --project",
            ));
        }
        (None, None) => {
            return Err(Failure::refused(
                "which folder? Give the one to make: `refrain init DIR`",
            ));
        }
    };
    make(dir, PIPELINE)?;
    eprintln!(
        "made {}; next: look at {PIPELINE_FILE}, and `refrain plugin new NAME`",
        dir.display()
    );
    Ok(())
}

/// Makes a project with this pipeline file.
#[expect(clippy::disallowed_methods, reason = "the user's own new files")]
pub(crate) fn make(dir: &Path, pipeline: &str) -> Result<(), Failure> {
    if dir.join(PIPELINE_FILE).exists() {
        return Err(Failure::refused(format!(
            "{} is a project already",
            dir.display()
        )));
    }
    let told = |e: std::io::Error| Failure::new(1, format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir.join("plugins")).map_err(told)?;
    std::fs::write(dir.join(".gitignore"), IGNORED).map_err(told)?;
    std::fs::write(dir.join(PIPELINE_FILE), pipeline).map_err(told)
}
