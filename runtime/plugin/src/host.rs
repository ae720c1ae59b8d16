//! The engine of all plugins: compiled code, its cache, pooled instances, the clock of deadlines.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use wasmtime::component::{Component, InstancePre};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::about::{About, PluginKind};
use crate::compiled;
use crate::contract::Exports;
use crate::fault::{Cause, Fault, LoadError};
use crate::fuel::FuelBook;
use crate::grant::{self, Grants, Import};
use crate::instance::{Instance, Starting};
use crate::limits::{Guard, Limits, STACK_BYTES_MAX, Ticker};
use crate::lines::Lines;
use crate::voice::Voice;
use crate::wasi;
use crate::wire::{Declaration, Description};

/// BLAKE3 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Digest {
    /// Digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// How plugins are run.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where compiled code is kept, by digest of component and settings; none: compiled anew each time. Only the user
    /// who runs the host may be able to write there: what is in it is run.
    pub cache: Option<PathBuf>,
    /// Instances that may live at once. Each reserves 4 GiB of address space, no memory.
    pub instances_max: u32,
    /// Make every NaN that guest arithmetic yields the same. Free on integers, 2 to 3 times on tight float loops.
    pub canonical_nans: bool,
    /// Count fuel: a figure of a plugin's work that is the same everywhere. Code that counts is another and slower, 1.1 to
    /// 1.4 times.
    pub fuel: bool,
}

impl Default for HostOptions {
    /// No cache, 256 instances, canonical NaNs, no fuel counted.
    fn default() -> Self {
        Self {
            cache: None,
            instances_max: 256,
            canonical_nans: true,
            fuel: false,
        }
    }
}

/// Instances beyond [`HostOptions::instances_max`] that loading may take for a moment.
const INSTANCES_SPARE: u32 = 16;
/// Core modules of one component, counted generously: interpreters come in a dozen parts.
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;
/// Entries of one function table. Interpreters compiled to Wasm need tens of thousands.
const TABLE_ENTRIES_MAX: usize = 200_000;

/// Calls on the way to a trap that are looked at for a line of source.
const TRACE_CALLS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("it is not 0");

/// The engine of all plugins. Cheap to clone. Its clock stops when the last clone and the last plugin are gone.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    machine: Machine,
    /// For components with debug information, of whose traps the line is told: made for the first of them, since code that
    /// can be traced is larger.
    tracing: OnceLock<Machine>,
    options: HostOptions,
    burnt: Option<FuelBook>,
}

/// An engine and its clock.
#[derive(Debug)]
struct Machine {
    engine: Engine,
    _ticker: Ticker,
}

impl Machine {
    fn start(config: &Config, instances_max: u32) -> Result<Machine, String> {
        let engine = Engine::new(config).map_err(|error| {
            format!("{error:#}; allow more address space (ulimit -v) or fewer than {instances_max} instances")
        })?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| error.to_string())?;
        Ok(Machine {
            engine,
            _ticker: ticker,
        })
    }
}

impl Host {
    /// Starts it, and the thread of its clock.
    ///
    /// # Errors
    /// When the machine gives neither the address space nor the thread.
    pub fn new(options: HostOptions) -> Result<Host, LoadError> {
        let cannot = |why: String| LoadError {
            plugin: "plugin host".into(),
            what: format!("cannot start: {why}"),
        };
        let machine = Machine::start(&config(&options), options.instances_max).map_err(cannot)?;
        Ok(Host {
            shared: Arc::new(Shared {
                machine,
                tracing: OnceLock::new(),
                burnt: options.fuel.then(FuelBook::default),
                options,
            }),
        })
    }

    /// The engine for these bytes.
    fn engine(&self, bytes: &[u8]) -> Result<&Engine, String> {
        let Shared {
            machine,
            tracing,
            options,
            ..
        } = &*self.shared;
        if !Lines::are_in(bytes) {
            return Ok(&machine.engine);
        }
        if tracing.get().is_none() {
            let mut config = config(options);
            config
                .generate_address_map(true)
                .wasm_backtrace_max_frames(Some(TRACE_CALLS_MAX));
            // Another thread may have been faster: then its engine is as good.
            let _ = tracing.set(Machine::start(&config, options.instances_max)?);
        }
        Ok(&tracing.get().expect("it was made").engine)
    }

    /// What its instances have used, where it counts fuel.
    pub fn burnt(&self) -> Option<&FuelBook> {
        self.shared.burnt.as_ref()
    }

    /// Loads a component: checks that it is one, that it exports `about` and `transform`, `fold` or `process` of a
    /// version we speak, that it imports nothing, compiles it or takes it from the cache, and asks it for its description.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the bytes and what to do about it.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Plugin, LoadError> {
        self.load_granting(name, bytes, &Grants::default())
    }

    /// The same for a component that may import what is granted.
    ///
    /// # Errors
    /// As [`Host::load`]; for an import that is not granted, which grant it needs.
    pub fn load_granting(
        &self,
        name: &str,
        bytes: &[u8],
        grants: &Grants,
    ) -> Result<Plugin, LoadError> {
        let refused = |what| LoadError {
            plugin: name.to_owned(),
            what,
        };
        let loaded = self.loaded(name, bytes, grants).map_err(refused)?;
        Ok(Plugin {
            loaded: Arc::new(loaded),
        })
    }

    /// The functions that a component imports, whether or not they can be granted. It is compiled for that.
    ///
    /// # Errors
    /// When the bytes are no component, or cannot be compiled.
    pub fn imports(&self, name: &str, bytes: &[u8]) -> Result<Vec<Import>, LoadError> {
        let component = self.compiled(bytes).map_err(|what| LoadError {
            plugin: name.to_owned(),
            what,
        })?;
        Ok(grant::imports(component.engine(), &component))
    }

    /// Whether loading these bytes would find their code in the cache, and so not compile them.
    pub fn is_compiled(&self, bytes: &[u8]) -> bool {
        let cache = self.shared.options.cache.as_deref();
        let engine = self.engine(bytes).unwrap_or(&self.shared.machine.engine);
        compiled::is_kept(engine, cache, Digest::of(bytes))
    }

    fn compiled(&self, bytes: &[u8]) -> Result<Component, String> {
        component_header(bytes)?;
        let cache = self.shared.options.cache.as_deref();
        compiled::component(self.engine(bytes)?, cache, Digest::of(bytes), bytes)
            .map_err(|error| format!("cannot be compiled: {:#}; build it again", error))
    }

    fn loaded(&self, name: &str, bytes: &[u8], grants: &Grants) -> Result<Loaded, String> {
        let component = self.compiled(bytes)?;
        let engine = component.engine();
        let imports = grant::imports(engine, &component);
        grant::refuse(&imports, grants)?;
        let pre = instance_pre(engine, &component)?;
        let exports = Exports::find(&pre)?;
        let lines = Lines::are_in(bytes).then(|| Arc::new(Lines::of(bytes)));
        let voice = Voice::of(name, lines);
        let said = said(&pre, &exports, voice.clone(), self.burnt().is_some())?;
        let about = said
            .check(exports.kind())
            .map_err(|what| format!("describes itself wrongly: {what}"))?;
        let about = About {
            merges: exports.merges(),
            migrates: exports.migrates(),
            ..about
        };
        Ok(Loaded {
            host: self.clone(),
            name: name.to_owned(),
            voice,
            digest: Digest::of(bytes),
            pre,
            exports,
            imports,
            said,
            about,
        })
    }
}

/// What a plugin says of itself, word by word. Always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) description: Description,
    /// Of a process plugin.
    pub(crate) declaration: Option<Declaration>,
}

impl Said {
    fn check(&self, kind: PluginKind) -> Result<About, String> {
        let description = self.description.clone();
        match &self.declaration {
            Some(declaration) => About::check_process(description, declaration.clone()),
            None => About::check(description, kind),
        }
    }
}

fn config(options: &HostOptions) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(options.fuel)
        .max_wasm_stack(STACK_BYTES_MAX)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(options.canonical_nans)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
            options.instances_max.saturating_add(INSTANCES_SPARE),
        )));
    config
}

/// Reservations keep their default of 4 GiB each: smaller ones bring bounds checks into every access, 1.37 times slower.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(4))
        .max_tables_per_module(4)
        .table_elements(TABLE_ENTRIES_MAX);
    pool
}

/// Tells a component from what is often taken for one.
fn component_header(bytes: &[u8]) -> Result<(), String> {
    match bytes.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(
            "is a core Wasm module, not a component: build it with `refrain plugin build`, or make it one with \
             `wasm-tools component new`"
                .into(),
        ),
        Some([0, b'a', b's', b'm', ..]) => {
            Err("is Wasm of a version that is not known here: build it again".into())
        }
        _ => Err("is not Wasm: give the component's .wasm file (build it with `refrain plugin build`)".into()),
    }
}

fn instance_pre(engine: &Engine, component: &Component) -> Result<InstancePre<Guard>, String> {
    wasi::linker(engine, component)?
        .instantiate_pre(component)
        .map_err(|error| {
            format!("cannot be linked: {error:#}; a plugin imports nothing but what it is granted")
        })
}

/// What it says of itself, asked of an instance of its own.
fn said(
    pre: &InstancePre<Guard>,
    exports: &Exports,
    voice: Voice,
    fuel: bool,
) -> Result<Said, String> {
    let mut starting = Starting::new(pre, exports, Limits::default(), voice, fuel)
        .map_err(|cause| format!("does not start: {}", cause.what))?;
    let failed = |function| move |cause: Cause| format!("`{function}` failed: {}", cause.what);
    Ok(Said {
        description: starting.describe().map_err(failed("about.describe"))?,
        declaration: starting.declare().map_err(failed("process.declare"))?,
    })
}

/// A loaded component. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    loaded: Arc<Loaded>,
}

struct Loaded {
    host: Host,
    name: String,
    /// Of its instances, before they have said anything.
    voice: Voice,
    digest: Digest,
    pre: InstancePre<Guard>,
    exports: Exports,
    imports: Vec<Import>,
    said: Said,
    about: About,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.loaded.name)
            .field("digest", &self.loaded.digest)
            .field("about", &self.loaded.about)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// What it says of itself.
    pub fn about(&self) -> &About {
        &self.loaded.about
    }

    /// The interfaces with functions that it imports; all of them were granted.
    pub fn imports(&self) -> &[Import] {
        &self.loaded.imports
    }

    /// Digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.loaded.digest
    }

    /// The name that it was loaded under.
    pub fn name(&self) -> &str {
        &self.loaded.name
    }

    /// A new instance, configured: every setting of [`About::settings`] by name, defaults filled in by the caller.
    ///
    /// # Errors
    /// [`crate::FaultKind::Options`] when the plugin refuses them; any other fault of its start.
    pub fn instantiate(
        &self,
        options: &[(String, String)],
        limits: Limits,
    ) -> Result<Instance, Fault> {
        Instance::start(self, options, limits)
    }

    pub(crate) fn pre(&self) -> &InstancePre<Guard> {
        &self.loaded.pre
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.loaded.exports
    }

    pub(crate) fn voice(&self) -> &Voice {
        &self.loaded.voice
    }

    pub(crate) fn burnt(&self) -> Option<&FuelBook> {
        self.loaded.host.burnt()
    }

    pub(crate) fn said(&self) -> &Said {
        &self.loaded.said
    }

    pub(crate) fn fault(&self, function: &'static str, cause: Cause) -> Fault {
        Fault {
            plugin: self.loaded.name.clone(),
            function,
            kind: cause.kind,
            what: cause.what,
            said: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_apart() {
        assert!(component_header(b"\0asm\x0d\0\x01\0").is_ok());
        let why = |bytes: &[u8]| component_header(bytes).unwrap_err();
        assert!(why(b"\0asm\x01\0\0\0").contains("core Wasm module"));
        assert!(why(b"(module)").contains("is not Wasm"));
        assert!(why(b"").contains("is not Wasm"));
    }
}
