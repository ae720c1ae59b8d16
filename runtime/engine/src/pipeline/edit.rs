//! One word of a pipeline file changed, and nothing else: comments, order and spacing stay as the user wrote them. Pure.

use std::ops::Range;

use super::declaration::{Declaration, NodeDeclaration};

/// The text of the file with another rhythm for a node; `auto` too is one here. The change is read again by the caller.
///
/// # Errors
/// A sentence that says what to do, when the place cannot be told or the rhythm comes from elsewhere.
pub fn with_rhythm(file: &Declaration, node: &str, rhythm: &str) -> Result<String, String> {
    let Some(node) = file.nodes.iter().find(|n| n.name.get_ref() == node) else {
        let names = file.node_names().join(", ");
        return Err(format!("there is no node {node}; there are: {names}"));
    };
    match &node.rhythm_place {
        Some(place) => replaced(file, node, place.clone(), rhythm),
        None => inserted(file, node, rhythm),
    }
}

fn replaced(
    file: &Declaration,
    node: &NodeDeclaration,
    place: Range<usize>,
    rhythm: &str,
) -> Result<String, String> {
    let old = &file.text[place.clone()];
    if old.contains("${env:") {
        return Err(format!(
            "the rhythm of node {} comes from the environment ({old}): change it there",
            node.name.get_ref()
        ));
    }
    let (before, after) = (&file.text[..place.start], &file.text[place.end..]);
    Ok(format!("{before}\"{rhythm}\"{after}"))
}

fn inserted(file: &Declaration, node: &NodeDeclaration, rhythm: &str) -> Result<String, String> {
    let at = node.name.span().start;
    let start = file.text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = file.text[at..]
        .find('\n')
        .map_or(file.text.len(), |i| at + i);
    let line = file.text[start..end].split('#').next().unwrap_or("").trim();
    if !line.starts_with('[') || !line.ends_with(']') {
        return Err(format!(
            "node {} has no section of its own; write rhythm = \"{rhythm}\" where it is declared",
            node.name.get_ref()
        ));
    }
    let (before, after) = file.text.split_at(end);
    Ok(format!("{before}\nrhythm = \"{rhythm}\"{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[topic.t] # rows\nschema = { a = \"i64\" }\n\n[node.n]   # sums\nplugin = \"p\"\ninput = \"t\"\nview = \"v\"\n";

    fn edited(text: &str, rhythm: &str) -> Result<String, String> {
        let file =
            super::super::parse("f", text, &|_| Some("once".into())).map_err(|e| e.to_string())?;
        with_rhythm(&file, "n", rhythm)
    }

    #[test]
    fn one_line_comes_and_one_word_changes() {
        let first = edited(FILE, "every 1m").expect("a section");
        assert_eq!(
            first,
            FILE.replace("# sums\n", "# sums\nrhythm = \"every 1m\"\n")
        );
        let second = edited(&first, "0 2 * * *").expect("a rhythm");
        assert_eq!(second, first.replace("every 1m", "0 2 * * *"));
    }

    #[test]
    fn what_is_written_elsewhere_is_left() {
        let environment = FILE.replace("view", "rhythm = \"${env:RHYTHM}\"\nview");
        assert!(
            edited(&environment, "once")
                .expect_err("not here")
                .contains("environment")
        );
        let inline = "topic = { t = { schema = { a = \"i64\" } } }\nnode = { n = { plugin = \"p\", input = \"t\", view = \"v\" } }\n";
        assert!(
            edited(inline, "once")
                .expect_err("not here")
                .contains("section")
        );
    }
}
