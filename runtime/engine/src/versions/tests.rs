//! Laws of names and of the registry's texts.

use super::*;

#[test]
fn names_come_back_as_they_went() {
    for (text, name, number) in [
        ("a", "a", 1),
        ("a@2", "a", 2),
        ("a@x", "a@x", 1),
        ("a@0", "a@0", 1),
    ] {
        let parsed = VersionName::parse(text);
        assert_eq!((parsed.name.as_str(), parsed.number), (name, number));
        assert_eq!(parsed.to_string(), text);
    }
    assert_eq!(VersionName::parse("a@1").to_string(), "a");
}

#[test]
fn a_view_is_named_in_three_ways() {
    assert_eq!(ViewName::parse("v"), ViewName::Live("v".into()));
    assert_eq!(
        ViewName::parse("v@3"),
        ViewName::Version(VersionName::new("v", 3))
    );
    assert_eq!(
        ViewName::parse("v@for:board"),
        ViewName::Consumer("v".into(), "board".into())
    );
}
