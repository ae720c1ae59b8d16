//! Saved states as bytes: one byte that names this encoding, then bincode in its standard configuration.

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// First byte of every saved state.
const ENCODING: u8 = 1;

/// Bytes that grow. By the way of `std::io::Write` each number would cost a result to be looked at.
struct Appended<'b>(&'b mut Vec<u8>);

impl Writer for Appended<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends a state.
pub fn encode<S: Serialize>(state: &S, bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.push(ENCODING);
    bincode::serde::encode_into_writer(state, Appended(bytes), bincode::config::standard())
        .map_err(|why| format!("a state cannot be saved: {why}"))
}

/// Reads a state; all bytes must belong to it.
pub fn decode<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, String> {
    let Some((&ENCODING, rest)) = bytes.split_first() else {
        return Err("a saved state is in an encoding that this plugin does not know".to_string());
    };
    match bincode::serde::decode_from_slice(rest, bincode::config::standard()) {
        Ok((state, used)) if used == rest.len() => Ok(state),
        Ok(_) => {
            Err("a saved state is longer than this plugin's state: raise state_version".into())
        }
        Err(why) => Err(format!(
            "a saved state cannot be read ({why}): raise state_version"
        )),
    }
}
