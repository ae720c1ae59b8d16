//! Compiled code, kept on disk. The one room of this crate with unsafe code.
//!
//! # Contract
//!
//! wasmtime runs the bytes that it is given here as they are: whoever can write to the cache folder can run code in
//! this process, just as whoever can replace the program's own file. The folder belongs to the user who runs the host.
//!
//! Against mistakes, not against attackers: a file's name says which component and which engine (version, settings,
//! kind of CPU) it is for, and its head is a BLAKE3 over both and the code. A file that was torn, rotted, renamed or
//! written by another version does not match, and is compiled again and replaced.
//!
//! ```text
//! <component digest>-<engine digest>.compiled
//! 0    8       40                  end
//! | magic | blake3 | compiled code |
//! ```

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::host::Digest;

const MAGIC: &[u8; 8] = b"rfcode1\n";
const HEAD_BYTES: usize = MAGIC.len() + blake3::OUT_LEN;

/// The component's code: from the cache when it is there and sound, compiled (and kept) otherwise.
pub(crate) fn component(
    engine: &Engine,
    cache: Option<&Path>,
    digest: Digest,
    bytes: &[u8],
) -> wasmtime::Result<Component> {
    let Some(cache) = cache else {
        return Component::from_binary(engine, bytes);
    };
    let key = Key::new(engine, digest);
    let path = key.path(cache);
    if let Some(component) = key.load(engine, &path) {
        return Ok(component);
    }
    let component = Component::from_binary(engine, bytes)?;
    match component.serialize() {
        Ok(code) => {
            keep(cache, &path, &key.sealed(&code));
            tidy(cache);
        }
        Err(error) => tracing::warn!("compiled code cannot be kept: {error}"),
    }
    Ok(component)
}

/// Whether its code is in the cache.
pub(crate) fn is_kept(engine: &Engine, cache: Option<&Path>, digest: Digest) -> bool {
    cache.is_some_and(|cache| Key::new(engine, digest).path(cache).is_file())
}

/// What a cached file is for.
struct Key {
    component: Digest,
    engine: Digest,
}

impl Key {
    fn new(engine: &Engine, component: Digest) -> Self {
        let mut hasher = EngineHasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self {
            component,
            engine: Digest(*hasher.0.finalize().as_bytes()),
        }
    }

    fn path(&self, cache: &Path) -> PathBuf {
        let engine = self.engine.to_string();
        cache.join(format!("{}-{}.compiled", self.component, &engine[..16]))
    }

    fn seal(&self, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.component.0);
        hasher.update(&self.engine.0);
        hasher.update(code);
        hasher.finalize()
    }

    fn sealed(&self, code: &[u8]) -> Vec<u8> {
        let mut file = Vec::with_capacity(HEAD_BYTES + code.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(self.seal(code).as_bytes());
        file.extend_from_slice(code);
        file
    }

    /// The code inside a file that was sealed under this key, whole.
    fn opened<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let (head, code) = file.split_at_checked(HEAD_BYTES)?;
        let sound = head.starts_with(MAGIC) && self.seal(code) == *head.last_chunk::<32>()?;
        sound.then_some(code)
    }

    fn load(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let file = read(path)?;
        touch(path);
        let Some(code) = self.opened(&file) else {
            tracing::warn!("{} is damaged and is compiled again", path.display());
            return None;
        };
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!("{}: {error}", path.display()))
            .ok()
    }
}

#[expect(
    unsafe_code,
    reason = "compiled code is machine code: running it is trusting it"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Component::serialize` gave for this component under an engine with this compatibility
    // hash: its BLAKE3, taken with both digests, was checked by `Key::opened` just now. Who may write to the folder is
    // the contract of this module.
    unsafe { Component::deserialize(engine, code) }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a cache that is checked on reading and can always be made again"
)]
fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// Puts the file in its place whole or not at all. Failing costs the next start a compilation, nothing else.
fn keep(cache: &Path, path: &Path, file: &[u8]) {
    if let Err(error) = replace(cache, path, file) {
        tracing::warn!(
            "compiled code cannot be kept in {}: {error}",
            cache.display()
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a cache that is checked on reading and can always be made again"
)]
fn replace(cache: &Path, path: &Path, file: &[u8]) -> std::io::Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(cache)?;
    let own = format!(
        ".{}-{}.new",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let new = cache.join(own);
    let done = std::fs::write(&new, file).and_then(|()| std::fs::rename(&new, path));
    if done.is_err() {
        // Nothing to add to the first error.
        let _ = std::fs::remove_file(&new);
    }
    done
}

/// Bytes of compiled code that the folder keeps.
const CACHE_BYTES_MAX: u64 = 1 << 30;
/// What was not used for longer than this goes.
const CACHE_AGE_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Notes that a file was used, by its time of change. Failing costs a compilation some day, nothing else.
#[expect(
    clippy::disallowed_methods,
    reason = "a cache that can always be made again; its age decides no result"
)]
fn touch(path: &Path) {
    let file = std::fs::OpenOptions::new().append(true).open(path);
    let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes what was not used for long, and beyond the limit what was used longest ago. A host that has loaded such a file
/// keeps its code; one that is about to load it compiles again.
#[expect(
    clippy::disallowed_methods,
    reason = "a cache that can always be made again; its age decides no result"
)]
fn tidy(cache: &Path) {
    let Ok(entries) = std::fs::read_dir(cache) else {
        return;
    };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = path
            .extension()
            .is_some_and(|e| e == "compiled" || e == "new");
        if let (true, Ok(meta)) = (ours, entry.metadata()) {
            let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
            files.push((age.unwrap_or_default(), meta.len(), path));
        }
    }
    for path in outlived(files, CACHE_BYTES_MAX, CACHE_AGE_MAX) {
        // Another host may have been faster.
        let _ = std::fs::remove_file(path);
    }
}

/// Which files go, of files with their age and their bytes.
fn outlived<P: Ord>(
    mut files: Vec<(Duration, u64, P)>,
    bytes_max: u64,
    age_max: Duration,
) -> Vec<P> {
    files.sort();
    let mut bytes = 0_u64;
    let goes = |(age, length, path): (Duration, u64, P)| {
        bytes = bytes.saturating_add(length);
        (age > age_max || bytes > bytes_max).then_some(path)
    };
    files.into_iter().filter_map(goes).collect()
}

/// BLAKE3 behind the standard trait, for what only offers [`Hash`].
struct EngineHasher(blake3::Hasher);

impl Hasher for EngineHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of the test")]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            component: Digest([1; 32]),
            engine: Digest([2; 32]),
        }
    }

    #[test]
    fn what_is_old_goes_and_then_what_was_used_longest_ago() {
        let day = |n: u64| Duration::from_secs(86_400 * n);
        let files = vec![
            (day(5), 40, 'c'),
            (day(1), 30, 'a'),
            (day(99), 1, 'e'),
            (day(3), 50, 'b'),
            (day(6), 10, 'd'),
        ];
        assert_eq!(outlived(files.clone(), 100, day(90)), ['c', 'd', 'e']);
        assert_eq!(outlived(files.clone(), 1000, day(4)), ['c', 'd', 'e']);
        assert_eq!(outlived(files.clone(), 1000, day(100)), Vec::<char>::new());
        assert_eq!(outlived(files, 0, day(100)).len(), 5);
    }

    #[test]
    fn a_cache_is_tidied_and_leaves_strangers_alone() {
        let folder = std::env::temp_dir().join(format!("refrain-tidy-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["a.compiled", "b.compiled", "notes.txt"] {
            std::fs::write(folder.join(name), b"x").unwrap();
        }
        let old = SystemTime::now() - CACHE_AGE_MAX * 2;
        for name in ["a.compiled", "b.compiled", "notes.txt"] {
            let file = std::fs::OpenOptions::new()
                .append(true)
                .open(folder.join(name))
                .unwrap();
            file.set_modified(old).unwrap();
        }
        touch(&folder.join("b.compiled"));
        tidy(&folder);
        let there = |name: &str| folder.join(name).exists();
        assert!(!there("a.compiled") && there("b.compiled") && there("notes.txt"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_alone() {
        let file = key().sealed(b"code");
        assert_eq!(key().opened(&file), Some(&b"code"[..]));
        let other = Key {
            engine: Digest([3; 32]),
            ..key()
        };
        assert_eq!(other.opened(&file), None);
    }

    #[test]
    fn any_flipped_bit_and_any_missing_tail_is_seen() {
        let file = key().sealed(b"some code");
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key().opened(&damaged), None, "bit {bit}");
        }
        for len in 0..file.len() {
            assert_eq!(key().opened(&file[..len]), None, "length {len}");
        }
    }
}
