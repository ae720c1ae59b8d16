//! Which moves between versions are allowed. Pure: what is known goes in, who reads what from now on comes out, or a
//! sentence that says why not.

use refrain_log::ids::Sequence;

use super::{NodeVersions, Reading, Standing};

/// The cut of the last commit of a version.
pub type Cuts<'a> = &'a dyn Fn(u32) -> Sequence;

/// Lets everybody, or these consumers alone, read another version.
///
/// Never behind a cut that was served: the version must have got at least as far as each one that is read now.
pub fn cutover(
    node: &str,
    known: &NodeVersions,
    to: u32,
    consumers: &[String],
    cuts: Cuts<'_>,
) -> Result<NodeVersions, String> {
    exists(node, known, to)?;
    let mut reading = known.reading.clone();
    if consumers.is_empty() {
        reading.live = to;
        reading.consumers.clear();
    }
    for consumer in consumers {
        match to == reading.live {
            true => reading.consumers.remove(consumer),
            false => reading.consumers.insert(consumer.clone(), to),
        };
    }
    if reading == known.reading {
        return Err(format!(
            "node {node}: version {to} is what they read already"
        ));
    }
    never_back(node, &known.reading, &reading, cuts)?;
    let mut moved = known.clone();
    moved.read(reading);
    Ok(moved)
}

/// Undoes the last move of everybody, or of one consumer.
pub fn rollback(
    node: &str,
    known: &NodeVersions,
    consumer: Option<&str>,
    cuts: Cuts<'_>,
) -> Result<NodeVersions, String> {
    let now = known.reading.of(consumer);
    let other = |reading: &Reading| match consumer {
        Some(_) => reading.of(consumer) != now,
        None => *reading != known.reading,
    };
    let place = known.history.iter().rposition(other);
    let Some(place) = place else {
        return Err(format!(
            "node {node}: there is nothing to go back to: {} has always read version {now}",
            consumer.unwrap_or("everybody")
        ));
    };
    let before = &known.history[place];
    let mut moved = known.clone();
    match consumer {
        None => {
            moved.reading = before.clone();
            moved.history.truncate(place);
        }
        Some(consumer) => {
            let version = before.of(Some(consumer));
            match version == moved.reading.live {
                true => moved.reading.consumers.remove(consumer),
                false => moved.reading.consumers.insert(consumer.to_owned(), version),
            };
        }
    }
    let wanted = moved
        .reading
        .consumers
        .values()
        .chain([&moved.reading.live]);
    for version in wanted {
        exists(node, known, *version)?;
    }
    never_back(node, &known.reading, &moved.reading, cuts)?;
    moved.note_served();
    Ok(moved)
}

/// Takes a version away. `readers` are versions of other nodes that read what it writes.
pub fn retire(
    node: &str,
    known: &NodeVersions,
    version: u32,
    readers: &[String],
) -> Result<NodeVersions, String> {
    exists(node, known, version)?;
    if known.standing(version) == Standing::Live {
        let mut who: Vec<&str> = Vec::new();
        if known.reading.live == version {
            who.push("everybody");
        }
        let its = known
            .reading
            .consumers
            .iter()
            .filter(|(_, v)| **v == version);
        who.extend(its.map(|(consumer, _)| consumer.as_str()));
        return Err(format!(
            "node {node}: version {version} is read by {}; let them read another one first with `refrain cutover`",
            who.join(", ")
        ));
    }
    refuse_read(node, version, readers)?;
    Ok(without(known, version))
}

/// Takes away a version of a node that is not in the pipeline file any more: nobody reads it, and the live one goes last,
/// with which nothing is left of the node.
pub fn retire_removed(
    node: &str,
    known: &NodeVersions,
    version: u32,
    readers: &[String],
) -> Result<Option<NodeVersions>, String> {
    exists(node, known, version)?;
    refuse_read(node, version, readers)?;
    if known.reading.live != version {
        let mut left = without(known, version);
        left.reading.consumers.retain(|_, read| *read != version);
        return Ok(Some(left));
    }
    let others = known.versions.keys().filter(|other| **other != version);
    let others: Vec<String> = others.map(u32::to_string).collect();
    match others.is_empty() {
        true => Ok(None),
        false => Err(format!(
            "node {node}: version {version} is the live one, and goes last; retire these first: {}",
            others.join(", ")
        )),
    }
}

fn refuse_read(node: &str, version: u32, readers: &[String]) -> Result<(), String> {
    match readers.first() {
        None => Ok(()),
        Some(reader) => Err(format!(
            "node {node}: what version {version} writes is read by node {reader}; retire that first"
        )),
    }
}

fn without(known: &NodeVersions, version: u32) -> NodeVersions {
    let mut left = known.clone();
    left.versions.remove(&version);
    left.history.retain(|reading| !reading.includes(version));
    left
}

fn exists(node: &str, known: &NodeVersions, version: u32) -> Result<(), String> {
    if known.versions.contains_key(&version) {
        return Ok(());
    }
    let all: Vec<String> = known.versions.keys().map(u32::to_string).collect();
    Err(format!(
        "node {node} has no version {version}; it has: {}",
        all.join(", ")
    ))
}

/// Nobody is shown an earlier cut than before.
fn never_back(node: &str, now: &Reading, then: &Reading, cuts: Cuts<'_>) -> Result<(), String> {
    let names = now.consumers.keys().chain(then.consumers.keys());
    let mut readers: Vec<Option<&str>> = names.map(|name| Some(name.as_str())).collect();
    readers.push(None);
    for reader in readers {
        let (from, to) = (now.of(reader), then.of(reader));
        if from != to && cuts(to) < cuts(from) {
            return Err(format!(
                "node {node}: version {to} has got to cut {}, and version {from} has served cut {}: {} would see the past; \
                 let version {to} catch up (`refrain run`), then try again",
                cuts(to),
                cuts(from),
                reader.unwrap_or("everybody"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::versions::{Start, Version};

    fn version() -> Version {
        Version {
            component: "c".into(),
            plan: serde_json::Value::Null,
            inputs: BTreeMap::new(),
            start: Start::default(),
            made: refrain_log::ids::Timestamp(0),
            rate: None,
            served: false,
            validated: None,
            takeovers: Default::default(),
        }
    }

    #[derive(Clone, Debug)]
    enum Move {
        Add,
        Cutover(u32, Vec<String>),
        Rollback(Option<String>),
        Retire(u32),
        /// A version commits, so many sequences further.
        Commit(u32, u64),
    }

    fn moves() -> impl Strategy<Value = Move> {
        let consumer = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
        prop_oneof![
            2 => Just(Move::Add),
            4 => (1u32..6, prop::collection::vec(consumer(), 0..3)).prop_map(|(v, c)| Move::Cutover(v, c)),
            2 => prop::option::of(consumer()).prop_map(Move::Rollback),
            2 => (1u32..6).prop_map(Move::Retire),
            4 => (1u32..6, 0u64..4).prop_map(|(v, n)| Move::Commit(v, n)),
        ]
    }

    proptest! {
        /// Whatever is asked in whatever order: nobody reads what is not there, nobody is shown the past, numbers are
        /// never given twice, and what somebody reads is never taken away.
        #[test]
        fn no_reader_loses_its_version_or_goes_back(moves in prop::collection::vec(moves(), 1..60)) {
            let mut known = NodeVersions::first(version());
            let mut cuts: BTreeMap<u32, u64> = BTreeMap::new();
            let mut seen: BTreeMap<Option<&str>, u64> = BTreeMap::new();
            let mut numbers = vec![1];
            for act in moves {
                let cut = |v: u32| Sequence(cuts.get(&v).copied().unwrap_or(0));
                let before = known.clone();
                match &act {
                    Move::Add => {
                        let number = known.add(version());
                        prop_assert!(!numbers.contains(&number));
                        numbers.push(number);
                    }
                    Move::Cutover(to, consumers) => {
                        known = cutover("n", &before, *to, consumers, &cut).unwrap_or(known);
                    }
                    Move::Rollback(consumer) => {
                        known = rollback("n", &before, consumer.as_deref(), &cut).unwrap_or(known);
                    }
                    Move::Retire(v) => {
                        if let Ok(left) = retire("n", &before, *v, &[]) {
                            prop_assert!(!before.reading.includes(*v));
                            prop_assert_eq!(&left.reading, &before.reading);
                            known = left;
                        }
                    }
                    Move::Commit(v, n) => *cuts.entry(*v).or_default() += n,
                }
                for reader in [None, Some("a"), Some("b")] {
                    let version = known.reading.of(reader);
                    prop_assert!(known.versions.contains_key(&version), "{:?} reads nothing after {:?}", reader, act);
                    prop_assert!(known.versions[&version].served);
                    let now = cuts.get(&version).copied().unwrap_or(0);
                    let last = seen.insert(reader, now).unwrap_or(0);
                    prop_assert!(now >= last, "{:?} saw {} and then {} after {:?}", reader, last, now, act);
                }
            }
        }

        /// A move and its undoing leave everything as it was.
        #[test]
        fn rolling_back_undoes_a_cutover(to in 2u32..4, consumers in prop::collection::vec("[ab]", 0..2)) {
            let mut known = NodeVersions::first(version());
            known.add(version());
            known.add(version());
            let level = |_| Sequence(7);
            let moved = cutover("n", &known, to, &consumers, &level).unwrap();
            prop_assert_ne!(&moved.reading, &known.reading);
            let back = rollback("n", &moved, None, &level).unwrap();
            prop_assert_eq!(&back.reading, &known.reading);
            prop_assert_eq!(&back.history, &known.history);
        }
    }

    #[test]
    fn refusals_name_the_reason() {
        let mut known = NodeVersions::first(version());
        known.add(version());
        let behind = |v| Sequence(if v == 1 { 9 } else { 5 });
        let said = cutover("n", &known, 2, &[], &behind).unwrap_err();
        assert!(said.contains("cut 5") && said.contains("cut 9"), "{said}");
        let said = cutover("n", &known, 7, &[], &behind).unwrap_err();
        assert!(said.contains("no version 7; it has: 1, 2"), "{said}");
        let said = retire("n", &known, 1, &[]).unwrap_err();
        assert!(said.contains("read by everybody"), "{said}");
        let said = retire("n", &known, 2, &["m@2".into()]).unwrap_err();
        assert!(said.contains("read by node m@2"), "{said}");
        let said = rollback("n", &known, None, &behind).unwrap_err();
        assert!(said.contains("nothing to go back to"), "{said}");
    }

    #[test]
    fn of_a_removed_node_the_live_version_goes_last() {
        let mut known = NodeVersions::first(version());
        known.add(version());
        known.read(Reading {
            live: 1,
            consumers: BTreeMap::from([("board".to_owned(), 2)]),
        });
        let said = retire_removed("n", &known, 1, &[]).unwrap_err();
        assert!(said.contains("retire these first: 2"), "{said}");
        let said = retire_removed("n", &known, 2, &["m".into()]).unwrap_err();
        assert!(said.contains("read by node m"), "{said}");
        let left = retire_removed("n", &known, 2, &[]).unwrap().unwrap();
        assert!(left.reading.consumers.is_empty() && !left.versions.contains_key(&2));
        assert_eq!(retire_removed("n", &left, 1, &[]).unwrap(), None);
    }
}
