//! When a node runs: the rhythms, as a pipeline file writes them, and how long each may let a row wait. A rhythm decides
//! when results are there and what they cost, never what they are.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cron::Cron;
use super::units;

/// When a node runs.
#[expect(clippy::large_enum_variant, reason = "a node has one")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// At start, over what is there then.
    Once,
    /// Every so many microseconds.
    Every(i64),
    /// At the times of a calendar.
    Cron(Cron),
    /// All the time.
    Continuous,
}

/// What a rhythm looks like, for messages.
pub const RHYTHM_HELP: &str =
    "write \"auto\", \"continuous\", \"every 1m\", \"once\", or a cron time such as \"0 2 * * *\"";

impl Rhythm {
    /// Reads a rhythm; `auto` is not one of them, since it stands for another.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Rhythm, RhythmError> {
        let text = text.trim();
        match text {
            "continuous" => return Ok(Rhythm::Continuous),
            "once" => return Ok(Rhythm::Once),
            _ => {}
        }
        if let Some(every) = text.strip_prefix("every ") {
            let us = units::duration_us(every).filter(|us| *us > 0);
            return us.map(Rhythm::Every).ok_or_else(|| RhythmError {
                message: format!("`{text}` is no rhythm"),
                help: units::DURATION_HELP.into(),
            });
        }
        if text.split_whitespace().count() >= 4 || text.starts_with('@') {
            return Cron::parse(text).map(Rhythm::Cron);
        }
        Err(RhythmError {
            message: format!("`{text}` is no rhythm"),
            help: RHYTHM_HELP.into(),
        })
    }

    /// The longest that a row waits for a pass to begin, in microseconds. None: nobody knows, as of `once`.
    pub fn wait_us(&self, commit_interval_us: i64) -> Option<i64> {
        match self {
            Rhythm::Once => None,
            Rhythm::Every(us) => Some(*us),
            Rhythm::Cron(cron) => Some(cron.gap_us()),
            Rhythm::Continuous => Some(commit_interval_us),
        }
    }
}

impl std::fmt::Display for Rhythm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rhythm::Once => write!(f, "once"),
            Rhythm::Every(us) => write!(f, "every {}", units::duration_text(*us)),
            Rhythm::Cron(cron) => write!(f, "{cron}"),
            Rhythm::Continuous => write!(f, "continuous"),
        }
    }
}

/// A text that is no rhythm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RhythmError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl std::fmt::Display for RhythmError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl Serialize for Rhythm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rhythm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Rhythm::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in [
            "once",
            "continuous",
            "every 90s",
            "0 2 * * *",
            "0 2 * * MON-FRI UTC+2",
        ] {
            let rhythm = Rhythm::parse(text).expect(text);
            assert_eq!(rhythm.to_string(), text);
            let json = serde_json::to_string(&rhythm).expect("text");
            assert_eq!(serde_json::from_str::<Rhythm>(&json).expect(text), rhythm);
        }
    }

    #[test]
    fn what_is_no_rhythm_is_told() {
        for text in [
            "sometimes",
            "every",
            "every 0s",
            "every day",
            "61 2 * * *",
            "0 2 * * * Mars/Base",
        ] {
            let error = Rhythm::parse(text).expect_err(text);
            assert!(!error.help.is_empty(), "{text}");
        }
    }
}
