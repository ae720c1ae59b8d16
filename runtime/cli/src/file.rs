//! Files that users name: written whole or not at all, and read with their name in what goes wrong.

use std::fs::File;
use std::path::Path;

use crate::failure::Failure;

/// Writes a file beside its place, makes it durable, and puts it there: readers see all of it or what was there before.
#[expect(clippy::disallowed_methods, reason = "a user's own file is written")]
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(File) -> Result<File, Failure>,
) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let written = File::create(&beside)
        .map_err(Failure::from)
        .and_then(write)
        .and_then(|file| Ok(file.sync_all()?))
        .and_then(|()| Ok(std::fs::rename(&beside, path)?));
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The whole text of a user's file; `-` is stdin.
#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let text = match path == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => File::open(path).and_then(std::io::read_to_string),
    };
    text.map_err(|e| Failure::refused(format!("{}: {e}", path.display())))
}
