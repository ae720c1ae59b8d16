//! What a plugin says beside its answers: lines for the log of the host. They change no result, no digest knows them, and
//! of many only some are told.

use std::sync::Arc;

use crate::lines::Lines;

/// Lines that are told of one call; of the others their number.
const LINES_MAX: u32 = 16;
/// Bytes that are told of one line.
const LINE_BYTES_MAX: usize = 1 << 10;
/// Bytes of last words that a fault has.
const LAST_BYTES_MAX: usize = 2 << 10;

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loudness {
    Debug,
    Info,
    Warn,
    Error,
}

/// The voice of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    plugin: Arc<str>,
    /// Begun lines of output and of errors.
    begun: [Vec<u8>; 2],
    told: u32,
    untold: u64,
    /// What was said loudly in this call.
    last: String,
    /// Where it knows its lines of source.
    lines: Option<Arc<Lines>>,
}

impl Voice {
    pub(crate) fn of(plugin: &str, lines: Option<Arc<Lines>>) -> Voice {
        Voice {
            plugin: plugin.into(),
            begun: [Vec::new(), Vec::new()],
            told: 0,
            untold: 0,
            last: String::new(),
            lines,
        }
    }

    /// A call ended in a trap: its line is the last word, unless the plugin has said it itself. The innermost place first.
    pub(crate) fn fell(&mut self, trace: &[usize]) {
        let place = self.lines.as_ref().and_then(|lines| lines.place(trace));
        if let Some(place) = place.filter(|place| !self.last.contains(&format!("{place}:"))) {
            self.line(Loudness::Error, &format!("it trapped at {place}"));
        }
    }

    /// A call begins.
    pub(crate) fn call(&mut self) {
        if self.untold > 0 {
            let (plugin, untold) = (&*self.plugin, self.untold);
            tracing::warn!(
                plugin,
                "{untold} more lines of the call before are not told"
            );
        }
        (self.told, self.untold) = (0, 0);
        self.last.clear();
    }

    /// Bytes of a stream: errors are loud.
    pub(crate) fn stream(&mut self, errors: bool, bytes: &[u8]) {
        let loudness = if errors {
            Loudness::Warn
        } else {
            Loudness::Info
        };
        let place = usize::from(errors);
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.begun[place]);
                self.line(loudness, &String::from_utf8_lossy(&line));
            } else if self.begun[place].len() < LINE_BYTES_MAX {
                self.begun[place].push(byte);
            }
        }
    }

    /// A whole message.
    pub(crate) fn line(&mut self, loudness: Loudness, text: &str) {
        let text = shortened(text, LINE_BYTES_MAX);
        if matches!(loudness, Loudness::Warn | Loudness::Error)
            && self.last.len() + text.len() < LAST_BYTES_MAX
        {
            if !self.last.is_empty() {
                self.last.push('\n');
            }
            self.last.push_str(text);
        }
        if self.told >= LINES_MAX {
            self.untold += 1;
            return;
        }
        self.told += 1;
        let plugin = &*self.plugin;
        match loudness {
            Loudness::Debug => tracing::debug!(plugin, "{text}"),
            Loudness::Info => tracing::info!(plugin, "{text}"),
            Loudness::Warn => tracing::warn!(plugin, "{text}"),
            Loudness::Error => tracing::error!(plugin, "{text}"),
        }
    }

    /// What was said loudly in the call that is over, a line that was not ended included.
    pub(crate) fn last_words(&mut self) -> String {
        let begun = std::mem::take(&mut self.begun[1]);
        if !begun.is_empty() {
            self.line(Loudness::Warn, &String::from_utf8_lossy(&begun));
        }
        std::mem::take(&mut self.last)
    }
}

/// The first bytes of a text, at most so many.
fn shortened(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev();
    let end = end.into_iter().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_lines_are_last_words_and_each_call_has_its_own() {
        let mut voice = Voice::of("p", None);
        voice.stream(false, b"quiet\n");
        voice.stream(true, b"one\ntw");
        voice.stream(true, b"o\nthree");
        assert_eq!(voice.last_words(), "one\ntwo\nthree");
        voice.line(Loudness::Error, "four");
        voice.call();
        assert_eq!(voice.last_words(), "");
    }

    #[test]
    fn what_is_said_without_end_is_bounded() {
        let mut voice = Voice::of("p", None);
        for _ in 0..10_000 {
            voice.stream(true, "é".repeat(700).as_bytes());
            voice.stream(true, b"\n");
        }
        assert_eq!(
            (voice.told, voice.untold),
            (LINES_MAX, 10_000 - u64::from(LINES_MAX))
        );
        assert!(voice.last.len() <= LAST_BYTES_MAX);
        assert_eq!(shortened("aé", 2), "a");
    }
}
