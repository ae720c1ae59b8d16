//! The host: one process that owns a project's data folder, with its log, its state and its nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam::channel::{Receiver, Sender, unbounded};
use refrain_log::clock::{Clock, SystemClock};
use refrain_log::log::{Append, Finding, Log, Pending, Producer};
use refrain_log::storage::DiskStorage;
use refrain_log::storage::Storage;
use refrain_log::topic::TopicSpec;
use refrain_plugin::{Digest, Plugin};
use refrain_state::commit::{State, StateOptions};
use refrain_state::store::StoreOptions;

use crate::accounts::{Gauge, Ledger};
use crate::answer;
use crate::derived;
use crate::error::{Error, Result};
use crate::graduation;
use crate::keep;
use crate::lineup::Lineup;
use crate::loader::Loader;
use crate::pipeline::{self, Declaration, Plan, Rhythm, StateDeclaration};
use crate::receipt::audits::Audits;
use crate::rejected::Notes;
use crate::request::{Request, Response};
use crate::run::{Event, Run, RunOptions, RunReport, Stopper, Timing};
use crate::scans::Scans;
use crate::status::StatusBoard;
use crate::tiers;
use crate::versions::Versions;
use crate::versions::components::Components;

/// Name of the pipeline file in a project folder.
pub const PIPELINE_FILE: &str = "refrain.toml";
/// Name of the folder with everything that the host keeps.
pub const DATA_FOLDER: &str = "data";

/// Folder in `plugins/` of components that others have replaced.
pub const KEPT_FOLDER: &str = ".kept";

/// What stands before a digest in a pipeline file.
const BY_DIGEST: &str = "blake3:";

/// A project folder: pipeline file, plugins, data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
    /// Components that stand in for the files of these plugins.
    given: Arc<BTreeMap<String, Vec<u8>>>,
}

impl Project {
    /// The project in this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            given: Arc::default(),
        }
    }

    /// The same project with these components in place of the files of plugins, whatever `refrain.lock` pins.
    #[must_use]
    pub fn with_components(self, given: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            given: Arc::new(given),
            ..self
        }
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

    /// The component that a pipeline file means by `plugin`: a path to a `.wasm` file, the name of a plugin that
    /// `refrain plugin build` put into `plugins/`, or `blake3:` and the digest of one that is there or that the host keeps.
    pub fn component(&self, plugin: &str) -> PathBuf {
        if let Some(digest) = plugin.strip_prefix(BY_DIGEST) {
            return self.component_of(digest);
        }
        match plugin.ends_with(".wasm") {
            true => self.root.join(plugin),
            false => self.root.join("plugins").join(format!("{plugin}.wasm")),
        }
    }

    /// Where components are kept, by digest, that `refrain plugin add --replace` put others in the place of.
    pub fn kept_components(&self) -> PathBuf {
        self.root.join("plugins").join(KEPT_FOLDER)
    }

    /// The file with this digest; where there is none, where it would be.
    #[expect(clippy::disallowed_methods, reason = "the user's own files")]
    fn component_of(&self, digest: &str) -> PathBuf {
        let file = format!("{digest}.wasm");
        let kept = self.data().join("components").join(&file);
        let plugins = self.root.join("plugins");
        let replaced = self.kept_components().join(&file);
        if let Some(found) = [kept, replaced].into_iter().find(|path| path.is_file()) {
            return found;
        }
        let entries = std::fs::read_dir(&plugins).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        found.retain(|path| path.extension().is_some_and(|e| e == "wasm"));
        found.sort();
        let is_it = |path: &PathBuf| {
            std::fs::read(path).is_ok_and(|bytes| Digest::of(&bytes).to_string() == digest)
        };
        found.into_iter().find(is_it).unwrap_or(plugins.join(file))
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
        if let Some(bytes) = self.given.get(plugin) {
            return Ok(bytes.clone());
        }
        let path = self.component(plugin);
        #[expect(clippy::disallowed_methods, reason = "the user's own file")]
        let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound if plugin.starts_with(BY_DIGEST) => {
                Error::Refused(format!(
                    "there is no component {plugin}, neither in plugins/ nor among those that the host keeps: take it \
                     into the project with `refrain plugin add FILE`"
                ))
            }
            std::io::ErrorKind::NotFound => Error::Refused(format!(
                "plugin {plugin}: there is no {}; build it with `refrain plugin build {plugin}`, or give the path of a \
                 .wasm component",
                path.display()
            )),
            _ => Error::Io { action: "read", path: path.display().to_string(), source },
        })?;
        if let Some(digest) = plugin.strip_prefix(BY_DIGEST)
            && Digest::of(&bytes).to_string() != digest
        {
            return Err(Error::Refused(format!(
                "{} has not the digest in its name any more; take it anew with `refrain plugin add FILE`",
                path.display()
            )));
        }
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
    load_with(project, declaration, &mut Loader::new(cache))
}

/// The same with another way to read components.
pub(crate) fn load_reading(
    declaration: &Declaration,
    read: &dyn Fn(&str) -> Result<Vec<u8>>,
    loader: &mut Loader,
) -> Result<Loaded> {
    let plan = pipeline::check(declaration, &mut |name| {
        let bytes = read(name).map_err(|e| e.to_string())?;
        let plugin = loader.load(name, &bytes, true, &declaration.grants_of(name));
        plugin.map(|p| p.about().clone()).map_err(|e| e.to_string())
    })
    .map_err(Error::Pipeline)?;
    let mut plugins = Vec::new();
    for node in &plan.nodes {
        let bytes = read(&node.plugin)?;
        plugins.push(loader.load_for(node, &bytes)?);
    }
    Ok(Loaded { plan, plugins })
}

/// The same with a loader that goes on being used.
pub(crate) fn load_with(
    project: &Project,
    declaration: &Declaration,
    loader: &mut Loader,
) -> Result<Loaded> {
    load_reading(declaration, &|name| project.read_component(name), loader)
}

/// Where states are kept. The folder of the disk store is nothing but what the commit log says.
pub(crate) fn store_options(declaration: &Declaration, data: &Path) -> StoreOptions {
    match declaration.state {
        StateDeclaration { on_disk: false, .. } => StoreOptions::Memory,
        StateDeclaration { cache_bytes, .. } => StoreOptions::Disk {
            folder: data.join("store"),
            cache_bytes,
        },
    }
}

/// The owner of a data folder.
pub struct Host {
    project: Project,
    declaration: Declaration,
    pub(crate) log: Arc<Log>,
    pub(crate) state: State,
    findings: Vec<Finding>,
    pub(crate) board: StatusBoard,
    pub(crate) notes: Notes,
    scans: Scans,
    audits: Audits,
    running: AtomicBool,
    plan: Mutex<Option<Plan>>,
    pub(crate) events: (Sender<Event>, Receiver<Event>),
    pub(crate) components: Components,
    pub(crate) loader: Mutex<Loader>,
    /// The registry as read after the commit of this number.
    pub(crate) parsed: Mutex<(u64, Arc<Versions>)>,
    /// Of meetings, so far.
    numbers: AtomicU64,
    pub(crate) storage: Arc<dyn Storage>,
    /// One at a time removes segments or gives them second names.
    keeping: Mutex<()>,
    /// Topics whose schema was altered since the pipeline file was read.
    pub(crate) altered: Mutex<BTreeSet<String>>,
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
        Host::open_declared(project, declaration, storage, clock)
    }

    /// The same with the pipeline file as it was read.
    pub(crate) fn open_declared(
        project: Project,
        declaration: Declaration,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Host> {
        let sources = pipeline::source_topics(&declaration).map_err(Error::Pipeline)?;
        let data = project.data();
        let io = |source| Error::Io {
            action: "make",
            path: data.display().to_string(),
            source,
        };
        storage.create_dir_all(&data).map_err(io)?;
        let lock = lock(&storage, &data)?;
        keep::restore::finish(&*storage, &data)?;
        keep::clear(&*storage, &data)?;
        let components = Components::new(Arc::clone(&storage), data.join("components"));
        let declared: Vec<TopicSpec> = sources.into_iter().map(|source| source.spec).collect();
        let (log, mut findings) = Log::open_declared(
            Arc::clone(&storage),
            Arc::clone(&clock),
            data.join("topics"),
            &declared,
        )?;
        let notes = Notes::new(
            Arc::clone(&storage),
            Arc::clone(&clock),
            data.join("resubmitted"),
        );
        let options = StateOptions {
            store: store_options(&declaration, &data),
            ..StateOptions::default()
        };
        let gauge = Gauge::new(Ledger::open(Arc::clone(&storage), &data, clock.now()));
        let (state, more) =
            State::open_with(Arc::clone(&storage), clock, data.join("commits"), options)?;
        findings.extend(more);
        for spec in declared {
            match log.declare(spec) {
                // What is there is read as it is; runs and appends are refused.
                Err(refrain_log::Error::Redeclared { .. }) => {}
                declared => drop(declared?),
            }
        }
        let cuts = state
            .nodes()
            .into_iter()
            .filter_map(|n| state.node(&n))
            .map(|n| n.cut);
        log.raise_sequence(cuts.max().unwrap_or_default());
        derived::drop_leftovers(&log, &state)?;
        derived::show(&log, &state)?;
        Ok(Host {
            project,
            declaration,
            log: Arc::new(log),
            state,
            findings,
            board: StatusBoard::counting(gauge),
            notes,
            scans: Scans::default(),
            audits: Audits::open(Arc::clone(&storage), &data),
            running: AtomicBool::new(false),
            plan: Mutex::new(None),
            events: unbounded(),
            components,
            loader: Mutex::default(),
            parsed: Mutex::default(),
            numbers: AtomicU64::new(0),
            storage,
            keeping: Mutex::default(),
            altered: Mutex::default(),
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

    /// What audits came to.
    pub(crate) fn audits(&self) -> &Audits {
        &self.audits
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
            decode_ns,
        } = request
        else {
            return Err(Error::Refused("only appends can be submitted".into()));
        };
        let producer = producer.map(|(name, first_row)| Producer { name, first_row });
        if let Some(gauge) = self
            .board
            .gauge()
            .filter(|_| self.log.topic(&topic).is_some())
        {
            gauge.decoded(&topic, self.log.now(), decode_ns);
        }
        Ok(self.log.submit(Append {
            topic,
            rows: rows.rows,
            row_numbers,
            input,
            undecoded,
            producer,
        })?)
    }

    /// Where compiled plugins are kept from now on.
    pub fn keep_compiled_in(&self, cache: Option<PathBuf>) {
        *self.loader() = Loader::new(cache);
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn keeping(&self) -> MutexGuard<'_, ()> {
        self.keeping
            .lock()
            .expect("nobody panics while keeping files")
    }

    pub(crate) fn loader(&self) -> MutexGuard<'_, Loader> {
        self.loader.lock().expect("nobody panics with the loader")
    }

    /// Runs the pipeline until it is stopped or, with `once`, until all that is there has been processed. `cache` is the
    /// folder for compiled plugins.
    pub fn run(&self, options: &RunOptions, cache: Option<PathBuf>) -> Result<RunReport> {
        self.keep_compiled_in(cache);
        self.run_again(options)
    }

    /// The same with compiled plugins where they were before.
    pub fn run_again(&self, options: &RunOptions) -> Result<RunReport> {
        self.refuse_redeclared()?;
        let mut loaded = load_with(&self.project, &self.declaration, &mut self.loader())?;
        tiers::settle(&mut loaded.plan, &self.measures());
        self.show_rhythms(&loaded.plan);
        let Lineup {
            nodes,
            refused,
            kept,
        } = self.line_up(&loaded, options)?;
        self.begin_counting();
        self.running.store(true, Ordering::SeqCst);
        let (over, ended) = unbounded();
        let report = std::thread::scope(|scope| {
            let keeper = std::thread::Builder::new().name("keeper".into());
            let keeper = keeper.spawn_scoped(scope, || self.keep_on(&ended));
            keeper.expect("threads can be started");
            let optimizer = std::thread::Builder::new().name("optimizer".into());
            let optimizer =
                optimizer.spawn_scoped(scope, || self.optimize_on(options.optimize_after, &ended));
            optimizer.expect("threads can be started");
            let report = Run::run(
                &self.log,
                &self.state,
                &self.board,
                nodes,
                Timing::of(&loaded.plan),
                options,
                self.events.clone(),
            );
            drop::<Sender<()>>(over);
            report
        });
        // What this run has read may go.
        match self.retain() {
            Ok(told) => told.iter().for_each(keep::log_trimmed),
            Err(error) => tracing::warn!(%error, "retention could not do its work"),
        }
        self.running.store(false, Ordering::SeqCst);
        self.end_counting();
        report.map(|mut report| {
            report.stopped.splice(0..0, refused);
            report.kept = kept;
            report
        })
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
}

impl Drop for Host {
    /// Work for appends is put in the books though no run ends.
    fn drop(&mut self) {
        if let Some(gauge) = self.board.gauge() {
            gauge.close(&self.log);
        }
    }
}

pub(crate) fn lock(storage: &Arc<dyn Storage>, data: &Path) -> Result<Box<dyn Send + Sync>> {
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
