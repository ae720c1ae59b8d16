//! Drawings of random graphs: each edge has its label, no two labels share a place, and what is drawn is XML.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::graphs;
use crate::tiers::{Tiers, draw, plan, svg};

/// Names that are hard to write in a picture.
fn renamed(tiers: &mut Tiers, sources: &mut [String]) {
    let hard = |name: &mut String| *name = format!("{name} <&\"'> 名");
    sources.iter_mut().for_each(hard);
    tiers.nodes.iter_mut().for_each(|n| hard(&mut n.name));
    for edge in &mut tiers.edges {
        hard(&mut edge.from);
        hard(&mut edge.to);
    }
    for consumer in &mut tiers.consumers {
        hard(&mut consumer.name);
        hard(&mut consumer.node);
    }
}

/// Left, top, right and bottom of a text, as wide as its letters are at most.
fn extent(node: &roxmltree::Node) -> (i32, i32, i32, i32) {
    let number = |name| {
        node.attribute(name)
            .expect("a place")
            .parse::<i32>()
            .expect("one")
    };
    let width = node.text().unwrap_or_default().chars().count() as i32 * 7;
    let left = match node.attribute("text-anchor") {
        Some("end") => number("x") - width,
        _ => number("x") - width / 2,
    };
    (left, number("y") - 10, left + width, number("y") + 3)
}

fn overlap(a: (i32, i32, i32, i32), b: (i32, i32, i32, i32)) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

proptest! {
    #[test]
    fn every_edge_has_its_label(graph in graphs(), hard in any::<bool>()) {
        let mut tiers = plan(&graph);
        let mut sources: Vec<String> = graph.sources.iter().map(|s| s.name.clone()).collect();
        if hard {
            renamed(&mut tiers, &mut sources);
        }
        let edges = tiers.edges.len();
        let mermaid = draw::mermaid(&tiers, &sources);
        let lines = mermaid.lines().filter(|line| line.contains(" --> "));
        let labelled = lines.clone().filter(|line| {
            let label = line.split(" -- \"").nth(1).and_then(|rest| rest.split("\" --> ").next());
            label.is_some_and(|label| label.contains("need"))
        });
        prop_assert_eq!(lines.count(), edges);
        prop_assert_eq!(labelled.count(), edges);

        let picture = svg(&tiers, &sources);
        let xml = roxmltree::Document::parse(&picture).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let named = |name: &'static str| xml.descendants().filter(move |n| n.has_tag_name(name));
        let lines = named("path").filter(|n| n.attribute("marker-end").is_some());
        prop_assert_eq!(lines.count(), edges);
        // Labels end at their edges; what is in boxes is in the middle.
        let labels = named("text").filter(|n| n.attribute("text-anchor") == Some("end"));
        prop_assert_eq!(labels.count(), 2 * edges, "how old it is, how old it may be");
        let texts: Vec<_> = named("text").map(|n| extent(&n)).collect();
        for (i, a) in texts.iter().enumerate() {
            for b in &texts[i + 1..] {
                prop_assert!(!overlap(*a, *b), "{:?} {:?}\n{}", a, b, picture);
            }
        }
        let size = |name| xml.root_element().attribute(name).and_then(|n| n.parse::<i32>().ok());
        let (width, height) = (size("width").unwrap_or(0), size("height").unwrap_or(0));
        let inside = |t: &(i32, i32, i32, i32)| t.0 >= 0 && t.1 >= 0 && t.2 <= width && t.3 <= height;
        prop_assert!(texts.iter().all(inside), "{picture}");
        let ids: BTreeSet<_> = mermaid.lines().filter(|l| !l.contains("-->") && l.starts_with("  ") && !l.contains("classDef"))
            .filter_map(|l| l.trim().split(['[', '(']).next().map(str::to_owned)).collect();
        prop_assert_eq!(ids.len(), sources.len() + tiers.nodes.len() + tiers.consumers.len());
    }
}
