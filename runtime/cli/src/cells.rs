//! Single values of columns, as people, JSON and CSV want them: the forms that `topic append` reads again.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use refrain_engine::ingest::{base64, time};

/// Characters of a value that a table shows; JSON and CSV show all.
const TABLE_CHARS_MAX: usize = 300;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Text, base64, a time.
    Text(String),
    /// A value of JSON, as it is written.
    Json(String),
}

impl Cell {
    /// The value in that row of a column of one of our types.
    pub(crate) fn of(column: &ArrayRef, row: usize) -> Cell {
        if column.is_null(row) {
            return Cell::Null;
        }
        match column.data_type() {
            DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
            DataType::Int64 => Cell::Integer(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
            DataType::Binary => Cell::Text(base64::encode(column.as_binary::<i32>().value(row))),
            DataType::Timestamp(..) => {
                let us = column.as_primitive::<TimestampMicrosecondType>().value(row);
                Cell::Text(time::text(us))
            }
            other => Cell::Text(format!("({other})")),
        }
    }

    /// A time, or null.
    pub(crate) fn time(us: Option<i64>) -> Cell {
        us.map_or(Cell::Null, |us| Cell::Text(time::text(us)))
    }

    /// A count.
    pub(crate) fn count(count: u64) -> Cell {
        i64::try_from(count).map_or(Cell::Text(count.to_string()), Cell::Integer)
    }

    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Cell::Integer(_) | Cell::Float(_))
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Cell::Null => String::new(),
            Cell::Bool(truth) => truth.to_string(),
            Cell::Integer(number) => number.to_string(),
            Cell::Float(number) => float(*number),
            Cell::Text(text) | Cell::Json(text) => text.clone(),
        }
    }

    /// For people, in a line of a terminal: what would move its cursor is written out, and what is very long is cut.
    pub(crate) fn plain(&self) -> String {
        let text = self.shown();
        let cut = text.char_indices().nth(TABLE_CHARS_MAX);
        match cut {
            None => escaped(&text),
            Some((end, _)) => {
                let count = text.chars().count();
                format!("{}... ({count} characters)", escaped(&text[..end]))
            }
        }
    }

    /// As a value of JSON; what JSON has no number for is text.
    pub(crate) fn json(&self) -> String {
        match self {
            Cell::Null => "null".into(),
            Cell::Float(number) if !number.is_finite() => format!("\"{}\"", float(*number)),
            Cell::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            other => other.shown(),
        }
    }

    /// As a cell of CSV: null is empty, the empty text is `""`.
    pub(crate) fn csv(&self) -> String {
        match self {
            Cell::Text(text) | Cell::Json(text)
                if text.is_empty() || text.contains([',', '"', '\n', '\r']) =>
            {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            other => other.shown(),
        }
    }
}

/// Text without characters that a terminal would take as commands; ends of lines are written out, too.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// A message for a terminal: its lines stay, what else would move the cursor is written out.
pub(crate) fn message(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

fn float(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else {
        format!("{number:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_commands_from_data() {
        let cell = Cell::text("a\x1b[2Jb\n日本");
        assert_eq!(cell.plain(), "a\\u{1b}[2Jb\\n日本");
        assert_eq!(message("a\x07\nb"), "a\\u{7}\nb");
        let long = Cell::text("é".repeat(1000)).plain();
        assert!(long.ends_with("é... (1000 characters)") && long.chars().count() < 330);
    }

    #[test]
    fn forms() {
        assert_eq!(Cell::Text("a\"b".into()).csv(), "\"a\"\"b\"");
        assert_eq!(Cell::Text(String::new()).csv(), "\"\"");
        assert_eq!(Cell::Null.csv(), "");
        assert_eq!(Cell::Float(f64::NEG_INFINITY).json(), "\"-inf\"");
        assert_eq!(Cell::Float(7.0).json(), "7.0");
        assert_eq!(Cell::Text("\n".into()).json(), "\"\\n\"");
    }
}
