//! The graph with its freshness as text: mermaid, for pages that draw it.

use super::planner::Tiers;
use super::words::{span, span_or_dash};

/// What is written on an edge: how old, the tier, and how old it may be.
pub(super) fn label(
    achieved_us: Option<i64>,
    tier: Option<&str>,
    required_us: Option<i64>,
) -> String {
    let tier = tier.map_or("no tier".into(), |t| format!("tier {t}"));
    let got = match achieved_us {
        Some(0) => "as it comes".into(),
        Some(us) => format!("≤ {} old, {tier}", span(us)),
        None => "nobody knows how old".into(),
    };
    match required_us {
        Some(us) => format!("{got}; needed {}", span(us)),
        None => format!("{got}; no need"),
    }
}

/// A flow chart in mermaid's language: topics, nodes with their rhythm, consumers with need and slack.
pub fn mermaid(tiers: &Tiers, sources: &[String]) -> String {
    let mut out = String::from("flowchart LR\n");
    for source in sources {
        out.push_str(&format!(
            "  {}[(\"{}\")]\n",
            id("t", source),
            quoted(source)
        ));
    }
    for node in &tiers.nodes {
        let auto = if node.auto { " (auto)" } else { "" };
        let text = format!(
            "{}<br/>{}{auto}",
            quoted(&node.name),
            quoted(&node.rhythm.to_string())
        );
        out.push_str(&format!("  {}[\"{text}\"]\n", id("n", &node.name)));
    }
    for consumer in &tiers.consumers {
        let text = format!(
            "{}<br/>needs {}, gets {}<br/>slack {}",
            quoted(&consumer.name),
            span_or_dash(consumer.need_us),
            span_or_dash(consumer.achieved_us),
            span_or_dash(consumer.slack_us)
        );
        let late = consumer.slack_us.is_some_and(|us| us < 0);
        let class = if late { ":::late" } else { "" };
        out.push_str(&format!(
            "  {}([\"{text}\"]){class}\n",
            id("c", &consumer.name)
        ));
    }
    for edge in &tiers.edges {
        let from = match sources.contains(&edge.from) {
            true => id("t", &edge.from),
            false => id("n", &edge.from),
        };
        let to = id(if edge.consumer { "c" } else { "n" }, &edge.to);
        let label = label(edge.achieved_us, edge.tier.as_deref(), edge.required_us);
        out.push_str(&format!("  {from} -- \"{}\" --> {to}\n", quoted(&label)));
    }
    out.push_str("  classDef late stroke:#b00020,stroke-width:3px\n");
    out
}

fn id(kind: &str, name: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_string(),
        false => format!("_{:x}_", u32::from(c)),
    };
    let name: String = name.chars().map(plain).collect();
    format!("{kind}_{name}")
}

fn quoted(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace("&lt;br/&gt;", "<br/>")
}
