//! Prices a change before it is made: what differs between the pipeline as it is and as it would be, how much work that
//! makes, by rounds tried out on the newest rows of the log, and the bill of that.

use refrain_log::ids::Sequence;
use refrain_log::regroup::Looked;

use super::bill::{self, Bill, Metered};
use super::change::{self, Change, Foretold, Kind, Scene, Topics};
use super::commits::{Coming, fill};
use super::dry::Dry;
use super::model::Model;
use super::money::Money;
use super::rounds::Layout;
use super::{Question, arrivals};
use crate::accounts::Work;
use crate::changes::reasons;
use crate::error::{Error, Result};
use crate::host::{Host, Loaded, load_with};
use crate::pipeline::Declaration;
use crate::run::Terms;
use crate::task::out::FRAME_ROWS;
use crate::tiers::Graph;
use crate::tiers::graph::Vertex;
use crate::versions::roster::Member;
use crate::versions::{Start, VersionName};

/// So many of the newest rows of each partition that a node writes are laid out in other frames.
const ROWS_MAX: u64 = 100_000;

/// What a change is priced with.
struct Foretelling<'a> {
    host: &'a Host,
    /// The pipeline as it would be, with its plugins; none: they do not load, and only other needs are asked about.
    loaded: Option<Loaded>,
    members: Vec<Member>,
    scene: &'a Scene<'a>,
    metered: &'a Metered,
    /// What it could not do.
    told: Vec<String>,
}

impl Host {
    /// Adds to a bill what it would be with other needs or another file.
    pub(super) fn foretell(
        &self,
        question: &Question,
        bill: &mut Bill,
        graph: &Graph,
        metered: &Metered,
    ) -> Result<()> {
        let other = super::with_needs(
            super::other(self.declaration(), question)?,
            &question.what_if,
        )?;
        let measures = self.measures();
        let changed = Graph::of_file(&other, &measures);
        let mut with_new = metered.clone();
        for source in &changed.sources {
            let known = with_new.arrivals.entry(source.name.clone());
            known.or_insert_with(|| arrivals::arrivals(self.log(), &source.name));
        }
        let scene = Scene::new(graph, &changed, &with_new);
        let loaded = load_with(self.project(), &other, &mut self.loader());
        let loaded = match (loaded, &question.file) {
            (Ok(loaded), _) => Some(loaded),
            (Err(error), Some(_)) => return Err(error),
            (Err(_), None) => None,
        };
        let members = match &loaded {
            Some(loaded) => self.roster(loaded)?.members,
            None => Vec::new(),
        };
        let mut foretelling = Foretelling {
            host: self,
            loaded,
            members,
            scene: &scene,
            metered: &with_new,
            told: change::unpriced(self.declaration(), &other),
        };
        let (then, mut changes) = foretelling.all()?;
        let unpriced = std::mem::take(&mut foretelling.told);
        let then = self.bill_then(&other, &changed, then, question.month);
        let cost = |bill: &Bill, node: &str| {
            let build = metered.build(node);
            let item = bill
                .items
                .iter()
                .find(|i| i.kind == "node" && i.name == build);
            item.map_or(Money(0), |item| item.total)
        };
        for change in &mut changes {
            change.now = cost(bill, &change.node);
            change.then = cost(&then, &change.node);
        }
        bill.changes = changes;
        bill.unpriced = unpriced;
        bill.what_if = Some(then.total);
        bill.then = Some(Box::new(then));
        Ok(())
    }

    fn bill_then(
        &self,
        other: &Declaration,
        changed: &Graph,
        mut then: Metered,
        month: bool,
    ) -> Bill {
        let is_source = |name: &String| changed.sources.iter().any(|s| s.name == *name);
        then.topic_bytes.retain(|name, _| is_source(name));
        then.appends.retain(|name, _| is_source(name));
        if self.declaration().text != other.text {
            then.chains = change::chains(changed, &then);
        }
        bill::bill(changed, &then, &other.prices, month)
    }
}

impl Foretelling<'_> {
    /// The work of all nodes as it would be, and which differ.
    fn all(&mut self) -> Result<(Metered, Vec<Change>)> {
        let mut then = self.metered.clone();
        let mut changes = Vec::new();
        let mut coming = [self.coming_now(), Vec::new()];
        for (place, node) in self.scene.graph.nodes.iter().enumerate() {
            if !self.scene.changed.nodes.iter().any(|n| n.name == node.name) {
                let of_node = |build: &String| VersionName::parse(build).name != node.name;
                then.work.retain(|build, _| of_node(build));
                changes.push(self.change(Kind::Removed, &node.name, Some(place), None, 0));
            }
        }
        let rhythms = self
            .scene
            .changed
            .nodes
            .iter()
            .zip(&self.scene.rhythms_then);
        then.rhythms = rhythms
            .map(|(n, rhythm)| (n.name.clone(), rhythm.clone()))
            .collect();
        for place in 0..self.scene.changed.nodes.len() {
            let name = self.scene.changed.nodes[place].name.clone();
            let build = self.metered.build(&name).to_owned();
            let was = self.scene.was(place);
            let kind = self.kind(&name)?;
            let work = self.metered.work.get(&build).filter(|w| w.commits > 0);
            let nothing = self.scene.then[place].rounds.is_empty();
            let found = match (kind, was, work) {
                (Kind::Rhythm, Some(was), _) if nothing || self.scene.same(was, place) => None,
                (Kind::Rhythm, Some(was), Some(work)) => {
                    self.in_other_rounds(&build, was, place, work)
                }
                (Kind::Rhythm, _, _) => None,
                _ => self.built_anew(&name, kind, place),
            };
            let Some((found, tried)) = found else {
                let as_it_was = work.map(|w| change::as_it_was(w, &self.scene.then[place]));
                coming[1].extend(of_node(place, as_it_was.unwrap_or_default()));
                continue;
            };
            let [now, would_come] = found.commits;
            if let Some(was) = was.filter(|_| !now.is_empty()) {
                coming[0].retain(|commit: &Coming| commit.node != was);
                coming[0].extend(of_node(was, now));
            }
            coming[1].extend(of_node(place, would_come));
            then.work.insert(build.clone(), found.work);
            let held = then.held.entry(build).or_default();
            held.topic_bytes = held
                .topic_bytes
                .saturating_add_signed(found.topic_bytes as i64);
            changes.push(self.change(kind, &name, was, Some(place), tried));
        }
        self.fill_commit_log(&mut then, coming);
        Ok((then, changes))
    }

    /// Commits as they come to the log now.
    fn coming_now(&self) -> Vec<Coming> {
        let nodes = self.scene.graph.nodes.iter().enumerate();
        let of = |(place, node): (usize, &Vertex)| {
            let work = self.metered.work.get(self.metered.build(&node.name));
            let commits = work.map(|work| change::as_it_was(work, &self.scene.now[place]));
            of_node(place, commits.unwrap_or_default())
        };
        nodes.flat_map(of).collect()
    }

    /// How high the commit log would stand, and what would be written for its bases: more than now by as much as it differs
    /// when both are played.
    fn fill_commit_log(&self, then: &mut Metered, [now, would_come]: [Vec<Coming>; 2]) {
        let Some(span) = self.scene.span(self.metered) else {
            return;
        };
        let height = || self.host.state().height(self.metered.log.first_bytes);
        let (graph, changed) = (self.scene.graph, self.scene.changed);
        let now = fill(height(), now, graph.nodes.len(), span);
        let filled = fill(height(), would_come, changed.nodes.len(), span);
        let mean_bytes = then.commit_bytes as f64 + filled.mean_bytes - now.mean_bytes;
        then.commit_bytes = mean_bytes.max(0.0) as u64;
        for (place, node) in changed.nodes.iter().enumerate() {
            let build = self.metered.build(&node.name);
            let metered = self.metered.work.get(build).map_or(0, |w| w.base_bytes);
            let was = self.scene.was(place).map_or(0.0, |was| now.base_bytes[was]);
            let bytes = (metered as f64 + filled.base_bytes[place] - was).max(0.0) as u64;
            if let Some(work) = then.work.get_mut(build) {
                work.written_bytes = work.written_bytes.saturating_sub(work.base_bytes) + bytes;
                work.base_bytes = bytes;
            }
        }
    }

    /// How a node of the changed pipeline differs from what runs.
    fn kind(&self, name: &str) -> Result<Kind> {
        let Some(loaded) = &self.loaded else {
            return Ok(Kind::Rhythm);
        };
        let versions = self.host.versions()?;
        let Some(known) = versions.node(name) else {
            return Ok(Kind::New);
        };
        let mut nodes = loaded.plan.nodes.iter().zip(&loaded.plugins);
        let found = nodes.find(|(n, _)| n.name == name);
        let (planned, plugin) = found.expect("a graph has the nodes of its plan");
        let live = &known.versions[&known.reading.live];
        match reasons(live, planned, &plugin.digest().to_string())?.is_empty() {
            true => Ok(Kind::Rhythm),
            false => Ok(Kind::Changed),
        }
    }

    /// A node that is there, in the rounds that it would make.
    fn in_other_rounds(
        &mut self,
        build: &str,
        was: usize,
        place: usize,
        work: &Work,
    ) -> Option<(Foretold, u64)> {
        let (now, then) = (&self.scene.now[was], &self.scene.then[place]);
        let member = self.members.iter().find(|m| m.version.to_string() == build);
        let layouts = [now, then];
        let tried = member.map(|member| self.host.dry_run(member, &layouts));
        let (models, rounds) = match tried {
            Some(Ok(Dry { models, rounds, .. })) => (models, rounds),
            Some(Err(error)) => {
                self.told.push(format!(
                    "node {build}: foretold from metered commits alone, since its rounds cannot be tried out: {error}"
                ));
                (vec![Model::of(work)], 0)
            }
            None => (vec![Model::of(work)], 0),
        };
        let models = [models.first(), models.last()];
        let models = models.map(|model| model.expect("there is one at least"));
        let topics = self.host.topics_in(build, layouts);
        let topics = topics.unwrap_or_else(|error| {
            self.told.push(format!(
                "node {build}: what its topics would take is foretold from rounds alone, since their rows do not read: {error}"
            ));
            Topics::default()
        });
        let found = change::in_other_rounds(work, layouts, models, topics);
        Some((found, rounds))
    }

    /// A node that would be built anew.
    fn built_anew(&mut self, name: &str, kind: Kind, place: usize) -> Option<(Foretold, u64)> {
        match self.tried_anew(name, place) {
            Ok(found) => {
                if kind == Kind::New {
                    self.told.push(format!(
                        "node {name} is new: its work is priced, what its state and results take of storage is not"
                    ));
                }
                Some(found)
            }
            Err(error) => {
                self.told
                    .push(format!("node {name} is not priced: {error}"));
                None
            }
        }
    }

    fn tried_anew(&self, name: &str, place: usize) -> Result<(Foretold, u64)> {
        let loaded = self.loaded.as_ref().expect("what is new has been loaded");
        let at = loaded.plan.nodes.iter().position(|n| n.name == name);
        let at = at.expect("a graph has the nodes of its plan");
        let mut planned = loaded.plan.nodes[at].clone();
        for input in &mut planned.inputs {
            input.topic = self.host.topic_named(&input.topic)?;
            if self.host.log().topic(&input.topic).is_none() {
                return Err(Error::Refused(format!(
                    "it reads {}, which is not there yet",
                    input.topic
                )));
            }
        }
        let member = Member {
            version: VersionName::new(name, 1),
            planned,
            plugin: loaded.plugins[at].clone(),
            start: Start::default(),
            terms: Terms::default(),
        };
        let then = &self.scene.then[place];
        let dry = self.host.dry_run(&member, &[then])?;
        let scale = self.scene.scale(self.metered);
        let found = change::from_nothing(then, &dry.models[0], scale, dry.row_bytes);
        Ok((found, dry.rounds))
    }

    fn change(
        &self,
        kind: Kind,
        node: &str,
        was: Option<usize>,
        place: Option<usize>,
        tried_rounds: u64,
    ) -> Change {
        let work = self.metered.work.get(self.metered.build(node));
        let scene = self.scene;
        Change {
            node: node.to_owned(),
            kind,
            rhythm: was.map(|was| scene.rhythms_now[was].clone()),
            would_be: place.map(|place| scene.rhythms_then[place].clone()),
            commits_now: was.map_or(0, |was| scene.now[was].rounds.len() as u64),
            commits_then: place.map_or(0, |place| scene.then[place].rounds.len() as u64),
            now: Money(0),
            then: Money(0),
            measured_commits: work.map_or(0, |work| work.commits),
            tried_rounds,
        }
    }
}

fn of_node(place: usize, commits: Vec<(i64, f64)>) -> impl Iterator<Item = Coming> {
    let commits = commits.into_iter();
    commits.map(move |(time_us, bytes)| Coming {
        time_us,
        node: place,
        bytes,
    })
}

impl Host {
    /// What the topics of a build take in the rounds that it makes, and in others.
    fn topics_in(&self, build: &str, layouts: [&Layout; 2]) -> Result<Topics> {
        let cuts = layouts.map(|layout| {
            let rounds = layout.rounds.iter();
            rounds.map(|round| round.cut).collect::<Vec<Sequence>>()
        });
        let first = layouts.map(|layout| layout.rounds.first().map(|round| round.after));
        let looked = Looked {
            after: first.into_iter().flatten().max().unwrap_or_default(),
            rows_max: ROWS_MAX,
            frame_rows: FRAME_ROWS,
        };
        let (mut written, mut more) = ([0.0; 2], 0.0);
        for name in self.topics_written(build) {
            let Some(topic) = self.log().topic(&name) else {
                continue;
            };
            let found = topic.bytes_cut_at(looked, &[&cuts[0], &cuts[1]])?;
            let [now, then] = [found.bytes[0] as f64, found.bytes[1] as f64];
            written = [written[0] + now, written[1] + then];
            // Small frames of segments that take no more appends are merged, whatever they were.
            let spec = topic.spec();
            let open_bytes = spec.segment_bytes * u64::from(spec.partitions);
            if now > 0.0 {
                more += (then / now - 1.0) * topic.bytes().min(open_bytes) as f64;
            }
        }
        Ok(Topics {
            written: Some(written).filter(|written| written[0] > 0.0),
            more,
        })
    }
}
