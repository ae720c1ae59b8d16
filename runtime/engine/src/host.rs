//! The host: one process that owns a project's data folder, with its log, its state and its nodes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use refrain_log::clock::{Clock, SystemClock};
use refrain_log::ids::Sequence;
use refrain_log::log::{Append, Finding, Log, Pending, Producer};
use refrain_log::storage::DiskStorage;
use refrain_log::storage::Storage;
use refrain_plugin::{HostOptions as PluginOptions, Plugin};
use refrain_state::commit::State;
use refrain_state::view::ViewSpec;

use crate::answer;
use crate::error::{Error, Result};
use crate::graduation;
use crate::names;
use crate::node::Node;
use crate::pipeline::{self, Declaration, Output, Plan, PlannedNode, Rhythm};
use crate::rejected::Notes;
use crate::request::{Request, Response};
use crate::run::{Event, Run, RunOptions, RunReport, Stopper, Upstream};
use crate::scans::Scans;
use crate::status::{Phase, StatusBoard};
use crate::task::NodeSetup;
use crate::tiers;

/// Name of the pipeline file in a project folder.
pub const PIPELINE_FILE: &str = "refrain.toml";
/// Name of the folder with everything that the host keeps.
pub const DATA_FOLDER: &str = "data";

/// A project folder: pipeline file, plugins, data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The project in this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pipeline file.
    pub fn pipeline_file(&self) -> PathBuf {
        self.root.join(PIPELINE_FILE)
    }

    /// Everything that the host keeps.
    pub fn data(&self) -> PathBuf {
        self.root.join(DATA_FOLDER)
    }

    /// The control socket of a running host.
    pub fn socket(&self) -> PathBuf {
        self.data().join("control.sock")
    }

    /// The component that a pipeline file means by `plugin`: a path to a `.wasm` file, or the name of a plugin that
    /// `refrain plugin build` put into `plugins/`.
    pub fn component(&self, plugin: &str) -> PathBuf {
        match plugin.ends_with(".wasm") {
            true => self.root.join(plugin),
            false => self.root.join("plugins").join(format!("{plugin}.wasm")),
        }
    }

    /// Reads and parses the pipeline file.
    pub fn declaration(&self) -> Result<Declaration> {
        let path = self.pipeline_file();
        #[expect(clippy::disallowed_methods, reason = "the user's own file")]
        let text = std::fs::read(&path).map_err(|source| Error::Io {
            action: "read",
            path: path.display().to_string(),
            source,
        })?;
        let text = String::from_utf8(text).map_err(|_| {
            Error::Refused(format!("{}: not UTF-8; save it as UTF-8", path.display()))
        })?;
        let env = |name: &str| std::env::var(name).ok();
        pipeline::parse(&path.display().to_string(), &text, &env).map_err(Error::Pipeline)
    }

    /// Reads a component: the one that `refrain.lock` pins, where it pins one.
    pub fn read_component(&self, plugin: &str) -> Result<Vec<u8>> {
        let path = self.component(plugin);
        #[expect(clippy::disallowed_methods, reason = "the user's own file")]
        let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Refused(format!(
                "plugin {plugin}: there is no {}; build it with `refrain plugin build {plugin}`, or give the path of a \
                 .wasm component",
                path.display()
            )),
            _ => Error::Io { action: "read", path: path.display().to_string(), source },
        })?;
        crate::lock::Lock::read(&self.root)?.admit(plugin, &bytes)?;
        Ok(bytes)
    }
}

/// A pipeline that has been checked against its plugins.
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// The plugin of each node.
    pub plugins: Vec<Plugin>,
}

/// Loads the plugins and checks the pipeline. Does not touch the data folder.
pub fn load(
    project: &Project,
    declaration: &Declaration,
    cache: Option<PathBuf>,
) -> Result<Loaded> {
    let options = |canonical_nans| PluginOptions {
        cache: cache.clone(),
        instances_max: 1000,
        canonical_nans,
    };
    let host = refrain_plugin::Host::new(options(true))?;
    let mut free = None;
    let plan = pipeline::check(declaration, &mut |name| {
        let bytes = project.read_component(name).map_err(|e| e.to_string())?;
        host.load(name, &bytes)
            .map(|p| p.about().clone())
            .map_err(|e| e.to_string())
    })
    .map_err(Error::Pipeline)?;
    let mut plugins = Vec::new();
    for node in &plan.nodes {
        let bytes = project.read_component(&node.plugin)?;
        let host = match node.canonical_nans {
            true => &host,
            false => match &free {
                Some(free) => free,
                None => free.insert(refrain_plugin::Host::new(options(false))?),
            },
        };
        plugins.push(host.load(&node.plugin, &bytes)?);
    }
    Ok(Loaded { plan, plugins })
}

/// What was measured of a project's nodes, for the planner; nothing where nothing has run.
pub fn measures(_project: &Project) -> tiers::Measures {
    tiers::Measures::default()
}

/// CPU time of a pass by node, where the project has run.
pub fn pass_costs(_project: &Project) -> tiers::lint::PassCosts {
    tiers::lint::PassCosts::default()
}

/// The owner of a data folder.
pub struct Host {
    project: Project,
    declaration: Declaration,
    log: Arc<Log>,
    state: State,
    findings: Vec<Finding>,
    board: StatusBoard,
    notes: Notes,
    scans: Scans,
    running: AtomicBool,
    plan: Mutex<Option<Plan>>,
    events: (Sender<Event>, Receiver<Event>),
    _lock: Box<dyn Send + Sync>,
}

impl Host {
    /// Opens the data folder of a project, making it when absent, and recovers it. Fails with
    /// [`refrain_log::Error::Locked`] when another process owns it.
    pub fn open(project: Project) -> Result<Host> {
        let storage: Arc<dyn Storage> = Arc::new(DiskStorage);
        Host::open_in(project, storage, Arc::new(SystemClock))
    }

    /// The same with another disk and another clock.
    pub fn open_in(
        project: Project,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Host> {
        let declaration = project.declaration()?;
        let sources = pipeline::source_topics(&declaration).map_err(Error::Pipeline)?;
        let data = project.data();
        let io = |source| Error::Io {
            action: "make",
            path: data.display().to_string(),
            source,
        };
        storage.create_dir_all(&data).map_err(io)?;
        let lock = lock(&storage, &data)?;
        let (log, mut findings) = Log::open(
            Arc::clone(&storage),
            Arc::clone(&clock),
            data.join("topics"),
        )?;
        let notes = Notes::new(
            Arc::clone(&storage),
            Arc::clone(&clock),
            data.join("resubmitted"),
        );
        let (state, more) = State::open(storage, clock, data.join("commits"))?;
        findings.extend(more);
        for source in sources {
            log.declare(source.spec)?;
        }
        let cuts = state
            .nodes()
            .into_iter()
            .filter_map(|n| state.node(&n))
            .map(|n| n.cut);
        log.raise_sequence(cuts.max().unwrap_or_default());
        show_derived(&log, &state)?;
        Ok(Host {
            project,
            declaration,
            log: Arc::new(log),
            state,
            findings,
            board: StatusBoard::default(),
            notes,
            scans: Scans::default(),
            running: AtomicBool::new(false),
            plan: Mutex::new(None),
            events: unbounded(),
            _lock: lock,
        })
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The pipeline file as parsed.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The log.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Walks through views that are under way.
    pub(crate) fn scans(&self) -> &Scans {
        &self.scans
    }

    /// Notes of rows that were appended again.
    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What opening found that an operator should know.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What nodes are at, and how much this run has done.
    pub fn board(&self) -> &StatusBoard {
        &self.board
    }

    /// Whether a run is in progress.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    /// Tells the run to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.events.0.clone())
    }

    /// Answers a request. Refusals are responses too.
    pub fn handle(&self, request: Request) -> Response {
        answer::answer(self, request)
    }

    /// Hands an append to the log without waiting for it.
    pub fn submit(&self, request: Request) -> Result<Pending> {
        let Request::Append {
            topic,
            rows,
            row_numbers,
            input,
            undecoded,
            producer,
        } = request
        else {
            return Err(Error::Refused("only appends can be submitted".into()));
        };
        let producer = producer.map(|(name, first_row)| Producer { name, first_row });
        Ok(self.log.submit(Append {
            topic,
            rows: rows.rows,
            row_numbers,
            input,
            undecoded,
            producer,
        })?)
    }

    /// Runs the pipeline until it is stopped or, with `once`, until all that is there has been processed. `cache` is the
    /// folder for compiled plugins.
    pub fn run(&self, options: &RunOptions, cache: Option<PathBuf>) -> Result<RunReport> {
        let Loaded { mut plan, plugins } = load(&self.project, &self.declaration, cache)?;
        tiers::settle(&mut plan, &self.measures());
        self.show_rhythms(&plan);
        let chosen = choose(&plan, &options.nodes)?;
        let rebuild = choose_rebuild(&plan, &options.rebuild)?;
        for planned in plan.nodes.iter().filter(|n| rebuild.contains(&n.name)) {
            self.state.forget(&planned.name)?;
            for topic in planned.derived_topics() {
                self.log.drop_derived(&topic.name)?;
                self.notes.forget_topic(&topic.name)?;
            }
        }
        let mut nodes: Vec<(Node, Vec<Upstream>)> = Vec::new();
        let mut refused = Vec::new();
        for (planned, plugin) in plan.nodes.iter().zip(plugins) {
            if !chosen.contains(&planned.name) {
                continue;
            }
            let inputs = planned.inputs.iter();
            let upstreams = inputs.map(|i| self.upstream(&plan, &i.topic, &nodes));
            let upstreams = upstreams.collect();
            match self.node(planned, plugin) {
                Ok(node) => {
                    self.board.phase(&planned.name, Phase::Running);
                    nodes.push((node, upstreams));
                }
                Err(error) => {
                    self.board.stopped(&planned.name, &error);
                    refused.push((planned.name.clone(), error));
                }
            }
        }
        self.running.store(true, Ordering::SeqCst);
        let interval = Duration::from_micros(plan.commit_interval_us.max(0) as u64);
        let report = Run::run(
            &self.log,
            &self.state,
            &self.board,
            nodes,
            interval,
            options,
            self.events.clone(),
        );
        self.running.store(false, Ordering::SeqCst);
        report.map(|mut report| {
            report.stopped.splice(0..0, refused);
            report
        })
    }

    /// What was measured of the nodes, for the planner.
    pub fn measures(&self) -> tiers::Measures {
        measures(&self.project)
    }

    /// The plan of the run in progress, or of the last one of this process, with its rhythms as they stand.
    pub fn plan(&self) -> Option<Plan> {
        self.plan
            .lock()
            .expect("nobody panics with the plan")
            .clone()
    }

    fn show_rhythms(&self, plan: &Plan) {
        for node in &plan.nodes {
            self.board
                .rhythm(&node.name, &node.rhythm, node.rhythm_auto);
        }
        *self.plan.lock().expect("nobody panics with the plan") = Some(plan.clone());
    }

    /// Gives a node of the run another rhythm, none for `auto`; what changes with the next commits.
    pub(crate) fn graduate(&self, node: &str, rhythm: Option<Rhythm>) -> Vec<(String, Rhythm)> {
        let mut plan = self.plan.lock().expect("nobody panics with the plan");
        let Some(plan) = plan.as_mut().filter(|_| self.is_running()) else {
            return Vec::new();
        };
        let list = graduation::replan(plan, node, rhythm, &self.measures());
        for change in &list {
            self.board.rhythm(&change.node, &change.rhythm, change.auto);
        }
        let changed = list
            .iter()
            .map(|g| (g.node.clone(), g.rhythm.clone()))
            .collect();
        self.stopper().graduate(list);
        changed
    }

    /// A node where its last commit left it. Its input is declared by now: nodes come after what they read.
    fn node(&self, planned: &PlannedNode, plugin: Plugin) -> Result<Node> {
        self.declare(planned)?;
        Node::recover(self.setup(planned, plugin)?, &self.log, &self.state)
    }

    fn declare(&self, node: &PlannedNode) -> Result<()> {
        for spec in node.derived_topics() {
            self.log.declare(spec)?;
        }
        if let Output::View(view) = &node.output {
            self.state.declare_view(ViewSpec {
                name: view.clone(),
                node: node.name.clone(),
                schema: node.output_schema.clone(),
                key_fields: node.output_key_fields,
            })?;
        }
        Ok(())
    }

    fn upstream(&self, plan: &Plan, topic: &str, running: &[(Node, Vec<Upstream>)]) -> Upstream {
        let writes = |n: &&PlannedNode| n.output == Output::Topic(topic.to_owned());
        let Some(writer) = plan.nodes.iter().find(writes) else {
            return Upstream::Source;
        };
        match running
            .iter()
            .position(|(n, _)| n.setup.plan.name == writer.name)
        {
            Some(place) => Upstream::Node(place),
            None => Upstream::Resting(self.state.node(&writer.name).map_or(Sequence(0), |n| n.cut)),
        }
    }

    fn setup(&self, node: &PlannedNode, plugin: Plugin) -> Result<Arc<NodeSetup>> {
        let topic = |name: &str| {
            let topic = self.log.topic(name);
            topic.expect("inputs are declared before nodes that read them")
        };
        let topics = node.inputs.iter().map(|i| topic(&i.topic)).collect();
        Ok(Arc::new(NodeSetup {
            plan: node.clone(),
            plugin,
            topics,
        }))
    }
}

/// Shows readers the derived topics as the last commits left them.
fn show_derived(log: &Log, state: &State) -> Result<()> {
    for node in state.nodes() {
        let last = state
            .node(&node)
            .expect("a node that is listed has a last commit");
        for end in last
            .derived
            .iter()
            .filter(|end| log.topic(&end.topic).is_some())
        {
            log.cut_derived(&end.topic, end.partition, end.end, last.cut)?;
        }
    }
    Ok(())
}

fn lock(storage: &Arc<dyn Storage>, data: &Path) -> Result<Box<dyn Send + Sync>> {
    let path = data.join("lock");
    storage.lock(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => {
            let holder = storage
                .read(&path)
                .ok()
                .and_then(|pid| String::from_utf8(pid).ok());
            let holder = holder
                .map(|pid| format!(" (pid {})", pid.trim()))
                .unwrap_or_default();
            Error::Log(refrain_log::Error::Locked {
                path: data.display().to_string(),
                holder,
            })
        }
        _ => Error::Io {
            action: "lock",
            path: path.display().to_string(),
            source,
        },
    })
}

fn known(plan: &Plan, names: &[String]) -> Result<()> {
    for name in names {
        if !plan.nodes.iter().any(|n| n.name == *name) {
            let all = plan.nodes.iter().map(|n| n.name.as_str());
            let none = "the pipeline file declares none; write a [node.NAME] section";
            return Err(Error::Refused(names::unknown("node", name, all, none)));
        }
    }
    Ok(())
}

fn choose(plan: &Plan, names: &[String]) -> Result<Vec<String>> {
    known(plan, names)?;
    let all = plan.nodes.iter().map(|n| n.name.clone());
    Ok(all
        .filter(|n| names.is_empty() || names.contains(n))
        .collect())
}

/// The nodes named and all that read what they write.
fn choose_rebuild(plan: &Plan, names: &[String]) -> Result<Vec<String>> {
    known(plan, names)?;
    let mut chosen: Vec<String> = Vec::new();
    for node in &plan.nodes {
        let reads_chosen = plan.nodes.iter().any(|writer| {
            let written = writer.output_topic.as_ref();
            chosen.contains(&writer.name) && written.is_some_and(|topic| node.reads(&topic.name))
        });
        if names.contains(&node.name) || reads_chosen {
            chosen.push(node.name.clone());
        }
    }
    Ok(chosen)
}
