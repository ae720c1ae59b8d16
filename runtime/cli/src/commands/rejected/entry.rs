//! A row set aside as a line of a file that people edit: what it says of itself begins with `@`, the rest are the fields
//! of the row to be appended.

use serde_json::{Map, Value};

use super::line;
use super::pages::{About, Aparted};
use crate::cells::Cell;
use refrain_engine::ingest::base64;
use refrain_log::schema::Schema;

/// Names a row set aside: partition and offset in its topic.
const REJECT: &str = "@reject";
/// Why it was set aside.
const REASON: &str = "@reason";
/// The row of the log that it is about.
const ROW: &str = "@row";
/// Where it came from.
const INPUT: &str = "@input";
const LINE: &str = "@line";
/// A line of an input that is no object, in its own format.
const TEXT: &str = "@text";
/// The same, when it is no text: base64.
const BYTES: &str = "@bytes";
/// Why there is no row.
const GONE: &str = "@gone";

/// What is to be decoded of a row set aside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// A JSON object, in one line.
    Object(String),
    /// Bytes of an input in another form.
    Bytes(Vec<u8>),
    /// There is nothing, with the reason.
    Gone(String),
}

/// How bytes of an input are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Names of the columns of CSV.
    pub(crate) header: Option<&'a str>,
    /// Fields of the topic, when it is known.
    pub(crate) schema: Option<&'a Schema>,
}

impl Reading<'_> {
    /// Bytes of an input as named values, where that is possible.
    pub(crate) fn fields(&self, bytes: &[u8]) -> Option<Vec<(String, Cell)>> {
        let empty = Schema::new(Vec::new());
        line::of_json(bytes).or_else(|| {
            let schema = self.schema.unwrap_or(&empty);
            line::of_csv(self.header?, bytes, schema)
        })
    }

    /// What is to be decoded of a row set aside.
    pub(crate) fn content(&self, row: &Aparted) -> Content {
        match &row.about {
            About::Row { row: Ok(row), .. } => Content::Object(object(row)),
            About::Row { row: Err(why), .. } => Content::Gone(why.clone()),
            About::Input { .. } if line::is_cut(&row.reason) => Content::Gone(
                "only the beginning of the line was kept; append it from its input".into(),
            ),
            About::Input { bytes, .. } => self.bytes(bytes),
        }
    }

    /// The same of bytes of an input.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Content {
        match self.fields(bytes) {
            Some(fields) => Content::Object(object(&fields)),
            None => Content::Bytes(bytes.to_vec()),
        }
    }

    /// The line for a file.
    pub(crate) fn line(&self, row: &Aparted) -> String {
        let mut pairs = vec![
            (REJECT.to_owned(), Cell::text(place(row))),
            (REASON.to_owned(), Cell::text(&row.reason)),
        ];
        let mut add = |name: &str, cell: Cell| pairs.push((name.to_owned(), cell));
        match &row.about {
            About::Row { spot, row } => {
                let at = format!("{}/{}/{}", spot.topic, spot.partition, spot.offset);
                add(ROW, Cell::Text(at));
                match row {
                    Ok(row) => pairs.extend(row.iter().cloned()),
                    Err(why) => add(GONE, Cell::text(why)),
                }
            }
            About::Input {
                input, line, bytes, ..
            } => {
                add(INPUT, Cell::text(input));
                add(LINE, Cell::Integer(*line));
                match (self.fields(bytes), std::str::from_utf8(bytes)) {
                    (Some(fields), _) => pairs.extend(fields),
                    (None, Ok(text)) => add(TEXT, Cell::text(text)),
                    (None, Err(_)) => add(BYTES, Cell::Text(base64::encode(bytes))),
                }
            }
        }
        object(&pairs)
    }
}

/// A line of an edited file: which row set aside it is about, and what is to be decoded.
pub(crate) fn parse(line: &str) -> Result<((u32, u64), Content), String> {
    let mut map: Map<String, Value> = serde_json::from_str(line)
        .map_err(|e| format!("is no line that `rejected show --out` wrote: {e}"))?;
    let place = map
        .get(REJECT)
        .and_then(|place| parse_place(place.as_str()?));
    let place = place.ok_or(format!(
        "has no {REJECT} such as \"0/12\": leave it as it was"
    ))?;
    let text = |name: &str| map.get(name).and_then(Value::as_str);
    let mut bytes = text(TEXT).map(|text| text.as_bytes().to_vec());
    if let Some(text) = text(BYTES) {
        let mut decoded = Vec::new();
        base64::decode(text.as_bytes(), &mut decoded).ok_or(format!("{BYTES} is no base64"))?;
        bytes = Some(decoded);
    }
    let gone = text(GONE).map(str::to_owned);
    map.retain(|name, _| !name.starts_with('@'));
    let content = match (bytes, gone, map.is_empty()) {
        (Some(_), _, false) => {
            return Err(format!("has {TEXT} and fields; keep one of the two"));
        }
        (_, _, false) => Content::Object(Value::Object(map).to_string()),
        (Some(bytes), ..) => Content::Bytes(bytes),
        (None, Some(why), true) => Content::Gone(why),
        (None, None, true) => return Err("has no fields".into()),
    };
    Ok((place, content))
}

/// Partition and offset of a row set aside.
pub(crate) fn place(row: &Aparted) -> String {
    format!("{}/{}", row.partition, row.offset)
}

fn parse_place(text: &str) -> Option<(u32, u64)> {
    let (partition, offset) = text.split_once('/')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// An object in one line, its pairs in this order.
pub(crate) fn object(pairs: &[(String, Cell)]) -> String {
    let pair =
        |(name, cell): &(String, Cell)| format!("{}: {}", Value::from(name.as_str()), cell.json());
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Reading = Reading {
        header: None,
        schema: None,
    };

    fn input(bytes: &[u8]) -> Aparted {
        Aparted {
            partition: 0,
            offset: 12,
            reason: "no".into(),
            about: About::Input {
                producer: String::new(),
                input: "a.csv".into(),
                line: 3,
                bytes: bytes.to_vec(),
            },
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for bytes in [
            &b"{\"id\":1,\"word\":\"a\\nb\"}"[..],
            b"1,2",
            b"\xff\x00",
            b"",
        ] {
            let line = PLAIN.line(&input(bytes));
            let (place, content) = parse(&line).unwrap();
            assert_eq!(place, (0, 12), "{line}");
            let wanted = match PLAIN.content(&input(bytes)) {
                Content::Object(text) => {
                    Content::Object(serde_json::from_str::<Value>(&text).unwrap().to_string())
                }
                other => other,
            };
            assert_eq!(content, wanted, "{line}");
            assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn what_is_no_line_of_ours_is_said() {
        for (line, part) in [
            ("{}", "@reject"),
            ("{\"@reject\": 7, \"a\": 1}", "@reject"),
            ("{\"@reject\": \"0/1\"}", "no fields"),
            (
                "{\"@reject\": \"0/1\", \"@text\": \"x\", \"a\": 1}",
                "keep one",
            ),
            ("{\"@reject\": \"0/1\", \"@bytes\": \"?\"}", "base64"),
            ("x", "no line"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(part), "{line}: {told}");
        }
    }
}
