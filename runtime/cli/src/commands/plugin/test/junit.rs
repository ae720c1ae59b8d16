//! What was tested as JUnit XML, the form that build servers read.

use std::fmt::Write;
use std::path::Path;

use super::{Case, Outcome};
use crate::failure::Failure;

/// Writes the file.
#[expect(clippy::disallowed_methods, reason = "a report for the user")]
pub(super) fn write(path: &Path, cases: &[Case]) -> Result<(), Failure> {
    std::fs::write(path, text(cases))
        .map_err(|e| Failure::refused(format!("{}: {e}", path.display())))
}

fn text(cases: &[Case]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for suite in cases.chunk_by(|a, b| a.suite == b.suite) {
        let count =
            |wanted: fn(&Outcome) -> bool| suite.iter().filter(|c| wanted(&c.outcome)).count();
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        // Writing to a string never fails.
        let _ = writeln!(
            xml,
            r#"  <testsuite name="{}" tests="{}" failures="{failed}" skipped="{skipped}">"#,
            escaped(&suite[0].suite),
            suite.len()
        );
        suite.iter().for_each(|case| xml.push_str(&element(case)));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn element(case: &Case) -> String {
    let (suite, name) = (escaped(&case.suite), escaped(&case.name));
    let open = format!(r#"    <testcase classname="{suite}" name="{name}""#);
    match &case.outcome {
        Outcome::Passed => format!("{open}/>\n"),
        Outcome::Failed(why) => format!("{open}><failure>{}</failure></testcase>\n", escaped(why)),
        Outcome::Skipped(why) => {
            format!(
                "{open}><skipped message=\"{}\"/></testcase>\n",
                escaped(why)
            )
        }
    }
}

/// Text of XML; what XML cannot hold at all becomes `?`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_counted_and_texts_escaped() {
        let case = |name: &str, outcome| Case {
            suite: "a".into(),
            name: name.into(),
            outcome,
        };
        let cases = [
            case("one", Outcome::Passed),
            case("<two>", Outcome::Failed("1 < 2 & \"x\"\0".into())),
            case("three", Outcome::Skipped("no".into())),
        ];
        let xml = text(&cases);
        assert!(xml.contains(r#"<testsuite name="a" tests="3" failures="1" skipped="1">"#));
        assert!(
            xml.contains(r#"name="&lt;two&gt;"><failure>1 &lt; 2 &amp; &quot;x&quot;?</failure>"#)
        );
    }
}
