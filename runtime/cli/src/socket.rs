//! The control socket in the data folder: every other command reaches a running host through it.
//!
//! Appends of one connection are handed to the log in the order in which they come and are answered in that order, several
//! under way at once. A malformed frame is answered with what is wrong, and ends that connection only.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use refrain_engine::host::Host;
use refrain_engine::request::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::failure::{Failure, REFUSED};
use crate::wire::{self, FRAME_BYTES_MAX};

/// Requests of one connection under way at once.
const UNDER_WAY_MAX: usize = 8;

/// Longest path that the system takes for a socket, with room to spare.
const PATH_BYTES_MAX: usize = 100;

/// A path that is short enough for a socket: through an open folder when its own is too long. The folder stays open as
/// long as the path is used.
#[expect(
    clippy::disallowed_methods,
    reason = "a folder is opened for its number, nothing is read"
)]
fn short(path: &Path) -> std::io::Result<(PathBuf, Option<File>)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((path.to_path_buf(), None));
    };
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path.to_path_buf(), None));
    }
    let folder = File::open(folder)?;
    let number = folder.as_raw_fd();
    Ok((
        Path::new("/proc/self/fd")
            .join(number.to_string())
            .join(name),
        Some(folder),
    ))
}

/// Takes the socket's place: the caller holds the folder's lock, so that what is there is left over.
#[expect(clippy::disallowed_methods, reason = "a socket is no stored data")]
pub(crate) fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let told = |e: std::io::Error| Failure::new(1, format!("socket {}: {e}", path.display()));
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(told(e)),
        _ => {}
    }
    let (short, _folder) = short(path).map_err(told)?;
    UnixListener::bind(short).map_err(told)
}

/// Serves connections until the task is dropped.
pub(crate) async fn serve(listener: UnixListener, host: Arc<Host>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&host)));
            }
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, host: Arc<Host>) {
    let (reader, writer) = stream.into_split();
    let (queue, answers) = mpsc::channel(UNDER_WAY_MAX);
    let answering = tokio::spawn(answer(writer, answers));
    if let Err(error) = take(reader, &host, &queue).await {
        let message = format!("{error}; the connection is closed");
        let refusal = tokio::spawn(async move {
            Response::Refused {
                message,
                code: REFUSED,
            }
        });
        // The peer may be gone; then nobody is to be told.
        let _ = queue.send(refusal).await;
    }
    drop(queue);
    let _ = answering.await;
}

/// Takes requests off the socket and sets them under way.
async fn take(
    mut reader: OwnedReadHalf,
    host: &Arc<Host>,
    queue: &mpsc::Sender<JoinHandle<Response>>,
) -> Result<(), String> {
    while let Some(frame) = read_frame(&mut reader).await? {
        let request: Request = wire::decode(&frame).map_err(|e| e.to_string())?;
        let host = Arc::clone(host);
        let answer = match request {
            append @ Request::Append { .. } => submitted(host, append).await,
            request => tokio::task::spawn_blocking(move || host.handle(request)),
        };
        if queue.send(answer).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Hands an append to the log now, and waits for it elsewhere.
async fn submitted(host: Arc<Host>, append: Request) -> JoinHandle<Response> {
    let pending = tokio::task::spawn_blocking(move || host.submit(append)).await;
    tokio::task::spawn_blocking(move || match pending {
        Ok(pending) => {
            let appended = pending.and_then(|p| Ok(p.wait()?));
            appended.map_or_else(|e| refusal(&e), Response::Appended)
        }
        Err(panic) => Response::Refused {
            message: panic.to_string(),
            code: 1,
        },
    })
}

fn refusal(error: &refrain_engine::Error) -> Response {
    Response::Refused {
        message: error.to_string(),
        code: refrain_engine::answer::exit_code(error),
    }
}

/// Writes answers in the order of the requests.
async fn answer(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<JoinHandle<Response>>) {
    while let Some(answer) = answers.recv().await {
        let response = answer.await.unwrap_or_else(|panic| Response::Refused {
            message: format!("the request failed: {panic}"),
            code: 1,
        });
        let frame = wire::encode(response).or_else(|e| {
            wire::encode(Response::Refused {
                message: e.to_string(),
                code: REFUSED,
            })
        });
        let Ok(frame) = frame else { return };
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// One frame; `None` when the peer is done.
async fn read_frame(reader: &mut OwnedReadHalf) -> Result<Option<Vec<u8>>, String> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length).await {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e.to_string()),
    }
    let length = checked_length(length)?;
    // Grows with what comes, not with what is announced.
    let mut frame = Vec::new();
    let read = reader.take(length).read_to_end(&mut frame).await;
    match read {
        Ok(read) if read as u64 == length => Ok(Some(frame)),
        Ok(_) => Err("malformed frame: it ends too early".into()),
        Err(e) => Err(e.to_string()),
    }
}

fn checked_length(length: [u8; 4]) -> Result<u64, String> {
    let length = u32::from_le_bytes(length);
    if length as usize > FRAME_BYTES_MAX {
        return Err(format!(
            "malformed frame: {length} bytes announced, {FRAME_BYTES_MAX} is the limit"
        ));
    }
    Ok(u64::from(length))
}

/// A command's end of the socket.
pub(crate) struct Client(StdStream);

impl Client {
    /// Connects to a running host.
    pub(crate) fn connect(path: &Path) -> std::io::Result<Self> {
        let (short, _folder) = short(path)?;
        StdStream::connect(short).map(Self)
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, request: Request) -> Result<(), Failure> {
        let frame = wire::encode(request).map_err(|e| Failure::refused(e.to_string()))?;
        self.0.write_all(&frame).map_err(|e| gone(&e))
    }

    /// The answer to the oldest request that has none yet.
    pub(crate) fn receive(&mut self) -> Result<Response, Failure> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).map_err(|e| gone(&e))?;
        let length = checked_length(length).map_err(|e| Failure::new(1, e))?;
        let mut frame = Vec::new();
        let read = (&self.0)
            .take(length)
            .read_to_end(&mut frame)
            .map_err(|e| gone(&e))?;
        if read as u64 != length {
            return Err(gone(&std::io::ErrorKind::UnexpectedEof.into()));
        }
        wire::decode(&frame).map_err(|e| Failure::new(1, e.to_string()))
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        self.send(request)?;
        self.receive()
    }
}

fn gone(error: &std::io::Error) -> Failure {
    Failure::new(
        1,
        format!("the running host went away ({error}); run the command again"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a folder of the test")]
    fn a_long_path_is_reached_through_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        let (short, _folder) = short(&path).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(short).unwrap();
        assert!(path.exists());
        assert!(Client::connect(&path).is_ok());
    }

    #[test]
    fn an_announced_length_has_a_limit() {
        assert!(checked_length(u32::MAX.to_le_bytes()).is_err());
        assert_eq!(checked_length(7_u32.to_le_bytes()), Ok(7));
    }
}
