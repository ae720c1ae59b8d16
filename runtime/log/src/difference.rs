//! How the declaration of a topic differs from the topic that is there: field by field, by name. The order in which a
//! declaration names fields says nothing.

use crate::schema::{Field, Kind, Schema};
use crate::schemas::{Defaults, Value};
use crate::topic::TopicSpec;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A field that the topic does not have.
    Added(Field),
    /// A field that the declaration does not have.
    Gone(Field),
    /// A field of another type.
    Retyped {
        /// Its name.
        name: String,
        /// Its type in the topic.
        was: Kind,
        /// Its type in the declaration.
        is: Kind,
    },
    /// A field that may be null in the declaration, and not in the topic.
    Relaxed(String),
    /// A field that may be null in the topic, and not in the declaration.
    Tightened(String),
    /// Another default.
    Default {
        /// The field.
        name: String,
        /// In the topic.
        was: Option<Value>,
        /// In the declaration.
        is: Option<Value>,
    },
    /// Something else than a field: its name.
    Other(&'static str),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Difference::Added(field) => write!(f, "the field `{field}` is new"),
            Difference::Gone(field) => write!(f, "the field `{field}` is not declared any more"),
            Difference::Retyped { name, was, is } => {
                write!(
                    f,
                    "the field `{name}` is {}, and was {}",
                    is.name(),
                    was.name()
                )
            }
            Difference::Relaxed(name) => write!(f, "the field `{name}` may be null now"),
            Difference::Tightened(name) => write!(f, "the field `{name}` may not be null any more"),
            Difference::Default { name, was, is } => {
                let text =
                    |value: &Option<Value>| value.as_ref().map_or("none".into(), Value::to_string);
                let (was, is) = (text(was), text(is));
                write!(
                    f,
                    "the default of the field `{name}` is {is}, and was {was}"
                )
            }
            Difference::Other(what) => write!(f, "its {what} changed"),
        }
    }
}

/// What differs between the fields of a topic and those of a declaration: those of the topic first, in its order.
pub fn of_fields(was: &Schema, is: &Schema) -> Vec<Difference> {
    let mut found = Vec::new();
    for old in was.fields() {
        let Some(new) = is.field(&old.name) else {
            found.push(Difference::Gone(old.clone()));
            continue;
        };
        let name = || old.name.clone();
        if old.kind != new.kind {
            found.push(Difference::Retyped {
                name: name(),
                was: old.kind,
                is: new.kind,
            });
        }
        match (old.nullable, new.nullable) {
            (false, true) => found.push(Difference::Relaxed(name())),
            (true, false) => found.push(Difference::Tightened(name())),
            _ => {}
        }
    }
    let new = is.fields().iter();
    let new = new.filter(|field| was.field(&field.name).is_none());
    found.extend(new.cloned().map(Difference::Added));
    found
}

/// What differs between the defaults of fields that both have.
fn of_defaults(was: &TopicSpec, is: &TopicSpec) -> Vec<Difference> {
    let default = |defaults: &Defaults, name: &str| defaults.get(name).cloned();
    let fields = was.schema.fields().iter().filter_map(|field| {
        let new = is.schema.field(&field.name)?;
        let (was, is) = (
            default(&was.defaults, &field.name),
            default(&is.defaults, &field.name),
        );
        let same = was.as_ref().and_then(|value| value.widened(new.kind)) == is;
        (!same).then(|| Difference::Default {
            name: field.name.clone(),
            was,
            is,
        })
    });
    fields.collect()
}

impl TopicSpec {
    /// What a declaration would change of the rows of this topic, or of where they stand. What may change at any time
    /// is left out.
    pub fn differences(&self, declared: &TopicSpec) -> Vec<Difference> {
        let others = [
            ("kind", self.origin != declared.origin),
            ("key", self.key != declared.key),
            ("time field", self.time != declared.time),
            (
                "number of partitions",
                self.partitions != declared.partitions,
            ),
        ];
        let others = others.into_iter().filter(|(_, differs)| *differs);
        let mut found: Vec<Difference> = others.map(|(what, _)| Difference::Other(what)).collect();
        found.extend(of_fields(&self.schema, &declared.schema));
        found.extend(of_defaults(self, declared));
        found
    }
}

/// Differences as part of a sentence.
pub fn sentence(differences: &[Difference]) -> String {
    let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_compared_by_name() {
        let was = Schema::new(vec![
            Field::new("a", Kind::I64),
            Field::new("b", Kind::Text),
            Field::new("c", Kind::Bool).nullable(),
            Field::new("d", Kind::I64),
        ]);
        let mut turned = was.fields().to_vec();
        turned.reverse();
        assert_eq!(of_fields(&was, &Schema::new(turned)), []);
        let is = Schema::new(vec![
            Field::new("e", Kind::F64).nullable(),
            Field::new("c", Kind::Bool),
            Field::new("b", Kind::Text).nullable(),
            Field::new("a", Kind::F64),
        ]);
        let found = of_fields(&was, &is);
        let text = "the field `a` is f64, and was i64, the field `b` may be null now, the field `c` may not be null any \
                    more, the field `d: i64` is not declared any more, the field `e: f64?` is new";
        assert_eq!(sentence(&found), text);
    }
}
