//! Windows of a fold as the pipeline file says them: which kind, how long, how late, and the names of their fields.

use std::ops::Range;

use refrain_log::schema::{Field, Kind};
use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;

use super::section::{Reader, Section};
use super::units::duration_text;

/// Most windows that one row may be in.
pub(super) const WINDOWS_PER_ROW_MAX: i64 = 1_000;
/// Most rows of a count window.
const COUNT_ROWS_MAX: i64 = 1_000_000_000;
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";
const WINDOW_NUMBER: &str = "window_number";
const KINDS: &str =
    "tumbling = \"1m\", sliding = \"1h\" with every = \"5m\", session = \"30m\" or count = 100";

/// Which rows of a key belong together. All spans are in microseconds of event time. Written without the name of its
/// kind: what a node was configured with before there was more than one kind stays what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Window {
    /// [start, start + size) with starts at multiples of `every`: a row is in several.
    Sliding {
        /// Length.
        size_us: i64,
        /// From one start to the next, at most the length.
        every_us: i64,
        /// How long after its end a row still counts.
        lateness_us: i64,
        /// Name of the field that gets the window's start.
        start_field: String,
    },
    /// From a row to the last one before a silence.
    Session {
        /// The silence.
        gap_us: i64,
        /// How long after its end a row still counts.
        lateness_us: i64,
        /// Name of the field that gets the first row's event time.
        start_field: String,
        /// Name of the field that gets the last row's event time and the gap.
        end_field: String,
    },
    /// So many rows of a key, one after another in log order.
    Count {
        /// Rows.
        rows: i64,
        /// Name of the field that gets the window's number, from 0 for each key.
        number_field: String,
    },
    /// [start, start + size) with starts at multiples of the size since the epoch.
    Tumbling {
        /// Length.
        size_us: i64,
        /// How long after its end a row still counts.
        lateness_us: i64,
        /// Name of the field that gets the window's start.
        start_field: String,
    },
}

impl Window {
    /// Whether event time decides where a row belongs.
    pub fn timed(&self) -> bool {
        !matches!(self, Window::Count { .. })
    }

    /// How long after its end a window still takes rows; none for one that no time ends.
    pub fn lateness_us(&self) -> Option<i64> {
        match self {
            Window::Tumbling { lateness_us, .. }
            | Window::Sliding { lateness_us, .. }
            | Window::Session { lateness_us, .. } => Some(*lateness_us),
            Window::Count { .. } => None,
        }
    }

    /// The field that tells windows of one key apart: the last of the key fields of a result.
    pub fn key_field(&self) -> Field {
        match self {
            Window::Tumbling { start_field, .. }
            | Window::Sliding { start_field, .. }
            | Window::Session { start_field, .. } => Field::new(start_field, Kind::Timestamp),
            Window::Count { number_field, .. } => Field::new(number_field, Kind::I64),
        }
    }

    /// The field after the key fields that a session has.
    pub fn end_field(&self) -> Option<Field> {
        match self {
            Window::Session { end_field, .. } => Some(Field::new(end_field, Kind::Timestamp)),
            _ => None,
        }
    }

    /// The event time of a closed window's row in a topic: its start, of a session its end. Rows counted have none.
    pub fn time_field(&self) -> Option<String> {
        match self {
            Window::Session { end_field, .. } => Some(end_field.clone()),
            Window::Count { .. } => None,
            other => Some(other.key_field().name),
        }
    }

    /// For people: `1d`, `1h every 5m`, `session 30m`, `100 rows`.
    pub fn text(&self) -> String {
        match self {
            Window::Tumbling { size_us, .. } => duration_text(*size_us),
            Window::Sliding {
                size_us, every_us, ..
            } => format!(
                "{} every {}",
                duration_text(*size_us),
                duration_text(*every_us)
            ),
            Window::Session { gap_us, .. } => format!("session {}", duration_text(*gap_us)),
            Window::Count { rows, .. } => format!("{rows} rows"),
        }
    }
}

/// `window = { .. }`
#[derive(Clone, Debug)]
pub struct WindowDeclaration {
    /// What it says.
    pub window: Window,
    /// Place of `as`, or of the whole table.
    pub name_span: Range<usize>,
    /// Place of `end_as`, or of the whole table.
    pub end_name_span: Range<usize>,
}

/// Reads `window = { .. }`.
pub(super) fn window(
    section: &mut Section,
    reader: &mut Reader,
) -> Option<Spanned<WindowDeclaration>> {
    let mut table = section.table("window", reader)?;
    let span = table.span();
    let name = table.text("as", reader);
    let end_name = match table.get("session") {
        Some(_) => table.text("end_as", reader),
        None => None,
    };
    let place = |name: &Option<Spanned<String>>| name.as_ref().map_or(span.clone(), Spanned::span);
    let (name_span, end_name_span) = (place(&name), place(&end_name));
    let names = Names {
        name: name.map(Spanned::into_inner),
        end_name: end_name.map(Spanned::into_inner),
    };
    let window = kind(&mut table, names, reader);
    table.close(reader);
    let declaration = WindowDeclaration {
        window: window?,
        name_span,
        end_name_span,
    };
    Some(Spanned::new(span, declaration))
}

struct Names {
    name: Option<String>,
    end_name: Option<String>,
}

impl Names {
    fn or(self, default: &str) -> String {
        self.name.unwrap_or_else(|| default.into())
    }
}

fn kind(table: &mut Section, names: Names, reader: &mut Reader) -> Option<Window> {
    if let Some(value) = table.get("hopping") {
        let help = "window = { sliding = \"1h\", every = \"5m\" }";
        let message = "hopping windows are called sliding here";
        reader
            .findings
            .error("unknown-key", value.span(), message, help);
        return None;
    }
    let kinds = ["tumbling", "sliding", "session", "count"].map(|kind| (kind, table.get(kind)));
    let given: Vec<_> = kinds
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value?.span())))
        .collect();
    match given.as_slice() {
        [("tumbling", _)] => Some(Window::Tumbling {
            size_us: span_us(table, "tumbling", reader)?,
            lateness_us: lateness_us(table, reader),
            start_field: names.or(WINDOW_START),
        }),
        [("sliding", _)] => sliding(table, names, reader),
        [("session", _)] => Some(Window::Session {
            gap_us: span_us(table, "session", reader)?,
            lateness_us: lateness_us(table, reader),
            end_field: names.end_name.clone().unwrap_or_else(|| WINDOW_END.into()),
            start_field: names.or(WINDOW_START),
        }),
        [(_, _)] => Some(Window::Count {
            rows: table.integer("count", 1..=COUNT_ROWS_MAX, reader)?,
            number_field: names.or(WINDOW_NUMBER),
        }),
        [] => {
            let message = format!("{} does not say which kind of window", table.path());
            let help = format!("write one of {KINDS}");
            reader
                .findings
                .error("missing-key", table.span(), message, help);
            None
        }
        [(first, _), (second, span), ..] => {
            let message = format!("a window is of one kind, not `{first}` and `{second}`");
            let help = format!("keep one of {KINDS}");
            reader
                .findings
                .error("two-windows", span.clone(), message, help);
            None
        }
    }
}

fn sliding(table: &mut Section, names: Names, reader: &mut Reader) -> Option<Window> {
    let span = table.get("every").map_or(table.span(), Spanned::span);
    let size_us = span_us(table, "sliding", reader);
    let lateness_us = lateness_us(table, reader);
    table.required("every", "every = \"5m\"", reader)?;
    let every_us = span_us(table, "every", reader)?;
    let size_us = size_us?;
    if every_us > size_us {
        let message = "`every` is longer than the window: rows in between would be in none";
        let help = "make it as long as the window at most";
        reader.findings.error("out-of-range", span, message, help);
        return None;
    }
    if (size_us - 1) / every_us >= WINDOWS_PER_ROW_MAX {
        let message = format!(
            "each row would be in {} windows; {WINDOWS_PER_ROW_MAX} are the most",
            (size_us - 1) / every_us + 1
        );
        let help = "let windows begin less often, or make them shorter";
        reader.findings.error("out-of-range", span, message, help);
        return None;
    }
    Some(Window::Sliding {
        size_us,
        every_us,
        lateness_us,
        start_field: names.or(WINDOW_START),
    })
}

fn lateness_us(table: &mut Section, reader: &mut Reader) -> i64 {
    table.duration_us("lateness", reader).unwrap_or(0)
}

/// A length beyond 0.
fn span_us(table: &mut Section, key: &'static str, reader: &mut Reader) -> Option<i64> {
    let span = table.get(key).map_or(table.span(), Spanned::span);
    let us = table.duration_us(key, reader)?;
    if us == 0 {
        let message = match key {
            "every" => "windows begin more than 0 apart",
            _ => "a window is longer than 0",
        };
        reader.findings.error("out-of-range", span, message, "");
        return None;
    }
    Some(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_written_without_its_kind_and_read_back() {
        let (start_field, lateness_us) = ("at".to_owned(), 3);
        let all = [
            Window::Tumbling {
                size_us: 7,
                lateness_us,
                start_field: start_field.clone(),
            },
            Window::Sliding {
                size_us: 7,
                every_us: 2,
                lateness_us,
                start_field: start_field.clone(),
            },
            Window::Session {
                gap_us: 5,
                lateness_us,
                start_field,
                end_field: "to".into(),
            },
            Window::Count {
                rows: 4,
                number_field: "n".into(),
            },
        ];
        for window in all {
            let text = serde_json::to_string(&window).expect("names and numbers");
            let again: Window = serde_json::from_str(&text).expect("what was written");
            assert_eq!(again, window, "{text}");
        }
    }
}
