//! Source topics as the pipeline file declares them, against those that the log has, and the way from one to the other.
//! The file may have been edited since the host opened it; the log is what rows are read from.

use refrain_log::alter;
use refrain_log::difference::Difference;
use refrain_log::topic::TopicSpec;
use refrain_state::registry::Decision;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::names;
use crate::pipeline::{Plan, PlannedNode, SourceTopic, source_topics};
use crate::request::TopicStatus;
use crate::versions::{VersionName, Versions};

/// What has to be done for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopicNeed {
    /// It is not there: it begins with the next run or append.
    New,
    /// Nothing.
    Same,
    /// `refrain topic alter`.
    Alter,
    /// Another topic, and a replay.
    NewTopic,
}

/// One source topic of the pipeline file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicChange {
    /// The topic.
    pub topic: String,
    /// What has to be done.
    pub need: TopicNeed,
    /// What differs, or why it cannot be altered.
    pub reasons: Vec<String>,
}

/// An alteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterOrder {
    /// The topic.
    pub topic: String,
    /// Do it; else only say what would be done.
    pub confirm: bool,
}

/// What an alteration changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    /// The topic.
    pub topic: String,
    /// Number of its schema's version with the alteration.
    pub version: u32,
    /// What changes; empty: the pipeline file says what the log has.
    pub changes: Vec<String>,
    /// Rows that are there, which are read as the new version.
    pub rows: u64,
    /// Whether it was done.
    pub done: bool,
}

impl TopicChange {
    /// Compares a declaration with the topic that is there.
    fn of(declared: &TopicSpec, there: Option<&TopicSpec>) -> TopicChange {
        let (need, reasons) = match there {
            None => (TopicNeed::New, Vec::new()),
            Some(there) => {
                let differences = there.differences(declared);
                let said = differences.iter().map(ToString::to_string).collect();
                match alter::decide(there, declared) {
                    _ if differences.is_empty() => (TopicNeed::Same, Vec::new()),
                    Ok(_) => (TopicNeed::Alter, said),
                    Err(refused) => (TopicNeed::NewTopic, refused),
                }
            }
        };
        TopicChange {
            topic: declared.name.clone(),
            need,
            reasons,
        }
    }

    /// What is to be done before rows are appended or nodes run; none: nothing.
    fn sentence(&self) -> Option<String> {
        let (topic, reasons) = (&self.topic, self.reasons.join("; "));
        match self.need {
            TopicNeed::New | TopicNeed::Same => None,
            TopicNeed::Alter => Some(format!(
                "topic {topic} has another schema in the log than in the pipeline file: {reasons}; apply it with `refrain \
                 topic alter {topic}`, or put the declaration back"
            )),
            TopicNeed::NewTopic => Some(format!(
                "topic {topic} has rows under another declaration than the pipeline file's: {reasons}; put the declaration \
                 back, or declare a new topic and replay into it"
            )),
        }
    }
}

/// Why rows decoded by this declaration cannot go to the topic as it stands, and what to do; none: they can.
pub fn refusal(status: &TopicStatus, declared: &TopicSpec) -> Option<String> {
    let there = TopicSpec {
        schema: status.schema.clone(),
        key: status.key.clone(),
        time: status.time.clone(),
        partitions: status.partitions.len() as u32,
        defaults: status.defaults.clone(),
        origin: status.origin,
        ..declared.clone()
    };
    TopicChange::of(declared, Some(&there)).sentence()
}

impl Host {
    /// The source topics of a plan, against those of the log.
    pub(crate) fn topic_changes(&self, topics: &[SourceTopic]) -> Vec<TopicChange> {
        topics
            .iter()
            .map(|topic| self.topic_change(&topic.spec))
            .collect()
    }

    fn topic_change(&self, declared: &TopicSpec) -> TopicChange {
        let there = self.log.topic(&declared.name);
        TopicChange::of(declared, there.as_ref().map(|topic| topic.spec()))
    }

    /// Refuses a node whose source topics are not in the log as they are in the plan: it was planned for rows that are
    /// not there.
    pub(crate) fn refuse_other_topics(&self, plan: &Plan, node: &PlannedNode) -> Result<()> {
        let its = plan.topics.iter().filter(|t| node.reads(&t.spec.name));
        let sentences = its.filter_map(|topic| self.topic_change(&topic.spec).sentence());
        first_refused(sentences)
    }

    /// Refuses a run over topics that are not in the log as the pipeline file had them when it was read.
    pub(crate) fn refuse_redeclared(&self) -> Result<()> {
        let topics = source_topics(self.declaration()).map_err(Error::Pipeline)?;
        let altered = self.altered.lock().expect("nobody panics with it");
        let read = topics.iter().filter(|t| !altered.contains(&t.spec.name));
        first_refused(read.filter_map(|topic| self.topic_change(&topic.spec).sentence()))
    }

    /// Gives a topic the schema that the pipeline file says now, or says what that would change.
    pub fn alter_topic(&self, order: &AlterOrder) -> Result<Alteration> {
        let declaration = self.project().declaration()?;
        let topics = source_topics(&declaration).map_err(Error::Pipeline)?;
        let found = topics.iter().find(|t| t.spec.name == order.topic);
        let declared = &found.ok_or_else(|| unknown(&topics, &order.topic))?.spec;
        // No version comes or goes meanwhile.
        self.state.decide(|registry| {
            let versions = Versions::read(registry)?;
            let alteration = self.alter_under(order, declared, &versions)?;
            Ok((Decision::default(), alteration))
        })
    }

    fn alter_under(
        &self,
        order: &AlterOrder,
        declared: &TopicSpec,
        versions: &Versions,
    ) -> Result<Alteration> {
        let name = &declared.name;
        let Some(topic) = self.log.topic(name) else {
            return Err(Error::Refused(format!(
                "topic {name} is new in the pipeline file, and needs no alteration: it begins with the next run"
            )));
        };
        let differences = topic.spec().differences(declared);
        if let Err(refused) = alter::decide(topic.spec(), declared) {
            return Err(Error::Refused(format!(
                "topic {name} is not altered: {}; declare a new topic and replay into it",
                refused.join("; ")
            )));
        }
        if let Some(why) = hindrance(versions, name, &differences)? {
            return Err(Error::Refused(format!(
                "topic {name} is not altered: {why}; build a version of that node which takes it so, and let go of the old \
                 one, or declare a new topic and replay into it"
            )));
        }
        let done = order.confirm && !differences.is_empty();
        if done {
            self.log.alter(declared.clone())?;
            let mut altered = self.altered.lock().expect("nobody panics with it");
            altered.insert(name.clone());
        }
        let rows = (0..topic.spec().partitions).map(|p| topic.end(p).0 - topic.start(p).0);
        Ok(Alteration {
            topic: name.clone(),
            version: topic.version() + u32::from(!differences.is_empty()),
            changes: differences.iter().map(ToString::to_string).collect(),
            rows: rows.sum(),
            done,
        })
    }
}

fn first_refused(mut sentences: impl Iterator<Item = String>) -> Result<()> {
    match sentences.next() {
        Some(sentence) => Err(Error::Refused(sentence)),
        None => Ok(()),
    }
}

fn unknown(topics: &[SourceTopic], name: &str) -> Error {
    let all = topics.iter().map(|t| t.spec.name.as_str());
    let none = "the pipeline file declares none; write a [topic.NAME] section";
    Error::Refused(names::unknown("source topic", name, all, none))
}

/// Which build of which version of a node would not get what it reads; a sentence. All count: those that are read, those
/// that are built, and those that are kept to go back to.
fn hindrance(
    versions: &Versions,
    topic: &str,
    differences: &[Difference],
) -> Result<Option<String>> {
    for (node, known) in versions.nodes() {
        for (number, version) in &known.versions {
            for build in version.builds()? {
                let name = VersionName::new(node, *number);
                let why = differences
                    .iter()
                    .find_map(|difference| hinders(&build, topic, difference));
                if let Some(why) = why {
                    let plugin = &build.plugin;
                    return Ok(Some(format!("node {name} (plugin {plugin}) {why}")));
                }
            }
        }
    }
    Ok(None)
}

/// Why a build of a node does not take a difference.
fn hinders(build: &PlannedNode, topic: &str, difference: &Difference) -> Option<String> {
    let name = match difference {
        Difference::Retyped { name, .. } | Difference::Relaxed(name) => name,
        _ => return None,
    };
    let inputs = build.inputs.iter().enumerate();
    for (place, input) in inputs.filter(|(_, input)| input.topic == topic) {
        if build.key_of(input).contains(name) {
            return Some(format!("has `{name}` in its key"));
        }
        let reads = build.about.reads(place).iter().find(|f| f.name == *name);
        let Some(read) = reads else { continue };
        match difference {
            Difference::Retyped { is, .. } if read.kind != *is => {
                return Some(format!("reads `{name}` as {}", read.kind.name()));
            }
            Difference::Relaxed(_) if !read.nullable => {
                let kind = read.kind.name();
                return Some(format!(
                    "reads `{name}` as {kind}, which does not take null"
                ));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use refrain_log::schema::{Field, Kind, Schema};
    use refrain_log::topic::Origin;

    use super::*;

    fn spec(fields: Vec<Field>) -> TopicSpec {
        TopicSpec {
            name: "t".into(),
            origin: Origin::Source,
            schema: Schema::new(fields),
            key: Vec::new(),
            time: None,
            partitions: 1,
            ahead_us: 0,
            idle_us: None,
            segment_bytes: 1 << 20,
            defaults: Default::default(),
        }
    }

    #[test]
    fn a_topic_is_new_the_same_to_be_altered_or_another() {
        let there = spec(vec![
            Field::new("a", Kind::I64),
            Field::new("b", Kind::Text),
        ]);
        let of = |fields: Vec<Field>| TopicChange::of(&spec(fields), Some(&there));
        assert_eq!(TopicChange::of(&there, None).need, TopicNeed::New);
        let (a, b) = (Field::new("a", Kind::I64), Field::new("b", Kind::Text));
        let same = of(vec![b.clone(), a.clone()]);
        assert_eq!((same.need, same.sentence()), (TopicNeed::Same, None));
        let more = of(vec![
            Field::new("c", Kind::F64).nullable(),
            a.clone(),
            b.clone(),
        ]);
        assert_eq!(more.need, TopicNeed::Alter);
        let said = more.sentence().expect("something is to be done");
        assert!(said.contains("`c: f64?` is new") && said.contains("refrain topic alter t"));
        let other = of(vec![a]);
        assert_eq!(other.need, TopicNeed::NewTopic);
        let said = other.sentence().expect("something is to be done");
        assert!(said.contains("declare it again") && !said.contains("topic alter"));
    }
}
