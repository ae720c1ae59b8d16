//! The engine of all plugins: compiled code, its cache, pooled instances, the clock of deadlines.

use std::path::PathBuf;
use std::sync::Arc;

use crate::about::About;
use crate::fault::{Fault, LoadError};
use crate::instance::{Instance, Limits};

/// BLAKE3 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// How plugins are run.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where compiled code is kept, by digest of component and settings; none: compiled anew each time.
    pub cache: Option<PathBuf>,
    /// Instances that may live at once.
    pub instances_max: u32,
    /// Make every NaN that guest arithmetic yields the same.
    pub canonical_nans: bool,
}

/// The engine of all plugins. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Host {
    _private: Arc<()>,
}

impl Host {
    /// Starts it.
    pub fn new(_options: HostOptions) -> Result<Host, LoadError> {
        todo!()
    }

    /// Loads a component: checks that it is one, that it exports `about` and `transform` or `fold` of a version we
    /// speak, that it imports nothing, compiles it or takes it from the cache, and asks it for its description.
    pub fn load(&self, _name: &str, _bytes: &[u8]) -> Result<Plugin, LoadError> {
        todo!()
    }
}

/// A loaded component. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plugin {
    _private: Arc<()>,
}

impl Plugin {
    /// What it says of itself.
    pub fn about(&self) -> &About {
        todo!()
    }

    /// Digest of its bytes.
    pub fn digest(&self) -> Digest {
        todo!()
    }

    /// A new instance, configured: every setting of [`About::settings`] by name, defaults filled in by the caller.
    pub fn instantiate(
        &self,
        _options: &[(String, String)],
        _limits: Limits,
    ) -> Result<Instance, Fault> {
        todo!()
    }
}
