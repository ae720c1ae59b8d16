//! Numbers and truth values from text, and how a value that does not fit is told.

/// A whole number: an optional `-`, digits, 64 bits.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut number: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    if negative {
        0_i64.checked_sub_unsigned(number)
    } else {
        i64::try_from(number).ok()
    }
}

/// A number; `NaN`, `inf` and `-inf` are numbers when they are written so, not when a number is too large.
pub fn float(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" | b"nan" => return Some(f64::NAN),
        b"inf" | b"Infinity" => return Some(f64::INFINITY),
        b"-inf" | b"-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// `true`, `false`, `1`, `0`.
pub fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"1" => Some(true),
        b"false" | b"0" => Some(false),
        _ => None,
    }
}

/// The text that was found, cut to a length that fits a message.
pub(super) fn found(text: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_CHARS_MAX)]);
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"99999999999999999999"), None);
        assert_eq!(integer(b"0042"), Some(42));
        for text in ["", "-", "+1", "1.0", " 1", "1e3", "--1"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats() {
        assert_eq!(float(b"0.1"), Some(0.1));
        assert_eq!(float(b"-0.0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert!(float(b"NaN").is_some_and(f64::is_nan));
        assert_eq!(float(b"1e999"), None);
        assert_eq!(float(b""), None);
        assert_eq!(float(b"INFINITY"), None);
    }
}
