//! Names of files and folders on the disk in memory: as they are now, as they are after a power cut for certain, and the
//! changes from the one to the other.
//!
//! What a file system promises, and no more: a change of names is durable when the folder that it is in was synced after
//! it, changes of one name keep their order, a rename within a folder happens as a whole or not at all. Of all other changes
//! a power cut keeps some, whatever came first.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::random::Random;

/// Names of files, each with the number of its file, and folders.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// Numbered in the order in which they were made.
    pending: Vec<(u64, Change)>,
    changes: u64,
    /// Whether each is durable.
    folders: BTreeMap<PathBuf, bool>,
    /// Folders that were removed, not durably, and how many changes there were then.
    gone: BTreeMap<PathBuf, u64>,
}

/// One act: names with the files that they stand for from now on.
type Change = Vec<(PathBuf, Option<u64>)>;

impl Names {
    /// The file of this name.
    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        let found = self.now.get(path).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Refuses a name that is taken, or that is in no folder.
    pub(super) fn check_free(&self, path: &Path) -> io::Result<()> {
        match self.now.contains_key(path) || self.folders.contains_key(path) {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => self.check_parent(path),
        }
    }

    /// Refuses a name in a folder that is not there.
    pub(super) fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !self.is_folder(parent) => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    /// The first folder of a path is always there.
    fn is_folder(&self, path: &Path) -> bool {
        path == Path::new(".") || path.parent().is_none() || self.folders.contains_key(path)
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.now.keys().cloned().collect()
    }

    /// Every file that has a name, or may have one after a power cut.
    pub(super) fn named(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().flat_map(|(_, change)| change);
        let pending = pending.filter_map(|(_, id)| *id);
        let sure = self.now.values().chain(self.durable.values()).copied();
        sure.chain(pending).collect()
    }

    /// What is in a folder.
    pub(super) fn list(&self, folder: &Path) -> Vec<String> {
        let all = self.now.keys().chain(self.folders.keys());
        let inside = all.filter_map(|name| name.strip_prefix(folder).ok()?.components().next());
        let names: BTreeSet<String> = inside
            .map(|first| first.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.into_iter().collect()
    }

    /// Changes names in one act.
    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.changes += 1;
        self.pending.push((self.changes, change));
    }

    pub(super) fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        self.check_free(path)?;
        self.folders.insert(path.to_owned(), false);
        Ok(())
    }

    /// Removes a folder with all in it.
    pub(super) fn remove_folder(&mut self, path: &Path) {
        let inside: Vec<PathBuf> = self
            .now
            .keys()
            .filter(|name| name.starts_with(path))
            .cloned()
            .collect();
        for name in inside {
            self.change(vec![(name, None)]);
        }
        let (gone, left): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.folders)
            .into_iter()
            .partition(|(folder, _)| folder.starts_with(path));
        self.folders = left;
        let durable = gone.into_iter().filter(|(_, durable)| *durable);
        self.gone
            .extend(durable.map(|(folder, _)| (folder, self.changes)));
    }

    /// Makes the names in one folder durable.
    pub(super) fn sync(&mut self, folder: &Path) -> io::Result<()> {
        if !self.is_folder(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gone: Vec<(PathBuf, u64)> = {
            let all = self.gone.iter().filter(|(path, _)| is_in(path, folder));
            all.map(|(path, number)| (path.clone(), *number)).collect()
        };
        for (number, change) in &mut self.pending {
            // A folder that is gone for good has nothing in it.
            let of_gone = |name: &Path| {
                gone.iter()
                    .any(|(path, last)| *number <= *last && name.starts_with(path))
            };
            let (synced, left): (Change, Change) = std::mem::take(change)
                .into_iter()
                .partition(|(name, _)| is_in(name, folder) || of_gone(name));
            apply(&mut self.durable, &synced);
            *change = left;
        }
        self.pending.retain(|(_, change)| !change.is_empty());
        for (path, durable) in &mut self.folders {
            *durable |= is_in(path, folder);
        }
        let inside = |path: &Path| gone.iter().any(|(outer, _)| path.starts_with(outer));
        self.gone.retain(|path, _| !inside(path));
        Ok(())
    }

    /// A power cut: of what was not synced some is kept.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let kept = *[0, 30, 50, 70, 100]
            .get(random.below(5))
            .expect("one of five");
        let mut lost: BTreeSet<PathBuf> = BTreeSet::new();
        for (_, change) in std::mem::take(&mut self.pending) {
            let behind = change.iter().any(|(name, _)| lost.contains(name));
            match !behind && random.below(100) < kept {
                true => apply(&mut self.durable, &change),
                false => lost.extend(change.into_iter().map(|(name, _)| name)),
            }
        }
        self.crash_folders(random);
        self.now = self.durable.clone();
    }

    /// A folder whose name is lost takes everything in it along.
    fn crash_folders(&mut self, random: &mut Random) {
        let unsure = self.folders.iter().filter(|(_, durable)| !**durable);
        let unsure: Vec<PathBuf> = unsure.map(|(path, _)| path.clone()).collect();
        for path in unsure {
            if random.below(2) == 0 {
                self.folders.retain(|inside, _| !inside.starts_with(&path));
                self.durable.retain(|inside, _| !inside.starts_with(&path));
            }
        }
        let gone = std::mem::take(&mut self.gone);
        let back = gone.into_keys().filter(|_| random.below(2) == 0);
        let holds = self.durable.keys().filter_map(|name| name.parent());
        let there: Vec<PathBuf> = back
            .chain(holds.map(Path::to_owned))
            .flat_map(|folder| folder.ancestors().map(Path::to_owned).collect::<Vec<_>>())
            .filter(|folder| folder.parent().is_some())
            .collect();
        self.folders
            .extend(there.into_iter().map(|folder| (folder, true)));
        self.folders
            .values_mut()
            .for_each(|durable| *durable = true);
    }
}

fn is_in(path: &Path, folder: &Path) -> bool {
    path.parent().is_some_and(|parent| {
        parent == folder || parent.as_os_str().is_empty() && folder == Path::new(".")
    })
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &[(PathBuf, Option<u64>)]) {
    for (name, id) in change {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What names may be left of these acts, over many power cuts.
    fn outcomes(act: impl Fn(&mut Names)) -> BTreeSet<Vec<String>> {
        let left = |seed| {
            let mut names = Names::default();
            act(&mut names);
            names.crash(&mut Random::new(seed));
            let files = names.now.iter();
            files
                .map(|(path, id)| format!("{} {id}", path.display()))
                .collect()
        };
        (0..400).map(left).collect()
    }

    fn sets(expected: &[&[&str]]) -> BTreeSet<Vec<String>> {
        let set = |names: &&[&str]| names.iter().map(ToString::to_string).collect();
        expected.iter().map(set).collect()
    }

    fn folders(names: &mut Names) {
        for folder in ["a", "b"] {
            names.make_folder(Path::new(folder)).unwrap();
        }
        names.sync(Path::new(".")).unwrap();
    }

    #[test]
    fn names_are_kept_in_any_order_and_by_folder() {
        let made = |names: &mut Names| {
            folders(names);
            names.change(vec![("a/1".into(), Some(1))]);
            names.change(vec![("b/2".into(), Some(2))]);
            names.change(vec![("a/3".into(), Some(3))]);
        };
        let all: [&[&str]; 8] = [
            &[],
            &["a/1 1"],
            &["b/2 2"],
            &["a/3 3"],
            &["a/1 1", "b/2 2"],
            &["a/1 1", "a/3 3"],
            &["a/3 3", "b/2 2"],
            &["a/1 1", "a/3 3", "b/2 2"],
        ];
        assert_eq!(outcomes(made), sets(&all));
        let synced = outcomes(|names| {
            made(names);
            names.sync(Path::new("a")).unwrap();
        });
        assert_eq!(
            synced,
            sets(&[&["a/1 1", "a/3 3"], &["a/1 1", "a/3 3", "b/2 2"]])
        );
    }

    #[test]
    fn a_rename_is_whole_and_changes_of_a_name_keep_their_order() {
        let left = outcomes(|names| {
            folders(names);
            names.change(vec![("a/1".into(), Some(1))]);
            names.sync(Path::new("a")).unwrap();
            names.change(vec![("a/1".into(), None), ("a/2".into(), Some(1))]);
            names.change(vec![("a/2".into(), Some(3))]);
        });
        assert_eq!(left, sets(&[&["a/1 1"], &["a/2 1"], &["a/2 3"]]));
    }

    #[test]
    fn a_folder_that_was_not_synced_may_be_gone_with_all_in_it() {
        let left = outcomes(|names| {
            names.make_folder(Path::new("a")).unwrap();
            names.change(vec![("a/1".into(), Some(1))]);
            names.sync(Path::new("a")).unwrap();
        });
        assert_eq!(left, sets(&[&[], &["a/1 1"]]));
    }

    #[test]
    fn a_removed_folder_may_come_back_with_some_of_it() {
        let left = outcomes(|names| {
            folders(names);
            names.change(vec![("a/1".into(), Some(1))]);
            names.change(vec![("a/2".into(), Some(2))]);
            names.sync(Path::new("a")).unwrap();
            names.remove_folder(Path::new("a"));
            assert!(names.list(Path::new("")).iter().eq(["b"]));
        });
        assert_eq!(
            left,
            sets(&[&[], &["a/1 1"], &["a/2 2"], &["a/1 1", "a/2 2"]])
        );
        let synced = outcomes(|names| {
            folders(names);
            names.change(vec![("a/1".into(), Some(1))]);
            names.sync(Path::new("a")).unwrap();
            names.remove_folder(Path::new("a"));
            names.sync(Path::new(".")).unwrap();
        });
        assert_eq!(synced, sets(&[&[]]));
    }
}
