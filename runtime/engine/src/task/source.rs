//! What a node reads of its inputs: fields found by name and type in the schema of the topic as the log has it. The plan
//! says which fields; where they stand is the log's to say, since the pipeline file may name them in another order.

use refrain_log::schema::{Field, Kind, Schema};

use super::NodeSetup;
use crate::error::{Error, Result};
use crate::input::{Source, Wanted};
use crate::pipeline::PlannedNode;

impl NodeSetup {
    /// The input with this number, to be read in these fields and those of the node's key; `timed`: with event times.
    ///
    /// # Errors
    /// A field that the topic does not have, or has with another type.
    pub fn source(&self, input: usize, fields: &[Field], timed: bool) -> Result<Source> {
        let topic = &self.topics[input];
        let found = wanted(&self.plan, input, topic.schema(), fields, timed);
        let wanted = found.map_err(|why| {
            Error::Refused(format!(
                "node {}, topic {}: {why}; `refrain plan` shows what differs between the pipeline file and the log",
                self.plan.name, self.plan.inputs[input].topic
            ))
        })?;
        Ok(Source::new(topic.clone(), wanted))
    }
}

impl PlannedNode {
    /// Whether a schema has the fields of an input as the node reads them.
    pub(crate) fn finds(&self, input: usize, schema: &Schema) -> bool {
        let fields = self.about.reads(input);
        wanted(self, input, schema, fields, self.needs_time()).is_ok()
    }
}

fn wanted(
    plan: &PlannedNode,
    input: usize,
    schema: &Schema,
    fields: &[Field],
    timed: bool,
) -> Result<Wanted, String> {
    let planned = &plan.inputs[input];
    let columns = fields
        .iter()
        .map(|field| place(schema, &field.name, field.kind));
    let keys = plan.key_of(planned).iter().map(|name| {
        let field = planned.schema.field(name);
        let field = field.expect("a key is checked with the pipeline file");
        place(schema, name, field.kind)
    });
    let time = planned.time.as_ref().filter(|_| timed);
    let time = time.map(|name| place(schema, name, Kind::Timestamp));
    Ok(Wanted {
        columns: columns.collect::<Result<_, _>>()?,
        keys: keys.collect::<Result<_, _>>()?,
        time: time.transpose()?,
    })
}

/// Where a field of that name and type stands; the error says what is there instead.
fn place(schema: &Schema, name: &str, kind: Kind) -> Result<usize, String> {
    let asked = format!("it reads the field {name} as {}", kind.name());
    let Some(place) = schema.index_of(name) else {
        return Err(format!("{asked}, and there is no such field"));
    };
    match schema.fields()[place].kind {
        found if found == kind => Ok(place),
        found => Err(format!("{asked}, and the log has it as {}", found.name())),
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
        let says = |name, kind| place(&schema, name, kind).unwrap_err();
        assert!(says("origin", Kind::I64).ends_with("has it as text"));
        assert!(says("gone", Kind::I64).ends_with("no such field"));
    }
}
