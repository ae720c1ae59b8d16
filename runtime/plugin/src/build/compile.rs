//! From the source of a plugin to a core module or a component, one function a language; Rust has a room of its own.

use std::path::{Path, PathBuf};

use super::command::{Command, Done};
use super::sdk::{self, Sdk};
use super::{BuildError, Language, Talk, file, lines, place, read, target_folder, tools};
use crate::about::PluginKind;

/// What is built, from where, with what.
pub(super) struct Job<'a> {
    pub(super) package: &'a Path,
    pub(super) cache: &'a Path,
    pub(super) language: Language,
    pub(super) talk: Talk,
}

impl Job<'_> {
    /// Compiles; the bytes of a core module or of a component.
    pub(super) fn compile(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        match self.language {
            Language::Rust => super::rust::compile(self.package, self.talk, self.cache, say),
            Language::C => self.c(say),
            Language::Zig => self.zig(say),
            Language::Go => self.go(say),
            Language::Python => self.python(say),
            Language::JavaScript => {
                let source = self.package.join(self.language.source());
                self.unpack(Sdk::JavaScript)?;
                self.javascript(&source, self.plugins(), say)
            }
            Language::TypeScript => self.typescript(say),
            Language::AssemblyScript => self.assemblyscript(say),
        }
    }

    fn c(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        let include = self.unpack(Sdk::C)?;
        let out = self.out("module.wasm")?;
        // With debug information a trap has a line.
        let voice: &[&str] = match self.talk {
            Talk::Talking => &["-DREFRAIN_TALK", "-g"],
            Talk::Silent => &["-s"],
        };
        let mut cc = self.zig_command(say)?;
        cc.args(["cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-O2"])
            .args(voice)
            .args(["-Wall", "-Wextra", "-I"])
            .args([&include])
            .args(["plugin.c", "-o"])
            .args([&out]);
        self.made(cc.talk(say)?, &out, say)
    }

    fn zig(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        let sdk = self.unpack(Sdk::Zig)?;
        let (voice, debug) = match self.talk {
            Talk::Talking => ("voice_on.zig", "-fno-strip"),
            Talk::Silent => ("voice_off.zig", "-fstrip"),
        };
        let module = |name: &str, file: &str| format!("-M{name}={}", sdk.join(file).display());
        let out = self.out("module.wasm")?;
        let mut zig = self.zig_command(say)?;
        zig.args(["build-exe", "-target", "wasm32-freestanding"])
            .args(["-fno-entry", "-rdynamic", debug])
            .args(["--dep", "refrain", "--dep", "plugin", "-O", "ReleaseFast"])
            .args([module("root", "main.zig")])
            // What overflows or is out of bounds in the author's code is a trap, not undefined.
            .args(["--dep", "refrain", "-O", "ReleaseSafe"])
            .args(["-Mplugin=plugin.zig"])
            .args(["--dep", "voice", "-O", "ReleaseFast"])
            .args([module("refrain", "refrain.zig"), module("voice", voice)])
            .args([format!("-femit-bin={}", out.display())]);
        self.made(zig.talk(say)?, &out, say)
    }

    fn zig_command(&self, say: &mut dyn FnMut(&str)) -> Result<Command, BuildError> {
        let mut zig = tools::ZIG.command(self.package, self.cache, say)?;
        let kept = self.cache.join("tools/zig-cache");
        zig.env("ZIG_GLOBAL_CACHE_DIR", &kept)
            .env("ZIG_LOCAL_CACHE_DIR", &kept);
        Ok(zig)
    }

    fn go(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        self.unpack(Sdk::Go)?;
        let out = self.out("module.wasm")?;
        let mut go = tools::GO.command(self.package, self.cache, say)?;
        go.env("GOOS", "wasip1")
            .env("GOARCH", "wasm")
            .env("GOPROXY", "off")
            .env("GOFLAGS", "-mod=mod")
            .env("GOTOOLCHAIN", "local")
            .env("GOCACHE", self.cache.join("tools/go-cache"))
            .env("GOPATH", self.cache.join("tools/go-path"))
            .args([
                "build",
                "-buildmode=c-shared",
                "-trimpath",
                "-ldflags=-s -w",
            ])
            .args(self.talks(&["-tags=talk"]))
            .args(["-o"])
            .args([&out])
            .args(["."]);
        self.made(go.talk(say)?, &out, say)
    }

    fn python(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        let sdk = self.unpack(Sdk::Python)?;
        let (wit, world) = self.world()?;
        let out = self.out("component.wasm")?;
        let mut python = tools::COMPONENTIZE_PY.command(self.package, self.cache, say)?;
        python
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // What is wrong with a plugin is not in the stack of its compiler.
            .env("RUST_BACKTRACE", "0")
            .args(["-d"])
            .args([&wit])
            .args(["-w", world, "componentize", "--stub-wasi"])
            .args(["-p", ".", "-p"])
            .args([&sdk])
            .args(["plugin", "-o"])
            .args([&out]);
        self.made(python.talk(say)?, &out, say)
    }

    /// QuickJS reads `source` and what it imports below `root`.
    fn javascript(
        &self,
        source: &Path,
        root: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<u8>, BuildError> {
        let (wit, world) = self.world()?;
        let out = self.out("component.wasm")?;
        let mut qjs = tools::COMPONENTIZE_QJS.command(self.package, self.cache, say)?;
        qjs.args(["--wit"])
            .args([&wit])
            .args(["-n", world, "--sync", "--opt-size", "--stub-wasi"])
            .args(["--js"])
            .args([source])
            .args(["--module-root"])
            .args([root])
            .args(["-o"])
            .args([&out]);
        self.made(qjs.talk(say)?, &out, say)
    }

    fn typescript(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        self.unpack(Sdk::JavaScript)?;
        let out = self.out("javascript")?;
        let mut tsc = tools::TSC.command(self.package, self.cache, say)?;
        tsc.args(["--strict", "--target", "es2023", "--module", "es2022"])
            .args(["--moduleResolution", "bundler", "--sourceMap", "--rootDir"])
            .args([self.plugins()])
            .args(["--outDir"])
            .args([&out])
            .args(["plugin.ts"]);
        let done = tsc.talk(say)?;
        if !done.success {
            return Err(self.refused(&done, say));
        }
        sdk::unpack(Sdk::JavaScript, &out)?;
        let name = self.package.file_name().unwrap_or_default();
        let source = aligned(&out.join(name))?;
        self.javascript(&source, &out, say)
    }

    /// Paths are those below the folder of the plugins, as the compiler names files in what a plugin says.
    fn assemblyscript(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
        self.unpack(Sdk::AssemblyScript)?;
        let sdk = |file: &str| format!("{}/assemblyscript/{file}", sdk::SDK_FOLDER);
        let exports = match self.kind()? {
            PluginKind::Fold => "fold_exports.ts",
            PluginKind::Transform => "transform_exports.ts",
            PluginKind::Process => "process_exports.ts",
        };
        let name = self.package.file_name().unwrap_or_default();
        let out = self.out("module.wasm")?;
        let mut asc = tools::ASC.command(self.plugins(), self.cache, say)?;
        asc.args([Path::new(name).join(self.language.source())])
            .args([&sdk(exports), "--baseDir", ".", "--runtime", "minimal"])
            .args(["-O3", "--exportStart", "_initialize"])
            .args(["--use", &format!("abort={}", sdk("voice/abort"))])
            .args(self.talks(&["--use", "REFRAIN_TALKS=1"]))
            .args(["--transform", &format!("./{}", sdk("exports.mjs")), "-o"])
            .args([&out]);
        self.made(asc.talk(say)?, &out, say)
    }

    /// Arguments of a build with a voice.
    fn talks(&self, arguments: &'static [&'static str]) -> &'static [&'static str] {
        match self.talk {
            Talk::Talking => arguments,
            Talk::Silent => &[],
        }
    }

    /// The folder that the plugin stands in.
    fn plugins(&self) -> &Path {
        self.package.parent().unwrap_or(self.package)
    }

    /// The SDK beside the plugins, as this program has it; its folder.
    fn unpack(&self, sdk: Sdk) -> Result<PathBuf, BuildError> {
        sdk::unpack(sdk, self.plugins())
    }

    /// A place for what the compiler makes, where nothing of an earlier build is.
    #[expect(clippy::disallowed_methods, reason = "a cache of built guests")]
    fn out(&self, name: &str) -> Result<PathBuf, BuildError> {
        let plugin = self.package.file_name().unwrap_or_default();
        let folder = target_folder(self.package, self.cache).join(plugin);
        std::fs::create_dir_all(&folder).map_err(|why| file(&folder, why))?;
        let out = folder.join(name);
        match out.is_dir() {
            true => std::fs::remove_dir_all(&out),
            false => std::fs::remove_file(&out),
        }
        .or_else(|why| match why.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(file(&out, why)),
        })?;
        Ok(out)
    }

    /// The bytes that the compiler left, or why there are none.
    fn made(
        &self,
        done: Done,
        out: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<u8>, BuildError> {
        match done.success {
            true => read(out),
            false => Err(self.refused(&done, say)),
        }
    }

    /// Some compilers print what is wrong on stdout.
    fn refused(&self, done: &Done, say: &mut dyn FnMut(&str)) -> BuildError {
        done.stdout.lines().for_each(say);
        BuildError::Source(self.package.to_path_buf())
    }

    /// The kind of a plugin, for tools that must be told: its source names the function of the SDK that makes it.
    fn kind(&self) -> Result<PluginKind, BuildError> {
        let path = self.package.join(self.language.source());
        let source = String::from_utf8_lossy(&read(&path)?).into_owned();
        kind_of(&source).ok_or(BuildError::NoKind(path))
    }

    /// The folder of wit/ and the world of a source. A world with a voice imports `logging` beside.
    fn world(&self) -> Result<(PathBuf, &'static str), BuildError> {
        let world = match self.kind()? {
            PluginKind::Fold => "fold-plugin",
            PluginKind::Transform => "transform-plugin",
            PluginKind::Process => "process-plugin",
        };
        if self.talk == Talk::Silent {
            return Ok((self.unpack(Sdk::Wit)?, world));
        }
        let wit = sdk::unpack(Sdk::Wit, &self.out("talking")?)?;
        let both = format!("world talking {{ include {world}; include talking-plugin; }}");
        let text = format!("package refrain:plugin@0.1.0;\n\n{both}\n");
        place(&wit.join("talking.wit"), text.as_bytes())?;
        Ok((wit, "talking"))
    }
}

/// Puts the lines of a compiled `plugin.ts` where they are in their source, under the name that they have there; its path.
fn aligned(folder: &Path) -> Result<PathBuf, BuildError> {
    let text = |name: &str| {
        let bytes = read(&folder.join(name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let script = lines::aligned(&text("plugin.js")?, &text("plugin.js.map")?);
    let source = folder.join("plugin.ts");
    place(&source, script.as_bytes())?;
    Ok(source)
}

/// Which of the SDK's export functions a source calls.
pub(super) fn kind_of(source: &str) -> Option<PluginKind> {
    let calls = |names: [&str; 2]| {
        names
            .iter()
            .any(|name| source.contains(&format!("{name}(")))
    };
    let fold = calls(["export_fold", "exportFold"]);
    let transform = calls(["export_transform", "exportTransform"]);
    let process = calls(["export_process", "exportProcess"]);
    match (fold, transform, process) {
        (true, false, false) => Some(PluginKind::Fold),
        (false, true, false) => Some(PluginKind::Transform),
        (false, false, true) => Some(PluginKind::Process),
        _ => None,
    }
}
