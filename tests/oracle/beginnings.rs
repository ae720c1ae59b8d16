//! Versions that begin elsewhere than with the first row, among those that come and go at random: at an offset or a time of
//! the log, they are what the model says of the frames behind; what can be compared of them is what is read. From a
//! savepoint, they are what is read. Receipts are proven from savepoints as from the beginning.

use std::collections::BTreeMap;

use refrain_engine::Error;
use refrain_engine::request::From;
use refrain_engine::run::RunOptions;
use refrain_engine::validate::report::ValidateOrder;
use refrain_engine::versions::VersionName;
use refrain_engine::versions::request::{Beginning, CutoverOrder, ReplayOrder, Replaying};
use refrain_log::ids::{Offset, Sequence, Timestamp};

use crate::graph::Node;
use crate::home::run_once;
use crate::model;
use crate::scenes::{once, well};
use crate::value::{Row, digest};
use crate::versions::{Done, Life, change, proof_of};

impl Life {
    /// A candidate of a node, and of all that reads it or not, that begins later than the log.
    pub(crate) fn begin_later(&mut self, done: &mut Done) {
        let node = self.node();
        let mut graph = self.home.graph.clone();
        let mut set = Vec::new();
        if self.dice.one_in(3) {
            let changed = graph.nodes.iter_mut().find(|n| n.name == node.name);
            set.push(change(&mut changed.unwrap().work, &mut self.dice));
        }
        let order = ReplayOrder {
            name: node.name.clone(),
            from: Beginning::Log(self.point(&node)),
            component: None,
            set,
            downstream: self.dice.one_in(2),
            rate: None,
        };
        let replaying = match self.host().replay(&order) {
            Err(Error::Refused(why)) if why.contains("has no rows from that") => return,
            begun => begun.unwrap(),
        };
        self.build(&replaying);
        let names: Vec<VersionName> = names(&replaying);
        let after = {
            let (_, known) = self.host().node_versions(&names[0].name).unwrap();
            known.versions[&names[0].number].start.after
        };
        let group: Vec<&str> = names.iter().map(|name| name.name.as_str()).collect();
        let frames = self.home.frames(self.host(), Sequence(u64::MAX));
        let wanted = model::run_behind(&self.home.graph, &graph, frames, &group, after.0);
        let views: BTreeMap<String, (u128, u64)> = self.views().into_iter().collect();
        for name in &names {
            let outcome = &wanted[&name.name];
            let Some(found) = views.get(&format!("v_{name}")) else {
                continue;
            };
            let rows: Vec<Row> = outcome.view.values().map(|row| row.0.clone()).collect();
            let digest = digest(&outcome.names(), &rows);
            assert_eq!(
                *found,
                (digest, rows.len() as u64),
                "{name} behind sequence {after}, {order:?}"
            );
        }
        done.later += 1;
        if order.set.is_empty() {
            names.iter().for_each(|name| self.compare(name, done));
        }
        if self.dice.one_in(2) {
            // Each before what it reads.
            for name in names.iter().rev() {
                self.host().retire(&name.name, name.number, true).unwrap();
            }
        }
    }

    /// An offset or an event time at which something may begin.
    fn point(&mut self, node: &Node) -> From {
        if self.dice.one_in(2) {
            let topic = self.host().topic_named(&node.inputs[0]).unwrap();
            let topic = self.host().log().topic(&topic).unwrap();
            let ends = (0..topic.spec().partitions).map(|p| topic.end(p).0);
            let end = ends.max().unwrap_or(0);
            return From::Offset(Offset(self.dice.below(end + 1)));
        }
        let times: Vec<i64> = self
            .home
            .taken
            .iter()
            .flatten()
            .filter_map(|row| row[0].as_int())
            .collect();
        match times.is_empty() {
            true => From::Offset(Offset(0)),
            false => From::Time(Timestamp(*self.dice.pick(&times))),
        }
    }

    /// Does the work of a replay.
    fn build(&self, replaying: &Replaying) {
        let options = RunOptions {
            nodes: replaying.to_run.clone(),
            ..once()
        };
        well(&run_once(self.host(), &options));
    }

    /// What can be compared of a version that was built as the live one is no other.
    fn compare(&self, name: &VersionName, done: &mut Done) {
        if !self
            .views()
            .iter()
            .any(|(view, _)| *view == format!("v_{name}"))
        {
            return;
        }
        let order = ValidateOrder {
            name: name.name.clone(),
            candidate: Some(name.number),
            tolerances: BTreeMap::new(),
            against: None,
        };
        match self.host().validate(&order) {
            Ok(report) => {
                assert!(report.equal, "{name}: {report:?}");
                done.compared += report.drift.map_or(0, |drift| drift.rows.0);
            }
            Err(Error::Refused(why)) => assert!(why.contains("can be compared"), "{why}"),
            Err(other) => panic!("{other}"),
        }
    }

    /// A savepoint, in which some node has got further than others or not.
    fn save(&mut self) {
        if self.dice.one_in(2) {
            self.append();
            let options = RunOptions {
                nodes: vec![self.home.graph.nodes[0].name.clone()],
                ..once()
            };
            well(&run_once(self.host(), &options));
        }
        self.marks += 1;
        let name = format!("s{}", self.marks);
        self.host().save(&name).unwrap();
        self.saved = Some(name);
    }

    /// A node and all that reads it go on from a savepoint: they come to what is read. Cut over sometimes.
    pub(crate) fn begin_saved(&mut self, done: &mut Done) {
        if self.saved.is_none() {
            self.save();
            self.grow();
        }
        let name = self.saved.clone().expect("made just now");
        let node = self.node();
        let order = ReplayOrder {
            name: node.name.clone(),
            from: Beginning::Savepoint(name.clone()),
            component: None,
            set: Vec::new(),
            downstream: true,
            rate: None,
        };
        let replaying = self.host().replay(&order).unwrap();
        self.build(&replaying);
        let names = names(&replaying);
        let wanted = self.fresh(&self.home.graph);
        for (view, state) in self.views() {
            let of_group = |name: &VersionName| view == format!("v_{name}");
            if let Some(name) = names.iter().find(|name| of_group(name)) {
                assert_eq!(state, wanted[&format!("v_{}", name.name)], "{name}");
            }
        }
        done.saved += 1;
        let cuts: Vec<Sequence> = names
            .iter()
            .map(|name| {
                let (_, known) = self.host().node_versions(&name.name).unwrap();
                known.versions[&name.number].takeovers.since
            })
            .collect();
        done.uneven += usize::from(cuts.iter().any(|cut| *cut != cuts[0]));
        if self.dice.one_in(2) {
            let order = CutoverOrder {
                name: node.name,
                version: Some(names[0].number),
                consumers: Vec::new(),
                require: Vec::new(),
            };
            self.host().cutover(&order).unwrap();
            self.before = None;
            self.upgraded = None;
        }
    }

    /// The receipt of what is read, executed from the last savepoint on, where that had it.
    pub(crate) fn prove_from_savepoint(&mut self, view: &str, done: &mut Done) {
        let Some(name) = self.saved.clone() else {
            return;
        };
        let receipt = self.host().receipt(view, None).unwrap();
        match proof_of(&self.home, &receipt, Some(&name)) {
            Ok(proof) => {
                assert!(proof.equal, "{view} from {name}: {:?}", proof.differs);
                done.based += 1;
            }
            Err(Error::Refused(why)) => {
                assert!(why.contains("is no base for this receipt"), "{why}");
            }
            Err(other) => panic!("{view} from {name}: {other}"),
        }
    }
}

/// The versions that a replay builds.
fn names(replaying: &Replaying) -> Vec<VersionName> {
    replaying
        .nodes
        .iter()
        .map(|name| VersionName::parse(name))
        .collect()
}
