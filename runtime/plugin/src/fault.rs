//! How a plugin fails, by what the caller must do about it.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::limits::{Limits, MemoryDenied};
use crate::wasi::Refused;

/// Why bytes are not a plugin that this host can run.
#[derive(Debug, thiserror::Error)]
#[error("{plugin}: {what}")]
pub struct LoadError {
    /// File or name of the plugin.
    pub plugin: String,
    /// What is wrong and what to do.
    pub what: String,
}

/// What kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A trap that depends on the rows and the states alone: `unreachable`, division by zero, an access out of
    /// bounds, a panic. May be pinned on one row.
    Trap,
    /// Took longer than a call may. Stops the node.
    Deadline,
    /// Asked for more memory than it may have. Stops the node.
    Memory,
    /// Recursed too deeply. Stops the node.
    Stack,
    /// Answered something that the contract rules out. Stops the node.
    Malformed,
    /// Answered `fatal`. Stops the node.
    Fatal,
    /// Refused its options. Refuses the pipeline file.
    Options,
}

/// A failed call. The instance is of no use any more; the states are those of the last commit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plugin {plugin}, function {function}: {what}{}", last_words(.said))]
pub struct Fault {
    /// Name of the plugin.
    pub plugin: String,
    /// Function that was called.
    pub function: &'static str,
    /// What kind.
    pub kind: FaultKind,
    /// A sentence without addresses, row numbers of the call or slot numbers.
    pub what: String,
    /// What it said last, on its console or in its log, where it has one. For people; not a part of any result.
    pub said: String,
}

/// What follows a sentence.
pub(crate) fn last_words(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!("; it said: {said}"),
    }
}

/// A fault before it is known where: what [`Fault`] adds the plugin and the function to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) kind: FaultKind,
    pub(crate) what: String,
}

impl Cause {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Malformed,
            what: what.into(),
        }
    }

    /// What a failed call into the guest means.
    pub(crate) fn of(error: &wasmtime::Error, limits: &Limits) -> Self {
        if let Some(denied) = error.downcast_ref::<MemoryDenied>() {
            return Self::memory(denied);
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Self::trap(*trap, limits);
        }
        if let Some(Refused(what)) = error.downcast_ref::<Refused>() {
            return Self {
                kind: FaultKind::Trap,
                what: format!("trapped: {what}"),
            };
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self {
                kind: FaultKind::Memory,
                what: "there is no room for one more instance: run fewer tasks at once".into(),
            };
        }
        Self::lift(&error.root_cause().to_string(), limits)
    }

    /// What a failed start of an instance means.
    pub(crate) fn of_start(error: &wasmtime::Error, limits: &Limits) -> Self {
        let known = error.is::<MemoryDenied>()
            || error.is::<Trap>()
            || error.is::<Refused>()
            || error.is::<PoolConcurrencyLimitError>();
        match known {
            true => Self::of(error, limits),
            false => Self::malformed(format!("cannot be started: {}", error.root_cause())),
        }
    }

    fn memory(denied: &MemoryDenied) -> Self {
        let what = format!(
            "asked for {} of memory where {} are allowed: keep less state in one task (more partitions) or allow more",
            mebibytes(denied.wanted_bytes.next_multiple_of(1 << 20)),
            mebibytes(denied.limit_bytes)
        );
        Self {
            kind: FaultKind::Memory,
            what,
        }
    }

    fn trap(trap: Trap, limits: &Limits) -> Self {
        match trap {
            Trap::Interrupt => Self {
                kind: FaultKind::Deadline,
                what: format!(
                    "took longer than the {} ms that a call may take: look for a loop without end, or allow more",
                    limits.call_ms_max
                ),
            },
            Trap::StackOverflow => Self {
                kind: FaultKind::Stack,
                what: "recursed too deeply: bound the recursion, or keep the stack on the heap"
                    .into(),
            },
            Trap::CannotEnterComponent => {
                Self::malformed("was called again after a fault: drop the instance")
            }
            trap => Self {
                kind: FaultKind::Trap,
                what: format!("trapped: {}", trap_text(trap)),
            },
        }
    }

    /// The answer, or memory for the arguments, did not obey the canonical ABI. `text` is wasmtime's and has no type of
    /// its own.
    fn lift(text: &str, limits: &Limits) -> Self {
        if text.contains("fuel allocated for hostcalls") {
            return Self::malformed(format!(
                "gave an answer of more than {} bytes: answer less in one call, or allow more",
                limits.answer_bytes_max
            ));
        }
        if text.contains("invalid utf-8") {
            return Self::malformed("gave a text that is not UTF-8");
        }
        Self::malformed(format!("gave an answer that cannot be read: {text}"))
    }
}

fn trap_text(trap: Trap) -> String {
    let text = trap.to_string();
    match trap {
        Trap::UnreachableCodeReached => "it panicked or aborted (`unreachable`)".into(),
        _ => text
            .strip_prefix("wasm trap: ")
            .map_or(text.clone(), str::to_owned),
    }
}

fn mebibytes(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib << 20 == bytes => format!("{mib} MiB"),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(error: wasmtime::Error) -> Cause {
        Cause::of(&error, &Limits::default())
    }

    #[test]
    fn traps_are_told_apart_by_what_the_caller_must_do() {
        let kind = |trap: Trap| cause(trap.into()).kind;
        assert_eq!(kind(Trap::UnreachableCodeReached), FaultKind::Trap);
        assert_eq!(kind(Trap::IntegerDivisionByZero), FaultKind::Trap);
        assert_eq!(kind(Trap::MemoryOutOfBounds), FaultKind::Trap);
        assert_eq!(kind(Trap::Interrupt), FaultKind::Deadline);
        assert_eq!(kind(Trap::StackOverflow), FaultKind::Stack);
        assert_eq!(kind(Trap::CannotEnterComponent), FaultKind::Malformed);
    }

    #[test]
    fn a_trap_says_what_and_no_more() {
        let what = cause(Trap::IntegerDivisionByZero.into()).what;
        assert_eq!(what, "trapped: integer divide by zero");
    }

    #[test]
    fn denied_memory_names_both_sizes() {
        let what = cause(wasmtime::Error::new(MemoryDenied {
            wanted_bytes: (256 << 20) + 65_536,
            limit_bytes: 256 << 20,
        }))
        .what;
        assert!(what.starts_with("asked for 257 MiB of memory where 256 MiB are allowed"));
    }

    #[test]
    fn context_does_not_hide_the_kind() {
        let error = wasmtime::Error::from(Trap::Interrupt).context("while running");
        assert_eq!(cause(error).kind, FaultKind::Deadline);
    }
}
