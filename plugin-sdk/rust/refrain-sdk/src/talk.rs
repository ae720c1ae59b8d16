//! Lines for the log of the host, and a panic's last words.
//!
//! A release has no voice: it imports nothing, and what a plugin says is dropped by the compiler. `refrain dev`, and
//! `refrain plugin build --talk`, build it with the feature `talk`: then lines go through the import `logging`, and a panic
//! says its message and its line of source before the instance is gone. In tests lines go to stderr.

use std::fmt::Arguments;

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the author alone.
    Debug,
    /// For whoever looks.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// Whether a line is heard by anyone.
#[doc(hidden)]
pub const TALKS: bool = cfg!(feature = "talk") || !cfg!(target_arch = "wasm32");

/// Says a line, with the words of `format!`. It changes no result, and costs nothing in a release.
///
/// ```
/// use refrain_sdk::{Level, log};
/// let delay = 3;
/// log!(Level::Warn, "a delay of {delay}");
/// ```
#[macro_export]
macro_rules! log {
    ($level:expr, $($words:tt)*) => {
        if $crate::TALKS {
            $crate::say($level, ::std::format_args!($($words)*));
        }
    };
}

#[doc(hidden)]
pub fn say(level: Level, words: Arguments<'_>) {
    host::say(level, &words.to_string());
}

/// From now on a panic says what happened and where. Called once, before the first row.
pub(crate) fn listen() {
    host::listen();
}

#[cfg(all(feature = "talk", target_arch = "wasm32"))]
mod host {
    use std::sync::Once;

    use super::Level;
    use crate::bindings::talking_plugin::refrain::plugin::logging;

    pub(super) fn say(level: Level, text: &str) {
        let level = match level {
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
        };
        logging::log(level, text);
    }

    pub(super) fn listen() {
        static HEARD: Once = Once::new();
        HEARD.call_once(|| {
            std::panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string);
                let place = place.unwrap_or_default();
                let what = panic.payload_as_str().unwrap_or("a panic");
                say(Level::Error, &format!("{place}: {what}"));
            }));
        });
    }
}

#[cfg(not(all(feature = "talk", target_arch = "wasm32")))]
mod host {
    use super::Level;

    pub(super) fn say(level: Level, text: &str) {
        if super::TALKS {
            eprintln!("{level:?}: {text}");
        }
    }

    pub(super) fn listen() {}
}
