//! A savepoint opened beside the host: its commit log laid out in a folder of its own, which goes with it. The savepoint
//! stays as it is, and nobody else sees what is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use refrain_log::clock::SystemClock;
use refrain_log::ids::Sequence;
use refrain_log::storage::Storage;
use refrain_state::commit::{State, StateOptions};
use refrain_state::store::StoreOptions;

use super::folder::{Place, io};
use super::restore::{check, lay_commits};
use super::savepoint::named;
use crate::error::Result;
use crate::host::{Host, store_options};
use crate::versions::VersionName;
use crate::versions::components::Components;

/// Name of the folder, in the data folder. One at a time is opened.
const OPENED: &str = "opened";

/// An opened savepoint.
pub(crate) struct Opened {
    /// What nodes had come to.
    pub(crate) state: State,
    /// Its name.
    pub(crate) name: String,
    components: Components,
    _folder: Folder,
}

/// A folder that goes when this is dropped.
struct Folder {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left goes when the data folder is opened next, or with the next savepoint that is.
        let _ = self.storage.remove_dir_all(&self.path);
    }
}

/// Removes what a process that was killed has left.
pub(crate) fn clear(storage: &dyn Storage, data: &Path) -> Result<()> {
    let folder = data.join(OPENED);
    let gone = storage.remove_dir_all(&folder);
    gone.map_err(|e| io("remove", &folder, e))
}

/// Opens a savepoint of a data folder in a folder of its own, after a look at every byte of its commit log.
pub(crate) fn open(
    storage: &Arc<dyn Storage>,
    data: &Path,
    name: &str,
    path: PathBuf,
    store: StoreOptions,
) -> Result<Opened> {
    let place = Place {
        storage: &**storage,
        data,
    };
    let name = named(&place, name)?;
    let savepoint = place.read(&name)?;
    let saved = place.folder(&name);
    check(&place, &name, &savepoint.commits, &saved.join("commits"))?;
    let folder = Folder {
        storage: Arc::clone(storage),
        path,
    };
    let commits = folder.path.join("commits");
    lay_commits(&place, &savepoint, &saved, &commits)?;
    let options = StateOptions {
        store,
        ..StateOptions::default()
    };
    let clock = Arc::new(SystemClock);
    let (state, _) = State::open_with(Arc::clone(storage), clock, commits, options)?;
    state.check()?;
    Ok(Opened {
        state,
        name,
        components: Components::new(Arc::clone(storage), saved.join("components")),
        _folder: folder,
    })
}

impl Host {
    /// Opens a savepoint in the data folder. The caller keeps files, so that nobody removes it meanwhile.
    pub(crate) fn open_savepoint(&self, name: &str) -> Result<Opened> {
        let data = self.project().data();
        clear(&*self.storage, &data)?;
        let path = data.join(OPENED);
        let store = store_options(self.declaration(), &path);
        open(&self.storage, &data, name, path, store)
    }

    /// How far a node had got in a savepoint, in the version that had got furthest; none: it had no commit.
    pub(crate) fn saved_cut(&self, savepoint: &str, node: &str) -> Result<Option<Sequence>> {
        let data = self.project().data();
        let place = Place {
            storage: &*self.storage,
            data: &data,
        };
        let savepoint = place.read(&named(&place, savepoint)?)?;
        let its = savepoint.nodes.iter();
        let its = its.filter(|(name, _)| VersionName::parse(name).name == node);
        Ok(its.map(|(_, saved)| saved.cut).max())
    }
}

impl Opened {
    /// Brings components back that the host has not kept.
    pub(crate) fn give_components<'d>(
        &self,
        to: &Components,
        digests: impl Iterator<Item = &'d String>,
    ) -> Result<()> {
        for digest in digests {
            if to.get(digest).is_err() {
                to.keep(&self.components.get(digest)?)?;
            }
        }
        Ok(())
    }
}
