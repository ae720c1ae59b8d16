//! What a node reads of its inputs: fields found by name and type in the schema of the topic as the log has it. The plan
//! says which fields; where they stand is the log's to say, since the pipeline file may name them in another order.

use refrain_log::schema::{Field, Kind, Schema};

use super::NodeSetup;
use crate::error::{Error, Result};
use crate::input::{Source, Wanted};

impl NodeSetup {
    /// The input with this number, to be read in these fields and those of the node's key; `timed`: with event times.
    ///
    /// # Errors
    /// A field that the topic does not have, or has with another type.
    pub fn source(&self, input: usize, fields: &[Field], timed: bool) -> Result<Source> {
        let (planned, topic) = (&self.plan.inputs[input], &self.topics[input]);
        let find = |name: &str, kind: Kind| {
            place(topic.schema(), name, kind).map_err(|found| {
                Error::Refused(format!(
                    "node {} reads field {name} of topic {} as {}, and the topic has {found}: `refrain plan` shows what \
                     differs between the pipeline file and the log",
                    self.plan.name,
                    planned.topic,
                    kind.name()
                ))
            })
        };
        let columns = fields.iter().map(|field| find(&field.name, field.kind));
        let key = self.plan.key_of(planned).iter();
        let keys = key.map(|name| {
            let field = planned.schema.field(name);
            let field = field.expect("a key is checked with the pipeline file");
            find(name, field.kind)
        });
        let time = planned.time.as_ref().filter(|_| timed);
        let wanted = Wanted {
            columns: columns.collect::<Result<_>>()?,
            keys: keys.collect::<Result<_>>()?,
            time: time.map(|name| find(name, Kind::Timestamp)).transpose()?,
        };
        Ok(Source::new(topic.clone(), wanted))
    }
}

/// Where a field of that name and type stands; the error says what is there instead.
fn place(schema: &Schema, name: &str, kind: Kind) -> Result<usize, String> {
    let Some(place) = schema.index_of(name) else {
        return Err("no such field".into());
    };
    match schema.fields()[place].kind {
        found if found == kind => Ok(place),
        found => Err(format!("it as {}", found.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_type() {
        let schema = Schema::new(vec![
            Field::new("new", Kind::I64),
            Field::new("delay", Kind::I64),
            Field::new("origin", Kind::Text),
        ]);
        assert_eq!(place(&schema, "delay", Kind::I64), Ok(1));
        assert_eq!(
            place(&schema, "origin", Kind::I64),
            Err("it as text".into())
        );
        assert_eq!(
            place(&schema, "gone", Kind::I64),
            Err("no such field".into())
        );
    }
}
