//! Stand-ins for WASI 0.2 and for `logging`, found by name among what a component imports, in any 0.2 version. Each answers
//! with a constant: the clocks stand at the epoch, random bytes are the same at every call, there are no arguments, no
//! environment, no input, no folder and no network. So the law of one result for every way to run holds: an answer that
//! depended on when or how often it is asked would bring the size of calls into results.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};

use crate::grant::Grant;
use crate::limits::Guard;
use crate::voice::Loudness;

/// Random bytes that are asked for at once, at most.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// Bytes that a stream takes at once.
const WRITE_BYTES_MAX: u64 = 64 << 10;
/// Where the one sequence of random numbers begins.
const SEED: u64 = 0x0052_6566_7261_696e;

/// Raised out of a guest that asks for what no plugin gets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Anything that a guest holds a handle of: a stream, something to wait for, an error.
struct Thing;

/// Which stream a handle is of.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// A handle of something that does nothing.
const OTHER: u32 = 3;

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Answers nothing, at once.
    Return,
    /// Answers a number.
    Number(u64),
    /// Answers nothing where something might be.
    Nothing,
    /// Answers an empty list.
    Empty,
    /// Answers with a time: so many nanoseconds, which after the epoch is the epoch.
    Epoch(u32),
    /// Answers with a handle.
    Handle(u32),
    /// Answers with random bytes, as many as asked for.
    RandomBytes,
    RandomNumber,
    RandomPair,
    /// Answers that everything is ready.
    Ready,
    ReadyAll,
    /// Answers that a stream is at its end.
    Ended,
    /// Takes what is written.
    Write,
    /// Answers how much may be written.
    Room,
    /// Takes nothing and answers that all went well.
    Done,
    /// A line for the log.
    Log,
    Unknown,
    Exit,
    Refuse,
}

/// What stands in for a function of an interface, named without its version.
fn act(interface: &str, function: &str) -> Act {
    let function = function.rsplit('.').next().unwrap_or(function);
    match (interface, function) {
        ("refrain:plugin/logging", "log") => Act::Log,
        ("wasi:clocks/wall-clock", "now") => Act::Epoch(0),
        ("wasi:clocks/wall-clock", "resolution") => Act::Epoch(1),
        ("wasi:clocks/monotonic-clock", "now") => Act::Number(0),
        ("wasi:clocks/monotonic-clock", "resolution") => Act::Number(1),
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            Act::Handle(OTHER)
        }
        ("wasi:random/random", "get-random-bytes") => Act::RandomBytes,
        ("wasi:random/random", "get-random-u64") => Act::RandomNumber,
        ("wasi:random/insecure", "get-insecure-random-bytes") => Act::RandomBytes,
        ("wasi:random/insecure", "get-insecure-random-u64") => Act::RandomNumber,
        ("wasi:random/insecure-seed", _) => Act::RandomPair,
        ("wasi:cli/environment", "get-environment" | "get-arguments") => Act::Empty,
        ("wasi:cli/environment", "initial-cwd") => Act::Nothing,
        ("wasi:cli/exit", _) => Act::Exit,
        ("wasi:cli/stdin", "get-stdin") => Act::Handle(STDIN),
        ("wasi:cli/stdout", "get-stdout") => Act::Handle(STDOUT),
        ("wasi:cli/stderr", "get-stderr") => Act::Handle(STDERR),
        (
            "wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr",
            _,
        ) => Act::Nothing,
        ("wasi:io/error", "to-debug-string") => Act::Unknown,
        ("wasi:io/poll", "ready") => Act::Ready,
        ("wasi:io/poll", "block") => Act::Return,
        ("wasi:io/poll", "poll") => Act::ReadyAll,
        ("wasi:io/streams", "read" | "blocking-read" | "skip" | "blocking-skip") => Act::Ended,
        ("wasi:io/streams", "subscribe") => Act::Handle(OTHER),
        ("wasi:io/streams", "check-write") => Act::Room,
        ("wasi:io/streams", "write" | "blocking-write-and-flush") => Act::Write,
        ("wasi:io/streams", "flush" | "blocking-flush") => Act::Done,
        ("wasi:filesystem/preopens", "get-directories") => Act::Empty,
        ("wasi:filesystem/types", "filesystem-error-code") => Act::Nothing,
        _ => Act::Refuse,
    }
}

/// A linker with a stand-in for everything that a component imports; what may be imported has been decided.
pub(crate) fn linker(engine: &Engine, component: &Component) -> Result<Linker<Guard>, String> {
    let mut linker = Linker::new(engine);
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        let (Some(_), ComponentItem::ComponentInstance(instance)) = (Grant::of(name), &import.ty)
        else {
            continue;
        };
        let interface = name.split('@').next().unwrap_or(name);
        let defined = linker
            .instance(name)
            .and_then(|mut place| define(engine, interface, instance, &mut place));
        defined.map_err(|error| format!("cannot be given {name}: {error:#}"))?;
    }
    Ok(linker)
}

fn define(
    engine: &Engine,
    interface: &str,
    instance: &ComponentInstance,
    place: &mut LinkerInstance<'_, Guard>,
) -> wasmtime::Result<()> {
    for (function, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::Resource(_) => {
                place.resource(function, ResourceType::host::<Thing>(), |_, _| Ok(()))?;
            }
            ComponentItem::ComponentFunc(_) => {
                let act = act(interface, function);
                let name = format!("{interface} {function}");
                place.func_new(function, move |store, _, params, results| {
                    perform(act, &name, store, params, results)
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn perform(
    act: Act,
    name: &str,
    mut store: StoreContextMut<'_, Guard>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let mut handles = Vec::new();
    for param in params {
        take_handles(param, &mut store, &mut handles)?;
    }
    let said = match act {
        Act::Refuse => return Err(refused(name)),
        Act::RandomBytes if number(params) > RANDOM_BYTES_MAX => return Err(refused(name)),
        Act::Exit => {
            return Err(wasmtime::Error::new(Refused(
                "it ended itself (exit)".into(),
            )));
        }
        Act::Log => {
            log(store.data_mut(), params);
            None
        }
        Act::Write => {
            write(store.data_mut(), &handles, params);
            Some(Val::Result(Ok(None)))
        }
        Act::Handle(which) => {
            let thing = Resource::<Thing>::new_own(which);
            Some(Val::Resource(thing.try_into_resource_any(&mut store)?))
        }
        act => answer(act, params),
    };
    if let (Some(place), Some(said)) = (results.first_mut(), said) {
        *place = said;
    }
    Ok(())
}

/// The answers that need no instance.
fn answer(act: Act, params: &[Val]) -> Option<Val> {
    Some(match act {
        Act::Return => return None,
        Act::Number(number) => Val::U64(number),
        Act::Nothing => Val::Option(None),
        Act::Empty => Val::List(Vec::new()),
        Act::Epoch(ns) => Val::Record(vec![
            ("seconds".into(), Val::U64(0)),
            ("nanoseconds".into(), Val::U32(ns)),
        ]),
        Act::RandomBytes => Val::List(random_bytes(number(params)).map(Val::U8).collect()),
        Act::RandomNumber => Val::U64(random(0)),
        Act::RandomPair => Val::Tuple(vec![Val::U64(random(0)), Val::U64(random(1))]),
        Act::Ready => Val::Bool(true),
        Act::ReadyAll => {
            let count = match params.first() {
                Some(Val::List(list)) => list.len() as u32,
                _ => 0,
            };
            Val::List((0..count).map(Val::U32).collect())
        }
        Act::Ended => {
            let closed = Val::Variant("closed".into(), None);
            Val::Result(Err(Some(Box::new(closed))))
        }
        Act::Room => Val::Result(Ok(Some(Box::new(Val::U64(WRITE_BYTES_MAX))))),
        Act::Done => Val::Result(Ok(None)),
        _ => Val::String("not known".into()),
    })
}

fn refused(name: &str) -> wasmtime::Error {
    let what = match name.starts_with("wasi:sockets") {
        true => format!("it asked for the network ({name}), which no plugin gets"),
        false => format!("it asked for {name}, which no plugin gets"),
    };
    wasmtime::Error::new(Refused(what))
}

/// Takes handles off values: what is borrowed is given back by that.
fn take_handles(
    value: &Val,
    store: &mut StoreContextMut<'_, Guard>,
    handles: &mut Vec<u32>,
) -> wasmtime::Result<()> {
    match value {
        Val::Resource(any) => {
            let thing: Resource<Thing> = any.try_into_resource(store)?;
            handles.push(thing.rep());
        }
        Val::List(list) if matches!(list.first(), Some(Val::Resource(_))) => {
            for value in list {
                take_handles(value, store, handles)?;
            }
        }
        Val::Option(Some(value)) => take_handles(value, store, handles)?,
        _ => {}
    }
    Ok(())
}

fn number(params: &[Val]) -> u64 {
    match params.first() {
        Some(Val::U64(number)) => *number,
        _ => 0,
    }
}

/// Number i of the one sequence there is (splitmix64).
fn random(i: u64) -> u64 {
    let mut z = SEED.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn random_bytes(count: u64) -> impl Iterator<Item = u8> {
    (0..count).map(|i| random(i / 8).to_le_bytes()[(i % 8) as usize])
}

fn write(guard: &mut Guard, handles: &[u32], params: &[Val]) {
    let Some(Val::List(list)) = params.get(1) else {
        return;
    };
    let byte = |value: &Val| match value {
        Val::U8(byte) => *byte,
        _ => b'?',
    };
    let bytes: Vec<u8> = list.iter().map(byte).collect();
    let errors = handles.first() == Some(&STDERR);
    guard.voice.stream(errors, &bytes);
}

fn log(guard: &mut Guard, params: &[Val]) {
    let loudness = match params.first() {
        Some(Val::Enum(level)) => match level.as_str() {
            "debug" => Loudness::Debug,
            "warn" => Loudness::Warn,
            "error" => Loudness::Error,
            _ => Loudness::Info,
        },
        _ => Loudness::Info,
    };
    if let Some(Val::String(text)) = params.get(1) {
        guard.voice.line(loudness, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_the_same_whenever_they_are_asked() {
        let bytes = |count| random_bytes(count).collect::<Vec<u8>>();
        assert_eq!(bytes(20)[..12], bytes(12));
        assert_ne!(bytes(16)[..8], bytes(16)[8..]);
        assert_eq!(
            answer(Act::RandomNumber, &[]),
            answer(Act::RandomNumber, &[])
        );
    }

    #[test]
    fn what_has_no_stand_in_is_refused() {
        for (interface, function) in [
            ("wasi:sockets/tcp", "[method]tcp-socket.start-connect"),
            ("wasi:filesystem/types", "[method]descriptor.open-at"),
            ("wasi:clocks/timezone", "display"),
            ("wasi:io/streams", "[method]output-stream.splice"),
        ] {
            assert_eq!(
                act(interface, function),
                Act::Refuse,
                "{interface} {function}"
            );
        }
        assert_eq!(act("wasi:io/poll", "[method]pollable.block"), Act::Return);
        assert_eq!(
            act("wasi:io/streams", "[method]output-stream.write"),
            Act::Write
        );
    }
}
