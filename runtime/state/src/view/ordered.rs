//! Keys of view rows as bytes that sort as the keys do. Of each key field, in their order:
//!
//! ```text
//! null             0
//! bool             1 · 0 or 1
//! i64, timestamp   1 · 8 bytes, big endian, the sign bit flipped
//! text, bytes      1 · the bytes, each 0 as 0 255 · 0 0
//! ```
//!
//! No key begins another one, and the first fields of a key begin it.

use refrain_log::schema::Kind;

use super::builder::Builder;
use crate::cells::{Cells, Column};

const NULL: u8 = 0;
const VALUE: u8 = 1;
/// After a 0 in a text: it is one of its bytes.
const INNER: u8 = 255;
/// After a 0: the text ends.
const END: u8 = 0;
/// Flips the order of negative numbers behind that of positive ones.
const SIGN: u64 = 1 << 63;

/// Appends the key of a row.
pub(super) fn encode(keys: &[Column], row: usize, bytes: &mut Vec<u8>) {
    for key in keys {
        if key.is_null(row) {
            bytes.push(NULL);
            continue;
        }
        bytes.push(VALUE);
        match &key.cells {
            Cells::Bools(values) => bytes.push(u8::from(values.value(row))),
            Cells::Ints(values) => {
                bytes.extend_from_slice(&(values[row] as u64 ^ SIGN).to_be_bytes());
            }
            Cells::Spans(..) => encode_span(key.span(row), bytes),
            Cells::Floats(_) => unreachable!("an f64 is no key"),
        }
    }
}

fn encode_span(span: &[u8], bytes: &mut Vec<u8>) {
    let mut parts = span.split(|byte| *byte == 0);
    bytes.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        bytes.extend_from_slice(&[0, INNER]);
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&[0, END]);
}

/// Appends the fields of a key, each to its builder. None: these are no such fields.
pub(super) fn decode(mut bytes: &[u8], builders: &mut [Builder]) -> Option<()> {
    let mut span = Vec::new();
    for builder in builders {
        let (mark, rest) = bytes.split_first()?;
        bytes = rest;
        if *mark == NULL {
            builder.push_null();
            continue;
        }
        match builder.kind() {
            Kind::Bool => {
                let (value, rest) = bytes.split_first()?;
                builder.push_bool(*value == 1);
                bytes = rest;
            }
            Kind::I64 | Kind::Timestamp => {
                let (value, rest) = bytes.split_first_chunk::<8>()?;
                builder.push_int((u64::from_be_bytes(*value) ^ SIGN) as i64);
                bytes = rest;
            }
            Kind::Text | Kind::Bytes => {
                span.clear();
                bytes = decode_span(bytes, &mut span)?;
                builder.push_span(&span)?;
            }
            Kind::F64 => return None,
        }
    }
    bytes.is_empty().then_some(())
}

/// What follows a text.
fn decode_span<'a>(mut bytes: &'a [u8], span: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let zero = bytes.iter().position(|byte| *byte == 0)?;
        span.extend_from_slice(&bytes[..zero]);
        let after = *bytes.get(zero + 1)?;
        bytes = &bytes[zero + 2..];
        match after {
            END => return Some(bytes),
            INNER => span.push(0),
            _ => return None,
        }
    }
}
