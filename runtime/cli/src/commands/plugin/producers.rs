//! The language that a component was written in, from its `producers` section.

/// The language noted last: the build notes it at the end, compilers in the modules inside.
pub(super) fn language(component: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\x08language";
    let at = component
        .windows(FIELD.len())
        .rposition(|window| window == FIELD)?;
    let rest = &component[at + FIELD.len()..];
    // count of values, length of the first, the first
    let (&_count, rest) = rest.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let name = rest.get(..usize::from(length))?;
    let name = std::str::from_utf8(name).ok()?;
    let plain = name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    (plain && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn the_last_note_counts() {
        let bytes = b"..\x08language\x01\x04Rust\x00..\x08language\x01\x01C\x00";
        assert_eq!(language(bytes).as_deref(), Some("C"));
        assert_eq!(language(b"\x08language\x01\xffx"), None);
        assert_eq!(language(b"nothing"), None);
    }
}
