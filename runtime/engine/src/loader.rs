//! Components to plugins: one Wasm host for nodes with canonical NaNs, another for those without.

use std::path::PathBuf;

use refrain_plugin::{Host, HostOptions, Plugin};

use crate::error::Result;

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

    /// Loads a component under a name.
    pub fn load(&mut self, name: &str, bytes: &[u8], canonical_nans: bool) -> Result<Plugin> {
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
        Ok(host.load(name, bytes)?)
    }
}
