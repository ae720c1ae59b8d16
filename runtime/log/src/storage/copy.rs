//! Copying the beginning of a file, for a file that goes on being written and for what is to go its own way.

use std::io;
use std::path::Path;

use super::Storage;

const STEP_BYTES: u64 = 1 << 20;

/// Copies the first `bytes` bytes of a file into a new one, durably but for its name. `UnexpectedEof` when there are
/// fewer; the new file is then to be removed by the caller.
pub fn copy(storage: &dyn Storage, from: &Path, to: &Path, bytes: u64) -> io::Result<()> {
    let source = storage.open(from)?;
    let target = storage.create(to)?;
    target.allocate(bytes)?;
    let mut buffer = vec![0; STEP_BYTES.min(bytes) as usize];
    let mut position = 0;
    while position < bytes {
        let wanted = (bytes - position).min(STEP_BYTES) as usize;
        let read = source.read_at(position, &mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_at(position, &[&buffer[..read]])?;
        position += read as u64;
    }
    target.sync()
}
