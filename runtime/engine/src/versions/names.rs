//! Names of versions: `delays` is version 1 of the node (view, topic) `delays`, `delays@2` its version 2.

use std::fmt;

/// A name with the number of a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionName {
    /// As in the pipeline file.
    pub name: String,
    /// From 1.
    pub number: u32,
}

impl VersionName {
    /// This version of that name.
    pub fn new(name: &str, number: u32) -> Self {
        Self {
            name: name.to_owned(),
            number,
        }
    }

    /// Takes a name apart. What has no number is version 1.
    pub fn parse(text: &str) -> Self {
        match numbered(text) {
            Some((name, number)) => Self::new(name, number),
            None => Self::new(text, 1),
        }
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            1 => write!(f, "{}", self.name),
            number => write!(f, "{}@{number}", self.name),
        }
    }
}

fn numbered(text: &str) -> Option<(&str, u32)> {
    let (name, number) = text.rsplit_once('@')?;
    let number = number.parse().ok().filter(|n| *n > 0)?;
    Some((name, number))
}

/// How a reader names a view: `delays` (what everybody reads), `delays@2` (this version), `delays@for:board` (what the
/// consumer `board` reads).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewName {
    /// What everybody reads.
    Live(String),
    /// A version.
    Version(VersionName),
    /// What a consumer reads.
    Consumer(String, String),
}

impl ViewName {
    /// Takes a name apart.
    pub fn parse(text: &str) -> Self {
        if let Some((view, consumer)) = text.split_once("@for:") {
            return Self::Consumer(view.to_owned(), consumer.to_owned());
        }
        match numbered(text) {
            Some((view, number)) => Self::Version(VersionName::new(view, number)),
            None => Self::Live(text.to_owned()),
        }
    }

    /// The view's name in the pipeline file.
    pub fn view(&self) -> &str {
        match self {
            Self::Live(view) | Self::Consumer(view, _) => view,
            Self::Version(version) => &version.name,
        }
    }
}
