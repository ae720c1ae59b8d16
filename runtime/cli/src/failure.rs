//! How a command fails: an exit code, a sentence, and for a pipeline file each problem with its line and a caret.

use miette::{GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use refrain_engine::pipeline::{Diagnostic, Diagnostics, Severity};

use crate::args::{Global, Output};
use crate::{cells, show};

/// Bad usage, or a pipeline file or an input that was refused.
pub(crate) const REFUSED: u8 = 2;

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code, as documented in docs/cli.md.
    pub(crate) code: u8,
    /// A sentence that says what to do.
    pub(crate) message: String,
    /// What is wrong with the pipeline file.
    pub(crate) diagnostics: Option<Box<Diagnostics>>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            diagnostics: None,
        }
    }

    /// The user asked for something that cannot be done.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(REFUSED, message)
    }

    /// The same, about a file.
    pub(crate) fn about(self, file: &std::path::Path) -> Self {
        Self {
            message: format!("{}: {}", file.display(), self.message),
            ..self
        }
    }

    /// Tells it on stderr, and problems of the pipeline file as data where data is asked for.
    pub(crate) fn tell(&self, global: &Global) {
        if let Some(diagnostics) = &self.diagnostics {
            if global.output == Output::Json {
                // Nobody is left to be told that nobody listens.
                let _ =
                    show::line(serde_json::json!({ "ok": false, "problems": diagnostics.list }));
            }
            tell_diagnostics(diagnostics, &diagnostics.list);
        }
        eprintln!("error: {}", cells::message(&self.message));
    }
}

/// Each problem with its line and a caret, on stderr.
pub(crate) fn tell_diagnostics(file: &Diagnostics, list: &[Diagnostic]) {
    for diagnostic in list {
        let source = NamedSource::new(&file.file, file.text.clone());
        let report = Report::new(report_of(diagnostic)).with_source_code(source);
        let mut text = String::new();
        match handler().render_report(&mut text, report.as_ref()) {
            Ok(()) => eprint!("{text}"),
            Err(_) => eprintln!("{}: {}", diagnostic.code, diagnostic.message),
        }
    }
}

fn handler() -> GraphicalReportHandler {
    use std::io::IsTerminal;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let theme = match colour {
        true => miette::GraphicalTheme::unicode(),
        false => miette::GraphicalTheme::unicode_nocolor(),
    };
    GraphicalReportHandler::new_themed(theme).with_width(100)
}

fn report_of(diagnostic: &Diagnostic) -> MietteDiagnostic {
    let severity = match diagnostic.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let span = diagnostic.span.start..diagnostic.span.end.max(diagnostic.span.start);
    let report = MietteDiagnostic::new(&diagnostic.message)
        .with_code(&diagnostic.code)
        .with_severity(severity)
        .with_label(LabeledSpan::underline(span));
    match &diagnostic.help {
        Some(help) => report.with_help(help),
        None => report,
    }
}

impl From<refrain_engine::Error> for Failure {
    fn from(error: refrain_engine::Error) -> Self {
        let code = refrain_engine::answer::exit_code(&error);
        match error {
            refrain_engine::Error::Pipeline(diagnostics) => diagnostics.into(),
            error => Self::new(code, error.to_string()),
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        let count = diagnostics.len();
        let problems = if count == 1 { "problem" } else { "problems" };
        Self {
            code: REFUSED,
            message: format!("{} has {count} {problems}", diagnostics.file),
            diagnostics: Some(Box::new(diagnostics)),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(1, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let code = if error.kind() == std::io::ErrorKind::StorageFull {
            7
        } else {
            1
        };
        Self::new(code, error.to_string())
    }
}

impl From<refrain_engine::ingest::IngestError> for Failure {
    fn from(error: refrain_engine::ingest::IngestError) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<refrain_plugin::build::BuildError> for Failure {
    fn from(error: refrain_plugin::build::BuildError) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<refrain_plugin::LoadError> for Failure {
    fn from(error: refrain_plugin::LoadError) -> Self {
        Self::refused(error.to_string())
    }
}
