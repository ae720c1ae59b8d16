//! `refrain.lock`: which component each pinned plugin is, by BLAKE3. Where a plugin is pinned, no other bytes run under
//! its name; a new version is taken by pinning it.
//!
//! ```text
//! # Written by `refrain plugin add` and `refrain plugin lock`.
//! delays = "9f2c..."
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};

/// Name of the file in the folder of the project.
pub const LOCK_FILE: &str = "refrain.lock";

/// The pins of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    pins: BTreeMap<String, String>,
}

impl Lock {
    /// Reads the file; nothing is pinned where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, or says something else.
    #[expect(clippy::disallowed_methods, reason = "the user's own file")]
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(LOCK_FILE);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Io {
            action: "read",
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let pins = toml::from_str(text).map_err(|why| {
            Error::Refused(format!(
                "{LOCK_FILE}: {why}; write it with `refrain plugin lock NAME`"
            ))
        })?;
        Ok(Self { pins })
    }

    /// Pins a plugin to a digest.
    pub fn pin(&mut self, plugin: &str, digest: &str) {
        self.pins.insert(plugin.to_owned(), digest.to_owned());
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one is whole then.
    #[expect(clippy::disallowed_methods, reason = "the user's own file")]
    pub fn write(&self, root: &Path) -> Result<()> {
        let path = root.join(LOCK_FILE);
        let beside = root.join(format!("{LOCK_FILE}.new"));
        let written =
            std::fs::write(&beside, self.text()).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|source| Error::Io {
            action: "write",
            path: path.display().to_string(),
            source,
        })
    }

    fn text(&self) -> String {
        let mut text =
            String::from("# Written by `refrain plugin add` and `refrain plugin lock`.\n");
        for (plugin, digest) in &self.pins {
            let plugin = toml::Value::from(plugin.as_str());
            text.push_str(&format!("{plugin} = \"{digest}\"\n"));
        }
        text
    }

    /// Whether these bytes may run under this name; if not, what to do.
    ///
    /// # Errors
    /// The plugin is pinned to another digest.
    pub fn admit(&self, plugin: &str, bytes: &[u8]) -> Result<()> {
        let found = refrain_plugin::Digest::of(bytes).to_string();
        match self.pins.get(plugin) {
            Some(pinned) if *pinned != found => Err(Error::Refused(format!(
                "plugin {plugin} is {}, and {LOCK_FILE} pins {}: take the new one with `refrain plugin lock {plugin}`, or put the old one back",
                short(&found),
                short(pinned)
            ))),
            _ => Ok(()),
        }
    }
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut lock = Lock::default();
        lock.pin("delays", "00ff");
        lock.pin("plugins/a b.wasm", "1234");
        assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
        assert!(Lock::parse("delays = 3").is_err());
    }

    #[test]
    fn a_pinned_plugin_admits_its_bytes_only() {
        let mut lock = Lock::default();
        lock.admit("delays", b"one").unwrap();
        lock.pin("delays", &refrain_plugin::Digest::of(b"one").to_string());
        lock.admit("delays", b"one").unwrap();
        lock.admit("other", b"two").unwrap();
        let why = lock.admit("delays", b"two").unwrap_err().to_string();
        assert!(why.contains("refrain plugin lock delays"), "{why}");
    }
}
