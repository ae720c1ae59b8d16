//! With what a receipt is proven: a log that is only read, components by digest, a folder for what is in between.

use std::path::{Path, PathBuf};

use refrain_engine::receipt::Receipt;
use refrain_engine::receipt::base::Base;
use refrain_engine::receipt::ground::Ground;
use refrain_engine::receipt::prove::{Components, Means, Proof, prove};

use crate::args::Global;
use crate::failure::Failure;
use crate::project;

/// How a receipt is proven.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MeansArgs {
    /// A component that is not in the project; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) component: Vec<PathBuf>,
    /// Folder in which a folder for the work is made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Worker threads [default: one a processor; of an audit one]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
}

/// The folder with the log: a project, or a copy of its data folder without a pipeline file.
pub(crate) fn root(global: &Global) -> Result<PathBuf, Failure> {
    match &global.project {
        Some(root) => Ok(root.clone()),
        None => Ok(project::find(global)?.root().to_owned()),
    }
}

impl MeansArgs {
    /// Components that were given.
    pub(crate) fn given(&self) -> Result<Components, Failure> {
        let mut components = Components::default();
        for path in &self.component {
            components.add(read(path)?);
        }
        Ok(components)
    }

    /// The folder for the folder in which it is executed.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Proves a receipt on the log in a folder, from the beginning or from a savepoint.
    pub(crate) fn prove(
        &self,
        root: &Path,
        receipt: &Receipt,
        base: Option<&str>,
    ) -> Result<Proof, Failure> {
        let open = |name| Base::open(root, name, &self.scratch());
        let base = base.map(open).transpose()?;
        self.with(root, &receipt.components(), |means| {
            Ok(prove(receipt, means, base.as_ref())?)
        })
    }

    /// Acts with the log in a folder and the components wanted.
    pub(crate) fn with<T>(
        &self,
        root: &Path,
        wanted: &[&str],
        act: impl FnOnce(&Means<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut components = Components::default();
        for path in &self.component {
            let digest = components.add(read(path)?);
            if !wanted.contains(&digest.as_str()) {
                return Err(Failure::refused(format!(
                    "{}: its digest is {digest}, and the receipt names {}",
                    path.display(),
                    wanted.join(", ")
                )));
            }
        }
        for note in components.gather(root, wanted) {
            eprintln!("note: {note}");
        }
        let ground = Ground::open(root)?;
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let scratch = self.scratch();
        act(&Means {
            ground: &ground,
            components: &components,
            cache: Some(project::cache()),
            scratch: &scratch,
            workers: self.workers.unwrap_or(workers).max(1),
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::refused(format!("{}: {e}", path.display())))
}
