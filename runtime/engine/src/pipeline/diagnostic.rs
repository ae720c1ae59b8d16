//! What is wrong with a pipeline file, for people and for programs: a stable code, a sentence, what to do, and where.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; something in it has no effect yet.
    Warning,
}

/// One thing to know about a pipeline file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable name of the problem, such as `unknown-key`.
    pub code: String,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// What it is about: the name of a topic, node, view or consumer; of lints only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The way from a source to a reader that it is about; of lints only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// What it costs or would cost in a month, with its currency; of lints only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_month: Option<String>,
    /// Whether that stands on assumptions instead of what was metered; of lints only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    /// Bytes of the file that it is about.
    pub span: Range<usize>,
    /// Line of the span's start, from 1.
    pub line: usize,
    /// Column of the span's start in characters, from 1.
    pub column: usize,
}

/// All that is wrong with a pipeline file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Name of the file.
    pub file: String,
    /// Its text, for the line and the caret.
    #[serde(skip)]
    pub text: String,
    /// At least one of severity error.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// How many errors there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        let errors = |d: &&Diagnostic| d.severity == Severity::Error;
        self.list.iter().filter(errors).count()
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, d) in self.list.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            let severity = match d.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            write!(
                f,
                "{newline}{}:{}:{}: {severity}[{}]: {}",
                self.file, d.line, d.column, d.code, d.message
            )?;
            if let Some(help) = &d.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Collects diagnostics while a file is read or checked.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Diagnostic>);

impl Findings {
    pub(super) fn error(
        &mut self,
        code: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, code, span, message.into(), help.into());
    }

    pub(super) fn warning(
        &mut self,
        code: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, code, span, message.into(), help.into());
    }

    fn push(
        &mut self,
        severity: Severity,
        code: &str,
        span: Range<usize>,
        message: String,
        help: String,
    ) {
        self.0.push(Diagnostic {
            code: code.into(),
            severity,
            message,
            help: Some(help).filter(|h| !h.is_empty()),
            at: None,
            path: Vec::new(),
            per_month: None,
            assumed: false,
            span,
            line: 0,
            column: 0,
        });
    }

    pub(super) fn absorb(&mut self, other: Findings) {
        self.0.extend(other.0);
    }

    pub(super) fn failed(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// All of them with line and column filled in, in the order of the file.
    pub(super) fn placed(self, text: &str) -> Vec<Diagnostic> {
        placed(self.0, text)
    }
}

/// Diagnostics with line and column filled in, in the order of the file.
pub(crate) fn placed(mut list: Vec<Diagnostic>, text: &str) -> Vec<Diagnostic> {
    for d in &mut list {
        (d.line, d.column) = place(text, d.span.start);
    }
    list.sort_by_key(|d| (d.span.start, d.span.end));
    list
}

/// Line and column of a byte, both from 1.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The name nearest to `wrong` among `names`, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| {
            let (a, b) = (wrong.to_lowercase(), name.to_lowercase());
            (strsim::damerau_levenshtein(&a, &b), name)
        })
        .filter(|(distance, _)| *distance <= limit && *distance < wrong.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean X?`, and in any case the names there are.
pub(super) fn suggestion<'a>(
    wrong: &str,
    what: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let all: Vec<&str> = names.clone().into_iter().collect();
    let list = match all.len() {
        0 => format!("there are no {what}"),
        _ => format!("{what}: {}", all.join(", ")),
    };
    match nearest(wrong, names) {
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}
