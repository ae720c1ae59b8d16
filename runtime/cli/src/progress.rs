//! What is shown on a terminal while a command works: a bar, or a spinner where the end is not known. At most one at a
//! time; talk goes above it; it is gone before the command says what came of the work. Where stderr is no terminal,
//! nothing is shown.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner turns so often.
const TURN_EVERY: Duration = Duration::from_millis(100);
/// Work without a known length shows nothing before.
const PATIENCE: Duration = Duration::from_secs(1);

/// The one that is shown.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().expect("no holder of this lock panics")
}

/// Whether anybody would see it.
pub(crate) fn is_seen() -> bool {
    io::stderr().is_terminal()
}

/// Work under way. What it shows goes with it, however the work ends.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Wakes the thread that waits to show a spinner.
    _patience: Option<Sender<()>>,
}

impl Progress {
    /// Nothing.
    pub(crate) fn hidden() -> Progress {
        Progress {
            bar: ProgressBar::hidden(),
            _patience: None,
        }
    }

    /// A bar over rows.
    pub(crate) fn rows(total: u64) -> Progress {
        Progress::bar(
            total,
            "{bar:40} {human_pos}/{human_len} rows {per_sec} {eta}",
        )
    }

    /// A bar over bytes.
    pub(crate) fn bytes(total: u64) -> Progress {
        Progress::bar(
            total,
            "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        )
    }

    /// A count of rows that has no end.
    pub(crate) fn endless_rows() -> Progress {
        Progress::bar(0, "{spinner} {human_pos} rows {per_sec}")
    }

    /// A count of bytes that has no end known.
    pub(crate) fn endless_bytes() -> Progress {
        Progress::bar(0, "{spinner} {bytes} {bytes_per_sec}")
    }

    fn bar(total: u64, template: &str) -> Progress {
        if !is_seen() {
            return Progress::hidden();
        }
        let bar = styled(ProgressBar::new(total), template);
        *shown() = Some(bar.clone());
        bar.tick();
        Progress {
            bar,
            _patience: None,
        }
    }

    /// A spinner with what is being done and since when, once that has taken a second.
    pub(crate) fn spinner(what: &'static str) -> Progress {
        if !is_seen() {
            return Progress::hidden();
        }
        let bar = styled(ProgressBar::new_spinner(), "{spinner} {msg}, {elapsed}");
        let (patience, ended) = channel();
        let late = bar.clone();
        std::thread::spawn(move || {
            if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
                let mut place = shown();
                if !late.is_finished() {
                    *place = Some(late.clone());
                    late.set_message(what);
                    late.enable_steady_tick(TURN_EVERY);
                }
            }
        });
        Progress {
            bar,
            _patience: Some(patience),
        }
    }

    /// Whether anything is shown.
    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// So much is done.
    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// So much is done, of so much.
    pub(crate) fn at_of(&self, position: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.bar.is_hidden() {
            let mut place = shown();
            self.bar.finish_and_clear();
            place.take();
        }
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Says something on stderr, above what is shown. A stderr that takes nothing is no failure: what was done stays done
/// when nobody can hear of it.
pub(crate) fn say(text: &str) {
    let say = || {
        let _ = io::stderr().write_all(text.as_bytes());
    };
    // Not held while writing: who writes may be stopped for long.
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(say),
        None => say(),
    }
}

/// Where what the program notes in passing is written: each note in one piece, above what is shown.
pub(crate) struct Notes;

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
