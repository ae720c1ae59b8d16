//! The languages that plugins are built from here, and which of them a folder is written in: its source file says it.

use std::path::Path;

use super::BuildError;

/// A language with an SDK and a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// cargo, for `wasm32-unknown-unknown`.
    Rust,
    /// clang inside the PyPI package `ziglang`.
    C,
    /// The same package.
    Zig,
    /// componentize-py: CPython inside the component.
    Python,
    /// componentize-qjs: QuickJS inside the component.
    JavaScript,
    /// tsc, then as JavaScript.
    TypeScript,
    /// Go's own compiler for `wasip1`, its WASI answered by constants.
    Go,
    /// asc, of npm.
    AssemblyScript,
}

impl Language {
    /// All of them, the most asked for first.
    pub const ALL: [Language; 8] = [
        Language::Rust,
        Language::C,
        Language::Python,
        Language::JavaScript,
        Language::TypeScript,
        Language::Zig,
        Language::Go,
        Language::AssemblyScript,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Zig => "zig",
            Language::Python => "python",
            Language::JavaScript => "javascript",
            Language::TypeScript => "typescript",
            Language::Go => "go",
            Language::AssemblyScript => "assemblyscript",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::C => "C",
            Language::Zig => "Zig",
            Language::Python => "Python",
            Language::JavaScript => "JavaScript",
            Language::TypeScript => "TypeScript",
            Language::Go => "Go",
            Language::AssemblyScript => "AssemblyScript",
        }
    }

    /// The file that an author changes, in the folder of the plugin.
    pub fn source(self) -> &'static str {
        match self {
            Language::Rust => "src/lib.rs",
            Language::C => "plugin.c",
            Language::Zig => "plugin.zig",
            Language::Python => "plugin.py",
            Language::JavaScript => "plugin.js",
            Language::TypeScript => "plugin.ts",
            Language::Go => "plugin.go",
            // Its files are named like those of TypeScript.
            Language::AssemblyScript => "assembly/index.ts",
        }
    }

    /// The file by which a folder is known to be a plugin in this language.
    fn mark(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            other => other.source(),
        }
    }

    /// The language of the plugin in a folder.
    ///
    /// # Errors
    /// The folder holds the source of no language, or of several.
    pub fn of(package: &Path) -> Result<Language, BuildError> {
        let found: Vec<Language> = Self::ALL
            .into_iter()
            .filter(|language| package.join(language.mark()).is_file())
            .collect();
        match found[..] {
            [language] => Ok(language),
            [] => Err(BuildError::NotAPackage(package.to_path_buf())),
            [one, other, ..] => Err(BuildError::TwoLanguages {
                package: package.to_path_buf(),
                one: one.mark(),
                other: other.mark(),
            }),
        }
    }
}

impl std::str::FromStr for Language {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|language| language.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Language::name).join(", ");
            format!("there is no SDK for `{name}`; there are {names}")
        })
    }
}
