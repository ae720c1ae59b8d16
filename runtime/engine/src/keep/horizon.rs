//! How far back the log has to reach so that what nodes have can be computed anew, all of it: the longest backfill. Pure.
//!
//! A view of windows that are kept for a while needs that while, the window and its lateness; whatever has its beginning in
//! the first row needs everything. A derived topic is needed for as long as its readers need it and as its own rule keeps
//! it, and so is what it is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::units::{Age, MONTH_US};
use crate::pipeline::{Output, PlannedNode, Rule, Window};

/// A span of the log, back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Horizon {
    /// So many microseconds.
    Us(i64),
    /// All of it.
    Ever,
}

/// What is needed of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// How far back.
    pub horizon: Horizon,
    /// Whose results need so much: `node delays`; `topic clean`, which is kept for so long itself.
    pub by: String,
}

impl Horizon {
    /// Months of 30 days; none: all there is.
    pub fn months(self) -> Option<f64> {
        match self {
            Horizon::Us(us) => Some(us as f64 / MONTH_US as f64),
            Horizon::Ever => None,
        }
    }

    fn and(self, other: Horizon) -> Horizon {
        match (self, other) {
            (Horizon::Us(a), Horizon::Us(b)) => Horizon::Us(a.saturating_add(b)),
            _ => Horizon::Ever,
        }
    }
}

/// What these nodes need of each topic that they read, to be computed anew. `rules`: what is kept of topics.
pub fn needed(nodes: &[&PlannedNode], rules: &BTreeMap<String, Rule>) -> BTreeMap<String, Needed> {
    let topics = nodes.iter().flat_map(|node| node.input_topics());
    let each = topics.filter_map(|topic| {
        let needed = of_topic(&topic, nodes, rules)?;
        Some((topic, needed))
    });
    each.collect()
}

/// Whether a rule keeps less than is needed. `rate`: bytes a month, where that is known.
pub fn is_short(rule: &Rule, horizon: Horizon, rate: Option<f64>) -> bool {
    let Horizon::Us(needed_us) = horizon else {
        return !rule.is_empty();
    };
    let by_age = rule.age.is_some_and(|age| age_us(age) < needed_us);
    let kept = rule
        .bytes
        .zip(rate)
        .map(|(bytes, rate)| bytes as f64 / rate);
    by_age
        || kept
            .zip(horizon.months())
            .is_some_and(|(kept, needed)| kept < needed)
}

fn of_topic(topic: &str, nodes: &[&PlannedNode], rules: &BTreeMap<String, Rule>) -> Option<Needed> {
    let readers = nodes.iter().flat_map(|node| {
        let inputs = node.inputs.iter().filter(|input| input.topic == topic);
        inputs.map(move |input| (*node, input.disorder_us))
    });
    let needs = readers.map(|(node, disorder_us)| {
        let needed = of_node(node, nodes, rules);
        Needed {
            horizon: needed.horizon.and(Horizon::Us(disorder_us)),
            ..needed
        }
    });
    // Of equal ones the first in the order of the nodes.
    needs.reduce(|a, b| if b.horizon > a.horizon { b } else { a })
}

/// What a node needs of what it reads.
fn of_node(node: &PlannedNode, nodes: &[&PlannedNode], rules: &BTreeMap<String, Rule>) -> Needed {
    let own = format!("node {}", node.name);
    let outcome = match &node.output {
        Output::View(_) => Needed {
            horizon: node.keep_us.map_or(Horizon::Ever, Horizon::Us),
            by: own.clone(),
        },
        Output::Topic(topic) => {
            let age = rules.get(topic).and_then(|rule| rule.age);
            let kept = Needed {
                horizon: age.map_or(Horizon::Ever, |age| Horizon::Us(age_us(age))),
                by: format!("topic {topic}"),
            };
            match of_topic(topic, nodes, rules) {
                Some(read) if read.horizon >= kept.horizon => read,
                _ => kept,
            }
        }
    };
    match reach(node) {
        Horizon::Ever => Needed {
            horizon: Horizon::Ever,
            by: own,
        },
        reach => Needed {
            horizon: outcome.horizon.and(reach),
            by: outcome.by,
        },
    }
}

/// How far before a result the rows are that it is made of.
fn reach(node: &PlannedNode) -> Horizon {
    if !node.about.kind.keeps_state() {
        return Horizon::Us(0);
    }
    let (span_us, lateness_us) = match &node.window {
        Some(Window::Tumbling {
            size_us,
            lateness_us,
            ..
        })
        | Some(Window::Sliding {
            size_us,
            lateness_us,
            ..
        }) => (*size_us, *lateness_us),
        // How long a session lasts nobody knows; what is before a silence belongs to another one.
        Some(Window::Session {
            gap_us,
            lateness_us,
            ..
        }) => (*gap_us, *lateness_us),
        // A total, rows counted from the first, states of a plugin's own making.
        Some(Window::Count { .. }) | None => return Horizon::Ever,
    };
    Horizon::Us(span_us.saturating_add(lateness_us))
}

/// At most so long, months being of 30 days.
fn age_us(age: Age) -> i64 {
    match age {
        Age::Us(us) => us,
        Age::Months(months) => MONTH_US.saturating_mul(i64::from(months)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{check, parse};
    use refrain_log::schema::{Field, Kind};
    use refrain_plugin::{About, PluginKind};

    const DAY: i64 = 86_400_000_000;

    /// A plugin of that kind that reads and writes one number.
    fn about(name: &str) -> About {
        let kind = match name {
            "fold" => PluginKind::Fold,
            _ => PluginKind::Transform,
        };
        About {
            name: name.into(),
            version: "1".into(),
            doc: String::new(),
            kind,
            inputs: vec![Field::new("n", Kind::I64)],
            outputs: match kind {
                PluginKind::Transform => vec![
                    Field::new("at", Kind::Timestamp),
                    Field::new("k", Kind::I64),
                    Field::new("n", Kind::I64),
                ],
                _ => vec![Field::new("sum", Kind::I64)],
            },
            wants_keys: false,
            merges: true,
            migrates: false,
            state_version: 1,
            settings: Vec::new(),
            process: None,
        }
    }

    fn needs(nodes: &str) -> BTreeMap<String, (Horizon, String)> {
        let topic = "[topic.t]\nschema = { at = \"timestamp\", k = \"i64\", n = \"i64\" }\ntime = \"at\"\nkey = [\"k\"]\n\
                     disorder = \"2h\"\n";
        let declaration = parse("refrain.toml", &format!("{topic}{nodes}"), &|_| None).unwrap();
        let mut load = |name: &str| Ok(about(name));
        let plan = check(&declaration, &mut load).unwrap();
        let nodes: Vec<&PlannedNode> = plan.nodes.iter().collect();
        let all = needed(&nodes, &declaration.retention).into_iter();
        all.map(|(topic, n)| (topic, (n.horizon, n.by))).collect()
    }

    fn fold(name: &str, input: &str, window: &str) -> String {
        format!(
            "[node.{name}]\nplugin = \"fold\"\ninput = \"{input}\"\nkey = [\"k\"]\n{window}\nview = \"{name}\"\n"
        )
    }

    fn days(days: i64) -> Horizon {
        Horizon::Us(days * DAY)
    }

    const KEPT: &str = "window = { tumbling = \"1d\", lateness = \"22h\" }\nkeep = \"30d\"";

    #[test]
    fn kept_windows_need_what_they_keep_and_their_rows() {
        let of = |window: &str| needs(&fold("a", "t", window))["t"].clone();
        // 30 days, the window, its lateness, and the disorder of the topic.
        assert_eq!(of(KEPT), (days(32), "node a".into()));
        let sliding =
            "window = { sliding = \"2d\", every = \"1d\", lateness = \"22h\" }\nkeep = \"30d\"";
        assert_eq!(of(sliding).0, days(33));
        let session = "window = { session = \"1d\", lateness = \"22h\" }\nkeep = \"30d\"";
        assert_eq!(of(session).0, days(32));
    }

    #[test]
    fn what_begins_with_the_first_row_needs_everything() {
        for window in [
            "window = { tumbling = \"1d\" }",
            "",
            "window = { count = 5 }",
        ] {
            let both = fold("a", "t", window) + &fold("b", "t", KEPT);
            assert_eq!(
                needs(&both)["t"],
                (Horizon::Ever, "node a".into()),
                "{window}"
            );
        }
    }

    #[test]
    fn a_derived_topic_needs_what_its_readers_and_its_rule_need() {
        let clean = "[node.clean]\nplugin = \"pass\"\ninput = \"t\"\ntopic = \"c\"\n";
        let rule = |age: &str| format!("[retention]\nc = \"{age}\"\n");
        let of = |more: &str| needs(&format!("{clean}{}{more}", fold("a", "c", KEPT)));
        let short = of(&rule("7d"));
        let lateness_and_all = days(32).and(Horizon::Us(-DAY / 12));
        assert_eq!(short["c"], (lateness_and_all, "node a".into()));
        assert_eq!(short["t"], (days(32), "node a".into()));
        let long = of(&rule("12 months"));
        assert_eq!(long["t"].0, days(360).and(Horizon::Us(DAY / 12)));
        assert_eq!(long["t"].1, "topic c");
        assert_eq!(of("")["t"], (Horizon::Ever, "topic c".into()));
    }

    #[test]
    fn a_rule_is_short_by_age_or_by_bytes() {
        let rule = |age: Option<u32>, bytes| Rule {
            age: age.map(Age::Months),
            bytes,
        };
        let month = Horizon::Us(MONTH_US);
        assert!(!is_short(&rule(None, None), Horizon::Ever, None));
        assert!(is_short(&rule(Some(24), None), Horizon::Ever, None));
        assert!(!is_short(&rule(Some(1), None), month, None));
        assert!(is_short(
            &rule(Some(1), None),
            Horizon::Us(MONTH_US + 1),
            None
        ));
        assert!(!is_short(&rule(None, Some(10)), month, None));
        assert!(!is_short(&rule(None, Some(10)), month, Some(10.0)));
        assert!(is_short(&rule(Some(9), Some(10)), month, Some(11.0)));
    }
}
