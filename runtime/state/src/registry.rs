//! The registry: named texts that change with commits and are kept for ever, such as which versions of a node there are
//! and who reads which. What they mean is the engine's affair.
//!
//! Unlike states and views, the registry cannot be computed again from the topics: it holds decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A change of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its text from now on; none: it is gone.
    pub text: Option<String>,
}

/// What [`crate::commit::State::decide`] is to write.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Entries that change.
    pub entries: Vec<Entry>,
    /// Nodes whose state, view and last commit are forgotten in the same commit.
    pub forget: Vec<String>,
}

/// All entries as of one commit. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    entries: Arc<BTreeMap<String, Arc<str>>>,
    changed: u64,
}

impl Registry {
    /// The text of an entry.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|text| &**text)
    }

    /// All entries, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, text)| (&**name, &**text))
    }

    /// Number of the commit that changed it last; 0: none did. Equal numbers of one host mean equal registries.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// Brings it to a commit.
    pub(crate) fn apply(&mut self, commit: u64, changes: Vec<Entry>) {
        if changes.is_empty() {
            return;
        }
        let entries = Arc::make_mut(&mut self.entries);
        for Entry { name, text } in changes {
            match text {
                Some(text) => entries.insert(name, text.into()),
                None => entries.remove(&name),
            };
        }
        self.changed = commit;
    }
}
