//! What an alteration of a topic may change: a pure decision over what is there and what is declared.
//!
//! A row that was written stays the row that it is. So a field may be added where rows that lack it have a value for it,
//! a type may be widened where every value stays the value that it is, and a field may be null from now on. Key and event
//! time stay as they are: where a row stands hangs on them. Nothing is taken away.

use crate::Error;
use crate::difference::{self, Difference};
use crate::schema::{Field, Kind, Schema};
use crate::topic::{Origin, TopicSpec};
use crate::widen::widens;

/// The declaration that the topic has after the alteration: its fields where they are, new ones behind them.
///
/// # Errors
/// Why it cannot be: a sentence for each thing.
pub fn decide(was: &TopicSpec, declared: &TopicSpec) -> Result<TopicSpec, Vec<String>> {
    let differences = was.differences(declared);
    let refused: Vec<String> = differences
        .iter()
        .filter_map(|difference| refusal(difference, was, declared))
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let field = |old: &Field| {
        let new = declared.schema.field(&old.name).cloned();
        new.unwrap_or_else(|| old.clone())
    };
    let mut fields: Vec<Field> = was.schema.fields().iter().map(field).collect();
    fields.extend(differences.into_iter().filter_map(|d| match d {
        Difference::Added(field) => Some(field),
        _ => None,
    }));
    Ok(TopicSpec {
        schema: Schema::new(fields),
        ..declared.clone()
    })
}

/// The error for a declaration that is not what is there.
pub(crate) fn error(was: &TopicSpec, declared: &TopicSpec) -> Error {
    Error::Redeclared {
        topic: was.name.clone(),
        differences: was.differences(declared),
        refused: decide(was, declared).err().unwrap_or_default(),
    }
}

/// What is to be done about a declaration that is not what is there.
pub(crate) fn sentence(topic: &str, differences: &[Difference], refused: &[String]) -> String {
    let (what, way) = match refused.is_empty() {
        true => (
            difference::sentence(differences),
            "alter it, or put the declaration back",
        ),
        false => (refused.join("; "), "declare a new topic and replay into it"),
    };
    format!("topic {topic} has rows under another declaration: {what}; {way}")
}

/// Why one difference cannot be.
fn refusal(difference: &Difference, was: &TopicSpec, declared: &TopicSpec) -> Option<String> {
    let role = |name: &str| match () {
        () if was.key.iter().any(|key| key == name) => Some("a key"),
        () if was.time.as_deref() == Some(name) => Some("the event time"),
        () => None,
    };
    let why = match difference {
        _ if was.origin == Origin::Derived => "its node writes it".to_owned(),
        Difference::Other(_) => return Some(difference.to_string()),
        Difference::Added(field) => {
            let has_value = field.nullable || declared.defaults.contains_key(&field.name);
            if has_value {
                return None;
            }
            let kind = field.kind.name();
            format!(
                "rows that are there would have no value: allow null, `{kind}?`, or give it a default"
            )
        }
        Difference::Gone(_) => "rows that are there have it: declare it again".to_owned(),
        Difference::Tightened(_) => "rows that are there may be without it".to_owned(),
        Difference::Retyped { name, .. } | Difference::Relaxed(name) if role(name).is_some() => {
            format!(
                "it is {}, which stays as it is",
                role(name).unwrap_or_default()
            )
        }
        Difference::Relaxed(_) | Difference::Default { .. } => return None,
        Difference::Retyped { was, is, .. } if widens(*was, *is) => return None,
        Difference::Retyped { was, is, .. } => not_widened(*was, *is).to_owned(),
    };
    Some(format!("{difference} ({why})"))
}

/// Why a type does not become another one.
fn not_widened(was: Kind, is: Kind) -> &'static str {
    match (was, is) {
        (Kind::I64 | Kind::Timestamp | Kind::Bool, Kind::F64) => {
            "an f64 has whole numbers only up to 2^53: add a field of another name, or let a plugin convert it"
        }
        _ => "only bool and timestamp become i64, and text bytes, without loss",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::Value;

    fn spec(fields: Vec<Field>) -> TopicSpec {
        TopicSpec {
            name: "events".into(),
            origin: Origin::Source,
            schema: Schema::new(fields),
            key: vec!["id".into()],
            time: Some("at".into()),
            partitions: 1,
            ahead_us: 0,
            idle_us: None,
            segment_bytes: 1 << 20,
            defaults: Default::default(),
        }
    }

    fn was() -> Vec<Field> {
        vec![
            Field::new("at", Kind::Timestamp),
            Field::new("id", Kind::Bool),
            Field::new("seen", Kind::Timestamp),
            Field::new("note", Kind::Text).nullable(),
            Field::new("n", Kind::I64),
        ]
    }

    #[test]
    fn rows_that_are_there_stay_what_they_are() {
        let refused = |change: &dyn Fn(&mut TopicSpec)| {
            let mut declared = spec(was());
            change(&mut declared);
            decide(&spec(was()), &declared)
                .err()
                .map(|list| list.join("; "))
        };
        let field = |place: usize, field: Field| {
            refused(&move |spec: &mut TopicSpec| {
                let mut fields = spec.schema.fields().to_vec();
                fields[place] = field.clone();
                spec.schema = Schema::new(fields);
            })
        };
        assert_eq!(field(2, Field::new("seen", Kind::I64)), None);
        assert_eq!(field(3, Field::new("note", Kind::Bytes).nullable()), None);
        assert_eq!(field(4, Field::new("n", Kind::I64).nullable()), None);
        for (place, bad, says) in [
            (0, Field::new("at", Kind::I64), "it is the event time"),
            (1, Field::new("id", Kind::I64), "it is a key"),
            (1, Field::new("id", Kind::Bool).nullable(), "it is a key"),
            (2, Field::new("seen", Kind::Text), "without loss"),
            (3, Field::new("note", Kind::Text), "may be without it"),
            (4, Field::new("n", Kind::F64), "2^53"),
            (4, Field::new("m", Kind::I64), "declare it again"),
        ] {
            let why = field(place, bad).expect("refused");
            assert!(why.contains(says), "{why}");
        }
        let added = |field: Field, default: Option<Value>| {
            refused(&move |spec: &mut TopicSpec| {
                let mut fields = vec![field.clone()];
                fields.extend_from_slice(spec.schema.fields());
                spec.schema = Schema::new(fields);
                let default = default.clone().map(|value| (field.name.clone(), value));
                spec.defaults.extend(default);
            })
        };
        assert_eq!(added(Field::new("new", Kind::F64).nullable(), None), None);
        assert_eq!(
            added(Field::new("new", Kind::I64), Some(Value::I64(0))),
            None
        );
        let why = added(Field::new("new", Kind::I64), None).expect("refused");
        assert!(why.contains("no value") && why.contains("`i64?`"), "{why}");
        let why = refused(&|spec| spec.partitions = 2).expect("refused");
        assert_eq!(why, "its number of partitions changed");
    }

    #[test]
    fn fields_keep_their_places_and_new_ones_come_behind() {
        let mut fields = was();
        fields.reverse();
        fields.insert(2, Field::new("y", Kind::Text).nullable());
        fields.insert(0, Field::new("x", Kind::Text).nullable());
        let altered = decide(&spec(was()), &spec(fields)).unwrap();
        let names = altered.schema.fields().iter().map(|f| f.name.as_str());
        let names: Vec<&str> = names.collect();
        assert_eq!(names, ["at", "id", "seen", "note", "n", "x", "y"]);
    }
}
