//! Lines of a compiled script where they are in its source, so that what falls says the line that its author knows: the
//! compiler of TypeScript leaves types and blank lines out and breaks `if (a) b;` in two, and the source map that it writes says
//! where everything was.

/// The script with each line where its source has it: blank lines are put in, and what was one line becomes one again. A line
/// that stands further down for another reason stays there.
pub(super) fn aligned(script: &str, map: &str) -> String {
    let map: serde_json::Value = serde_json::from_str(map).unwrap_or_default();
    let sources = source_lines(map["mappings"].as_str().unwrap_or_default());
    let sources = sources.into_iter().chain(std::iter::repeat(None));
    let mut aligned: Vec<String> = Vec::new();
    for (line, source) in script.lines().zip(sources) {
        let place = aligned.len();
        match aligned.last_mut() {
            // Nothing can stand behind a comment.
            Some(last) if source.is_some_and(|at| at + 1 == place) && !last.contains("//") => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            _ => {
                aligned.resize(place.max(source.unwrap_or(0)), String::new());
                aligned.push(line.to_owned());
            }
        }
    }
    aligned
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

/// The line of the source that each line of a script begins with; none where it has nothing of the source. The format is that
/// of source maps, revision 3: lines end with `;`, segments with `,`, and what a segment says counts on from the one before.
fn source_lines(mappings: &str) -> Vec<Option<usize>> {
    let mut source = 0;
    let line = |segments: &str| {
        let mut first = None;
        for segment in segments.split(',') {
            if let [_, _, lines, ..] = numbers(segment)[..] {
                source += lines;
                first = first.or(usize::try_from(source).ok());
            }
        }
        first
    };
    mappings.split(';').map(line).collect()
}

/// Numbers in base 64, 5 bits a digit, the lowest first: the 6th bit says that there are more, and the lowest bit of all is
/// the sign. What is no digit ends them.
fn numbers(segment: &str) -> Vec<i64> {
    let (mut numbers, mut number, mut shift) = (Vec::new(), 0_i64, 0);
    for digit in segment.bytes().map_while(digit) {
        number |= i64::from(digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 || shift > 50 {
            let size = number >> 1;
            numbers.push(if number & 1 == 1 { -size } else { size });
            (number, shift) = (0, 0);
        }
    }
    numbers
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_source_maps_have_them() {
        assert_eq!(numbers("AAAA"), [0, 0, 0, 0]);
        assert_eq!(numbers("IAEM"), [4, 0, 2, 6]);
        assert_eq!(numbers("D"), [-1]);
        assert_eq!(numbers("gB"), [16]);
        assert_eq!(numbers("2HwcqxB"), [123, 456, 789]);
    }

    #[test]
    fn lines_stand_where_their_source_has_them() {
        // Lines 0, 4 and 5 of a source; a line of the compiler's own; line 2, which comes too late to be moved.
        let map = r#"{"mappings": "AAAA;AAIA,IAAI;AACA;;AAHA"}"#;
        let script = "import\nfirst\nsecond\nmade\nmoved\n";
        let expected = "import\n\n\n\nfirst\nsecond\nmade\nmoved\n";
        assert_eq!(aligned(script, map), expected);
        // Line 0 as two lines, then line 1 behind a line of the compiler's own.
        let map = r#"{"mappings": "AAAA;AAAA;;AACA"}"#;
        let broken = "if (a)\n    b;\n}\nc\n";
        assert_eq!(aligned(broken, map), "if (a) b;\n} c\n");
        assert_eq!(aligned("// if\nb\n", map), "// if\nb\n");
    }

    #[test]
    fn a_script_without_a_map_stays_as_it_is() {
        for map in ["", "{}", r#"{"mappings": ""}"#, r#"{"mappings": 1}"#] {
            assert_eq!(aligned("a\nb\n", map), "a\nb\n");
        }
    }
}
