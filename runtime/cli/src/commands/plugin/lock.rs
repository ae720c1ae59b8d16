//! `refrain plugin lock`

use refrain_engine::lock::Lock;
use refrain_plugin::Digest;

use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// Pin the component that a plugin has now in refrain.lock
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A pinned plugin whose component is another one is refused by check and run.

Example:
  refrain plugin build delays && refrain plugin lock delays"
)]
pub(crate) struct LockArgs {
    /// Name of the plugin
    #[arg(required = true)]
    plugins: Vec<String>,
}

pub(crate) fn run(global: &Global, args: &LockArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let mut lock = Lock::read(project.root())?;
    for name in &args.plugins {
        #[expect(clippy::disallowed_methods, reason = "the user's own file")]
        let bytes = std::fs::read(project.component(name)).map_err(|why| {
            Failure::refused(format!("{}: {why}", project.component(name).display()))
        })?;
        let digest = Digest::of(&bytes).to_string();
        lock.pin(name, &digest);
        eprintln!("{name} is {digest}");
    }
    Ok(lock.write(project.root())?)
}
