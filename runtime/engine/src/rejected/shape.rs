//! Reasons without the values that differ from row to row, so that rows with the same trouble count as one reason.

/// Longest shape in characters.
const SHAPE_CHARS_MAX: usize = 160;

/// The reason with numbers as `#` and quoted values as `…`. What is quoted right after the words `field` and `column` is
/// a name and stays.
pub(crate) fn shape(reason: &str) -> String {
    let mut out = String::with_capacity(reason.len().min(SHAPE_CHARS_MAX));
    let mut rest = reason;
    while let Some(c) = rest.chars().next() {
        let named = out.ends_with("field ") || out.ends_with("column ");
        let in_word = out.chars().next_back().is_some_and(is_word);
        if let Some(after) = quoted(rest).filter(|_| !named) {
            out.extend([c, '…', c]);
            rest = after;
        } else if let Some(after) = quoted(rest) {
            out.push_str(&rest[..rest.len() - after.len()]);
            rest = after;
        } else if let Some(after) = number(rest).filter(|_| !in_word) {
            out.push('#');
            rest = after;
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    match out.char_indices().nth(SHAPE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &out[..end]),
        None => out,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows a quoted span at the beginning.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '"'))?;
    let inside = &text[1..];
    Some(&inside[inside.find(quote)? + 1..])
}

/// What follows a number at the beginning.
fn number(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    // A full stop ends the sentence, not the number.
    match digits[..digits.len() - rest.len()].strip_suffix('.') {
        Some(number) => Some(&digits[number.len()..]),
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_and_names_stay() {
        let cases = [
            (
                "field `content_id` (i64): `one` is not an i64",
                "field `content_id` (i64): `…` is not an i64",
            ),
            (
                "the header has 5 columns, the row has 3",
                "the header has # columns, the row has #",
            ),
            (
                "late: event time -12 µs is in a window that was closed at watermark 1.5 µs",
                "late: event time # µs is in a window that was closed at watermark # µs",
            ),
            ("value 13.", "value #."),
            ("trap: \"x\" at f64", "trap: \"…\" at f64"),
            ("an open ` quote", "an open ` quote"),
            ("", ""),
        ];
        for (reason, wanted) in cases {
            assert_eq!(shape(reason), wanted);
        }
        assert!(shape(&"é".repeat(1000)).chars().count() < 200);
    }

    #[test]
    fn any_text_has_a_shape() {
        proptest::proptest!(|(reason in ".{0,80}")| { shape(&reason); });
    }
}
