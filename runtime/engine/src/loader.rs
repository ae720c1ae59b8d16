//! Components to plugins: one Wasm host for nodes with canonical NaNs, another for those without.

use std::path::PathBuf;

use refrain_plugin::fuel::FuelBook;
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
    /// The node whose fuel is counted, and the host of its instances once there is one.
    counted: Option<(String, Option<Host>)>,
}

impl Loader {
    /// With this folder for compiled code; none: compiled anew each time.
    pub fn new(cache: Option<PathBuf>) -> Loader {
        Loader {
            cache,
            canonical: None,
            free: None,
            counted: None,
        }
    }

    /// The same, and one that counts the fuel of this node's instances.
    pub fn counting(cache: Option<PathBuf>, node: &str) -> Loader {
        Loader {
            counted: Some((node.to_owned(), None)),
            ..Loader::new(cache)
        }
    }

    /// What the instances of the node have used whose fuel is counted.
    pub fn burnt(&self) -> Option<&FuelBook> {
        let (_, host) = self.counted.as_ref()?;
        host.as_ref()?.burnt()
    }

    /// Loads the component of a node, with what the node grants it.
    pub fn load_for(&mut self, node: &PlannedNode, bytes: &[u8]) -> Result<Plugin> {
        let words = node.grants.iter().map(String::as_str);
        let grants = Grants::parse(words).map_err(Error::Refused)?;
        if let Some((counted, host)) = &mut self.counted
            && *counted == node.name
        {
            let host = match host {
                Some(host) => host,
                None => host.insert(Host::new(HostOptions {
                    fuel: true,
                    ..options(self.cache.clone(), node.canonical_nans)
                })?),
            };
            return Ok(host.load_granting(&node.plugin, bytes, &grants)?);
        }
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
            None => place.insert(Host::new(options(self.cache.clone(), canonical_nans))?),
        };
        Ok(host.load_granting(name, bytes, grants)?)
    }
}

fn options(cache: Option<PathBuf>, canonical_nans: bool) -> HostOptions {
    HostOptions {
        cache,
        instances_max: INSTANCES_MAX,
        canonical_nans,
        ..HostOptions::default()
    }
}
