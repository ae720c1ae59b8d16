//! Small records as bytes: a version byte, then bincode with one fixed configuration. The one room that names bincode;
//! frames and columns are not made here.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum::crc32c;
use crate::limits::CODEC_BYTES_MAX;
use crate::{Error, Result};

/// First byte of every blob.
const VERSION: u8 = 1;

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_little_endian()
        .with_variable_int_encoding()
        .with_limit::<CODEC_BYTES_MAX>()
}

/// The record as bytes: version, CRC32C of the rest, body.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let body = bincode::serde::encode_to_vec(record, configuration())
        .expect("a record of plain fields always encodes");
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(VERSION);
    bytes.extend_from_slice(&crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// The inverse of [`encode`]. `Invalid` when the bytes are not exactly one record of this version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let invalid = |what: &str| Error::Invalid(format!("not a record of this version: {what}"));
    let (&version, rest) = bytes.split_first().ok_or_else(|| invalid("empty"))?;
    if version != VERSION {
        return Err(invalid(&format!("version {version}, not {VERSION}")));
    }
    let (check, body) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| invalid("too short"))?;
    if u32::from_le_bytes(*check) != crc32c(body) {
        return Err(invalid("checksum"));
    }
    match bincode::serde::decode_from_slice(body, configuration()) {
        Ok((record, used)) if used == body.len() => Ok(record),
        Ok(_) => Err(invalid("bytes left over")),
        Err(e) => Err(invalid(&e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_back_what_it_made_and_nothing_else() {
        let record = (7u64, String::from("origin"), vec![1u8, 2, 3]);
        let bytes = encode(&record);
        assert_eq!(decode::<(u64, String, Vec<u8>)>(&bytes).unwrap(), record);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<(u64, String, Vec<u8>)>(&bad).is_err(), "bit {bit}");
        }
        assert!(decode::<(u64, String, Vec<u8>)>(&bytes[..bytes.len() - 1]).is_err());
    }
}
