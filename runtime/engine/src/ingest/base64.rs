//! Bytes as text: RFC 4648 base64, standard alphabet, padding optional on the way in.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let at = |i: usize| u32::from(part.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i > part.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

/// Appends the bytes of a base64 text to `out`; `None`, and `out` of any length, when it is none.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digits = match text {
        [rest @ .., b'=', b'='] | [rest @ .., b'='] if text.len().is_multiple_of(4) => rest,
        _ => text,
    };
    for part in digits.chunks(4) {
        let mut bits: u32 = 0;
        for (i, digit) in part.iter().enumerate() {
            bits |= u32::from(value(*digit)?) << (18 - 6 * i);
        }
        let bytes = bits.to_be_bytes();
        let count = [0, 0, 1, 2, 3][part.len()];
        let unused = &bytes[1 + count..];
        if count == 0 || unused.iter().any(|b| *b != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..=count]);
    }
    Some(())
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            let text = encode(&bytes);
            for text in [text.as_str(), text.trim_end_matches('=')] {
                let mut back = Vec::new();
                assert_eq!(decode(text.as_bytes(), &mut back), Some(()), "{text}");
                assert_eq!(back, bytes);
            }
        }
        assert_eq!(encode(b"Ma"), "TWE=");
    }

    #[test]
    fn what_is_no_base64() {
        for text in ["A", "A===", "TWF=", "====", "TW E", "T\u{e4}=="] {
            assert_eq!(decode(text.as_bytes(), &mut Vec::new()), None, "{text}");
        }
    }
}
