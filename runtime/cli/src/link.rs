//! The way to the owner of the data folder: this process when nobody else has it, else the socket of the one who has.

use std::time::Duration;

use refrain_engine::host::{Host, Project};
use refrain_engine::request::{Request, Response};

use refrain_log::log::Finding;

use crate::failure::Failure;
use crate::socket::Client;

/// How often, and how long apart, a socket is tried that is about to appear or to go.
const TRIES: u32 = 20;
const PATIENCE: Duration = Duration::from_millis(50);

/// A way to ask.
pub(crate) enum Link {
    /// This process owns the data folder.
    Own(Box<Host>),
    /// Another one does, and answers.
    Other(Client),
}

impl Link {
    /// Finds the owner, or becomes it.
    pub(crate) fn open(project: &Project) -> Result<Link, Failure> {
        let mut tries = 0;
        loop {
            if let Ok(client) = Client::connect(&project.socket()) {
                return Ok(Link::Other(client));
            }
            match Host::open(project.clone()) {
                Ok(host) => {
                    tell_findings(&host);
                    host.keep_compiled_in(Some(crate::project::cache()));
                    return Ok(Link::Own(Box::new(host)));
                }
                // It is starting, or going: its socket comes, or its lock goes.
                Err(error) if refrain_engine::answer::exit_code(&error) == 6 && tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PATIENCE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The host that runs now.
    pub(crate) fn running(project: &Project) -> Result<Link, Failure> {
        match Client::connect(&project.socket()) {
            Ok(client) => Ok(Link::Other(client)),
            Err(error) => Err(Failure::new(1, format!("no host is running ({error})"))),
        }
    }

    /// Asks, and turns a refusal into a failure.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        let response = match self {
            Link::Own(host) => host.handle(request),
            Link::Other(client) => client.ask(request)?,
        };
        accepted(response)
    }
}

/// A refusal as a failure.
pub(crate) fn accepted(response: Response) -> Result<Response, Failure> {
    match response {
        Response::Refused { message, code } => Err(Failure::new(code, message)),
        response => Ok(response),
    }
}

/// An answer of another kind than the request: two versions of this program are at work.
pub(crate) fn unexpected() -> Failure {
    Failure::new(
        1,
        "the running host gave an answer of another kind; is it the same version of refrain?",
    )
}

/// What opening found, on stderr.
pub(crate) fn tell_findings(host: &Host) {
    tell(host.findings());
}

/// Findings, on stderr.
pub(crate) fn tell(findings: &[Finding]) {
    for finding in findings {
        let weight = if finding.acknowledged {
            "damage"
        } else {
            "note"
        };
        eprintln!(
            "{weight}: {}/{}: {}",
            finding.topic, finding.partition, finding.what
        );
    }
}
