//! The bytes of an input that did not decode, as named values where that is possible: then they can be mended one by one.

use std::sync::Arc;

use refrain_engine::ingest::value::{boolean, float, integer};
use refrain_engine::ingest::{DecodeOptions, Format, decode_stream};
use refrain_log::schema::{Field, Kind, Schema};
use refrain_log::schemas::Defaults;

use crate::cells::Cell;

/// Begins the reason of a row of which only the beginning was kept.
const TOO_LONG: &str = "the line is longer than";

/// Whether only the beginning of the row was kept.
pub(crate) fn is_cut(reason: &str) -> bool {
    reason.starts_with(TOO_LONG)
}

/// Fields of a JSON object as named values; none when it is no object or names a field twice.
pub(crate) fn of_json(bytes: &[u8]) -> Option<Vec<(String, Cell)>> {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, serde_json::Value)>;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    use serde::Deserializer;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let pairs = json.deserialize_map(Pairs).ok()?;
    json.end().ok()?;
    let twice = |i: usize| pairs[..i].iter().any(|(name, _)| *name == pairs[i].0);
    if (0..pairs.len()).any(twice) {
        return None;
    }
    let cell = |(name, value): (String, serde_json::Value)| (name, Cell::Json(value.to_string()));
    Some(pairs.into_iter().map(cell).collect())
}

/// Cells of a line of CSV by the names of its columns; none when their number differs or a quote is open.
pub(crate) fn of_csv(header: &str, bytes: &[u8], schema: &Schema) -> Option<Vec<(String, Cell)>> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let text = |name: &&str| Field::new(*name, Kind::Text);
    let texts = Schema::new(names.iter().map(text).collect());
    let input = [names.join(",").as_bytes(), b"\n", bytes].concat();
    let options = DecodeOptions {
        schema: Arc::new(texts),
        defaults: Defaults::new(),
        units: std::collections::BTreeMap::new(),
        input: String::new(),
        first_row: 1,
    };
    let reader = Box::new(std::io::Cursor::new(input));
    let mut decoder = decode_stream(Format::Csv, reader, options).ok()?;
    let decoded = decoder.next(2).ok()??;
    if decoded.rows.num_rows() != 1 || !decoded.undecoded.is_empty() {
        return None;
    }
    let cells = decoded.rows.columns().iter().map(|c| Cell::of(c, 0));
    let typed = names.into_iter().zip(cells);
    Some(
        typed
            .map(|(name, cell)| (name.to_owned(), of_type(schema.field(name), cell)))
            .collect(),
    )
}

/// A cell's text as the value that JSON would have for a field of this type; what does not fit stays text.
fn of_type(field: Option<&Field>, cell: Cell) -> Cell {
    let (Some(field), Cell::Text(text)) = (field, &cell) else {
        return cell;
    };
    if text.is_empty() && (field.nullable || field.kind != Kind::Text) {
        return Cell::Null;
    }
    let bytes = text.as_bytes();
    let typed = match field.kind {
        Kind::I64 | Kind::Timestamp => integer(bytes).map(Cell::Integer),
        Kind::F64 => float(bytes).map(Cell::Float),
        Kind::Bool => boolean(bytes).map(Cell::Bool),
        Kind::Text | Kind::Bytes => None,
    };
    typed.unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("time", Kind::Timestamp),
            Field::new("id", Kind::I64),
            Field::new("word", Kind::Text).nullable(),
        ])
    }

    fn text(pairs: Option<Vec<(String, Cell)>>) -> Option<String> {
        let pair = |(name, cell): (String, Cell)| format!("{name}={}", cell.json());
        Some(pairs?.into_iter().map(pair).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn lines_of_csv_become_values() {
        let of = |line: &str| text(of_csv("time, word,id", line.as_bytes(), &schema()));
        assert_eq!(
            of("1700,\"a,b\",one").as_deref(),
            Some("time=1700 word=\"a,b\" id=\"one\"")
        );
        assert_eq!(of(",,7").as_deref(), Some("time=null word=null id=7"));
        assert_eq!(of("1,2"), None);
        assert_eq!(of("1,\"2,3"), None);
    }

    #[test]
    fn objects_keep_their_values_as_written() {
        let of = |line: &str| text(of_json(line.as_bytes()));
        assert_eq!(
            of("{\"a\": 1.5, \"b\": [1, {}]}").as_deref(),
            Some("a=1.5 b=[1,{}]")
        );
        for line in ["{\"a\":1,\"a\":2}", "[1]", "{\"a\":1} x", "", "{"] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
