//! Requests and answers as bytes. One frame: length of all that follows (u32, little-endian), length of the header
//! (u32), the header in JSON, then each attachment with its length (u32). Rows and raw bytes travel as attachments, the
//! rest as JSON that a person can read.

use arrow_array::RecordBatch;
use refrain_engine::request::{Request, Response, Table};
use refrain_log::columns;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 20;

/// Why bytes are no frame.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed frame: {}", self.0)
    }
}

/// What crosses the socket: its rows and bytes can be taken out and put back in the same order.
pub(crate) trait Message: Serialize + DeserializeOwned {
    fn tables(&mut self) -> Vec<&mut Table>;
    fn bytes(&mut self) -> Vec<&mut Vec<u8>>;
}

impl Message for Request {
    fn tables(&mut self) -> Vec<&mut Table> {
        match self {
            Request::Append { rows, .. } => vec![rows],
            Request::Resubmit(again) => vec![&mut again.rows],
            Request::Versions(request) => request.tables(),
            _ => Vec::new(),
        }
    }

    fn bytes(&mut self) -> Vec<&mut Vec<u8>> {
        match self {
            Request::Append { undecoded, .. } => {
                undecoded.iter_mut().map(|u| &mut u.bytes).collect()
            }
            Request::Versions(request) => request.bytes(),
            _ => Vec::new(),
        }
    }
}

impl Message for Response {
    fn tables(&mut self) -> Vec<&mut Table> {
        match self {
            Response::Read(rows) => vec![&mut rows.table],
            Response::View(rows) => vec![&mut rows.table],
            Response::Tapped(rows) => vec![&mut rows.table],
            Response::RowsAt(rows) => vec![&mut rows.table],
            _ => Vec::new(),
        }
    }

    fn bytes(&mut self) -> Vec<&mut Vec<u8>> {
        Vec::new()
    }
}

/// The frame of a message, its length in front.
pub(crate) fn encode<M: Message>(mut message: M) -> Result<Vec<u8>, Malformed> {
    let mut attachments = Vec::new();
    for table in message.tables() {
        let rows = columns::to_bytes(&table.rows, &table.schema);
        attachments.push(rows.map_err(|e| Malformed(e.to_string()))?);
        table.rows = RecordBatch::new_empty(table.schema.arrow());
    }
    attachments.extend(message.bytes().into_iter().map(std::mem::take));
    let header = serde_json::to_vec(&message).map_err(|e| Malformed(e.to_string()))?;
    let mut frame = vec![0; 4];
    for part in std::iter::once(&header).chain(&attachments) {
        frame.extend_from_slice(&length(part.len())?.to_le_bytes());
        frame.extend_from_slice(part);
    }
    let body = length(frame.len() - 4)?;
    frame[..4].copy_from_slice(&body.to_le_bytes());
    Ok(frame)
}

fn length(bytes: usize) -> Result<u32, Malformed> {
    if bytes > FRAME_BYTES_MAX {
        let what = format!(
            "{bytes} bytes are more than the {FRAME_BYTES_MAX} that a frame may have; ask for fewer rows"
        );
        return Err(Malformed(what));
    }
    Ok(u32::try_from(bytes).expect("the largest frame is below 4 GiB"))
}

/// The message in a frame, without the length in front.
pub(crate) fn decode<M: Message>(frame: &[u8]) -> Result<M, Malformed> {
    let mut rest = frame;
    let header = part(&mut rest)?;
    let mut message: M = serde_json::from_slice(header).map_err(|e| Malformed(e.to_string()))?;
    for table in message.tables() {
        let rows = columns::from_bytes(part(&mut rest)?, &table.schema);
        table.rows = rows.map_err(|e| Malformed(e.to_string()))?;
    }
    for bytes in message.bytes() {
        *bytes = part(&mut rest)?.to_vec();
    }
    if !rest.is_empty() {
        return Err(Malformed(format!("{} bytes too many", rest.len())));
    }
    Ok(message)
}

/// Takes one part off the front.
fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let short = || Malformed("it ends too early".into());
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (part, after) = after.split_at_checked(length).ok_or_else(short)?;
    *rest = after;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use refrain_log::log::Undecoded;
    use refrain_log::schema::{Field, Kind, Schema};

    use super::*;

    fn append() -> Request {
        let schema = Schema::new(vec![Field::new("a", Kind::I64)]);
        let column = Arc::new(Int64Array::from(vec![1, 2, 3]));
        Request::Append {
            topic: "t".into(),
            rows: Table {
                rows: RecordBatch::try_new(schema.arrow(), vec![column]).unwrap(),
                schema,
            },
            row_numbers: vec![1, 2, 4],
            input: "-".into(),
            undecoded: vec![Undecoded {
                input: "-".into(),
                line: 3,
                row: 3,
                bytes: vec![0xff, 0],
                reason: "no".into(),
            }],
            producer: Some(("p".into(), 1)),
            decode_ns: 5,
        }
    }

    #[test]
    fn there_and_back() {
        let frame = encode(append()).unwrap();
        assert_eq!(
            frame.len() - 4,
            u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize
        );
        let Request::Append {
            rows, undecoded, ..
        } = decode(&frame[4..]).unwrap()
        else {
            panic!("another request came back");
        };
        assert_eq!(rows.rows.num_rows(), 3);
        assert_eq!(undecoded[0].bytes, [0xff, 0]);
    }

    #[test]
    fn a_broken_frame_is_told_and_never_a_panic() {
        let frame = encode(append()).unwrap();
        for cut in 4..frame.len() {
            assert!(decode::<Request>(&frame[4..cut]).is_err());
        }
        for place in 4..frame.len() {
            let mut broken = frame.clone();
            broken[place] ^= 0x41;
            let _ = decode::<Request>(&broken[4..]);
        }
    }
}
