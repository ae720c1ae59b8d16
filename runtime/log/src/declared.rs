//! What `topic.spec` holds: the declaration of a topic, and all versions of its schema.

use serde::{Deserialize, Serialize};

use crate::ids::Sequence;
use crate::schema::Schema;
use crate::schemas::{Defaults, History, SchemaVersion};
use crate::topic::{Origin, TopicSpec};
use crate::{Error, Result, codec};

#[derive(Serialize, Deserialize)]
struct Record {
    declared: Declared,
    versions: Vec<SchemaVersion>,
}

/// A declaration without what its newest version says.
#[derive(Serialize, Deserialize)]
struct Declared {
    name: String,
    origin: Origin,
    schema: Schema,
    key: Vec<String>,
    time: Option<String>,
    partitions: u32,
    ahead_us: i64,
    idle_us: Option<i64>,
    segment_bytes: u64,
}

/// Its bytes.
pub(crate) fn encode(spec: &TopicSpec, history: &History) -> Vec<u8> {
    let spec = spec.clone();
    codec::encode(&Record {
        declared: Declared {
            name: spec.name,
            origin: spec.origin,
            schema: spec.schema,
            key: spec.key,
            time: spec.time,
            partitions: spec.partitions,
            ahead_us: spec.ahead_us,
            idle_us: spec.idle_us,
            segment_bytes: spec.segment_bytes,
        },
        versions: history.versions().to_vec(),
    })
}

/// The inverse of [`encode`]. A record of the time before there were versions is a declaration alone: its schema is
/// version 1.
pub(crate) fn decode(bytes: &[u8]) -> Result<(TopicSpec, History)> {
    let (declared, versions) = match codec::decode::<Record>(bytes) {
        Ok(record) => (record.declared, record.versions),
        Err(error) => {
            let declared: Declared = codec::decode(bytes).map_err(|_| error)?;
            let first = SchemaVersion {
                version: 1,
                since: Sequence(0),
                schema: declared.schema.clone(),
                defaults: Defaults::new(),
            };
            (declared, vec![first])
        }
    };
    let history = History::of(versions).filter(|h| h.newest().schema == declared.schema);
    let history = history.ok_or_else(|| {
        let what = "the versions of its schema do not follow from each other";
        Error::Invalid(what.into())
    })?;
    let spec = TopicSpec {
        name: declared.name,
        origin: declared.origin,
        schema: declared.schema,
        key: declared.key,
        time: declared.time,
        partitions: declared.partitions,
        ahead_us: declared.ahead_us,
        idle_us: declared.idle_us,
        segment_bytes: declared.segment_bytes,
        defaults: history.newest().defaults.clone(),
    };
    Ok((spec, history))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, Kind};
    use crate::schemas::Value;

    #[test]
    fn records_of_both_kinds_are_read() {
        let first = Schema::new(vec![Field::new("id", Kind::I64)]);
        let second = Schema::new(vec![
            Field::new("id", Kind::I64),
            Field::new("size", Kind::I64),
        ]);
        let defaults = Defaults::from([("size".to_owned(), Value::I64(7))]);
        let history = History::first(first.clone(), Defaults::new());
        let spec = TopicSpec {
            name: "events".into(),
            origin: Origin::Source,
            schema: first.clone(),
            key: vec!["id".into()],
            time: None,
            partitions: 3,
            ahead_us: 5,
            idle_us: Some(1),
            segment_bytes: 1 << 20,
            defaults: Defaults::new(),
        };
        assert_eq!(
            decode(&encode(&spec, &history)).unwrap(),
            (spec.clone(), history.clone())
        );
        let plain = (&spec.name, spec.origin, &spec.schema, &spec.key, &spec.time);
        let plain = (
            plain,
            spec.partitions,
            spec.ahead_us,
            spec.idle_us,
            spec.segment_bytes,
        );
        assert_eq!(
            decode(&codec::encode(&plain)).unwrap(),
            (spec.clone(), history.clone())
        );
        let history = history.and(Sequence(9), second.clone(), defaults.clone());
        let spec = TopicSpec {
            schema: second,
            defaults,
            ..spec
        };
        assert_eq!(
            decode(&encode(&spec, &history)).unwrap(),
            (spec.clone(), history.clone())
        );
        let other = TopicSpec {
            schema: first,
            ..spec
        };
        assert!(decode(&encode(&other, &history)).is_err());
    }
}
