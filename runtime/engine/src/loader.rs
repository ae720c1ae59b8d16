//! Components to plugins: one Wasm host for nodes with canonical NaNs, another for those without.

use std::path::PathBuf;

use refrain_plugin::{Grants, Host, HostOptions, Plugin};

use crate::error::{Error, Result};
use crate::pipeline::PlannedNode;

/// Instances of all plugins that may live at once.
const INSTANCES_MAX: u32 = 1000;

/// Loads components; compiled code is kept in a folder.
#[derive(Debug, Default)]
pub struct Loader {
    cache: Option<PathBuf>,
    canonical: Option<Host>,
    free: Option<Host>,
}

impl Loader {
    /// With this folder for compiled code; none: compiled anew each time.
    pub fn new(cache: Option<PathBuf>) -> Loader {
        Loader {
            cache,
            canonical: None,
            free: None,
        }
    }

    /// Loads the component of a node, with what the node grants it.
    pub fn load_for(&mut self, node: &PlannedNode, bytes: &[u8]) -> Result<Plugin> {
        let words = node.grants.iter().map(String::as_str);
        let grants = Grants::parse(words).map_err(Error::Refused)?;
        self.load(&node.plugin, bytes, node.canonical_nans, &grants)
    }

    /// Loads a component under a name.
    pub fn load(
        &mut self,
        name: &str,
        bytes: &[u8],
        canonical_nans: bool,
        grants: &Grants,
    ) -> Result<Plugin> {
        let place = match canonical_nans {
            true => &mut self.canonical,
            false => &mut self.free,
        };
        let host = match place {
            Some(host) => host,
            None => place.insert(Host::new(HostOptions {
                cache: self.cache.clone(),
                instances_max: INSTANCES_MAX,
                canonical_nans,
            })?),
        };
        Ok(host.load_granting(name, bytes, grants)?)
    }
}
