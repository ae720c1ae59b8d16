//! Guests made on the spot: a core module written as text, its answers laid out by [`Memory`], wrapped into a component
//! against wit/. No guest toolchain is needed.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::memory::{Description, Memory};

/// Where prepared answers lie in a guest's memory; its heap starts above.
const ANSWERS_AT: u32 = 4096;
/// Where the guest's heap starts.
const HEAP_AT: u32 = 0x20_0000;

/// A module of a world of wit/ as a component.
pub(crate) fn component(world: &str, module: &str) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).expect("wit/ parses");
    component_of(&resolve, package, world, module)
}

/// A module of a world of the WIT text as a component.
pub(crate) fn component_of_text(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("the WIT parses");
    component_of(&resolve, package, world, module)
}

fn component_of(
    resolve: &Resolve,
    package: wit_parser::PackageId,
    world: &str,
    module: &str,
) -> Vec<u8> {
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("the world is there");
    let mut core = wat::parse_str(module).unwrap_or_else(|why| panic!("{why}\n{module}"));
    embed_component_metadata(&mut core, resolve, world, StringEncoding::UTF8)
        .expect("metadata fits");
    let encoder = ComponentEncoder::default().module(&core);
    let mut encoder = encoder.unwrap_or_else(|why| panic!("{why:?}\n{module}"));
    encoder
        .encode()
        .unwrap_or_else(|why| panic!("{why:?}\n{module}"))
}

/// A guest whose functions are given one by one.
pub(crate) struct Guest {
    kind: &'static str,
    memory: Memory,
    describe: String,
    configure: String,
    functions: Vec<(&'static str, String)>,
    extra: String,
}

const SIGNATURES: [(&str, &str); 6] = [
    ("process", "(param i32 i32 i32) (result i32)"),
    ("update", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)"),
    ("evaluate", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("save", "(param i32 i32) (result i32)"),
    ("restore", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
    ("release", "(param i32 i32)"),
];

impl Guest {
    pub(crate) fn transform(said: &Description<'_>) -> Self {
        Self::new("transform", &["process"], said)
    }

    pub(crate) fn fold(said: &Description<'_>) -> Self {
        Self::new(
            "fold",
            &["update", "evaluate", "save", "restore", "release"],
            said,
        )
    }

    fn new(kind: &'static str, functions: &[&'static str], said: &Description<'_>) -> Self {
        let mut memory = Memory::at(ANSWERS_AT);
        let describe = constant(memory.description(said));
        let configure = constant(memory.done());
        let functions = functions
            .iter()
            .map(|&name| {
                (
                    name,
                    if name == "release" { "" } else { "unreachable" }.to_owned(),
                )
            })
            .collect();
        Self {
            kind,
            memory,
            describe,
            configure,
            functions,
            extra: String::new(),
        }
    }

    /// Gives a function its body, as text.
    pub(crate) fn body(mut self, function: &str, body: &str) -> Self {
        match function {
            "describe" => self.describe = body.to_owned(),
            "configure" => self.configure = body.to_owned(),
            _ => {
                let slot = self
                    .functions
                    .iter_mut()
                    .find(|(name, _)| *name == function);
                slot.expect("the kind has the function").1 = body.to_owned();
            }
        }
        self
    }

    /// Gives a function one answer for ever.
    pub(crate) fn answer(mut self, function: &str, lay: impl FnOnce(&mut Memory) -> u32) -> Self {
        let at = lay(&mut self.memory);
        self.body(function, &constant(at))
    }

    /// Adds items to the module.
    pub(crate) fn with(mut self, items: &str) -> Self {
        self.extra.push_str(items);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        component(&format!("{}-plugin", self.kind), &self.module())
    }

    pub(crate) fn module(&self) -> String {
        let mut text = format!(
            "(module (memory (export \"memory\") 64)\n\
             (global $next (mut i32) (i32.const {HEAP_AT}))\n\
             (func $alloc (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)\n\
               (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))\n\
               (global.set $next (i32.add (local.get $at) (local.get 3)))\n\
               (local.get $at))\n\
             (func $reset (global.set $next (i32.const {HEAP_AT})))\n{}\n",
            self.extra
        );
        let about = "refrain:plugin/about@0.1.0";
        export(&mut text, about, "describe", "(result i32)", &self.describe);
        export(
            &mut text,
            about,
            "configure",
            "(param i32 i32) (result i32)",
            &self.configure,
        );
        let interface = format!("refrain:plugin/{}@0.1.0", self.kind);
        for (name, body) in &self.functions {
            let (_, signature) = SIGNATURES.iter().find(|(n, _)| n == name).expect("known");
            export(&mut text, &interface, name, signature, body);
        }
        let data: String = self
            .memory
            .bytes
            .iter()
            .map(|b| format!("\\{b:02x}"))
            .collect();
        write!(text, "(data (i32.const {ANSWERS_AT}) \"{data}\"))").expect("text grows");
        text
    }
}

fn constant(at: u32) -> String {
    format!("(i32.const {at})")
}

fn export(text: &mut String, interface: &str, name: &str, signature: &str, body: &str) {
    writeln!(
        text,
        "(func (export \"{interface}#{name}\") {signature} {body})"
    )
    .expect("text grows");
    if signature.contains("result") {
        writeln!(
            text,
            "(func (export \"cabi_post_{interface}#{name}\") (param i32) (call $reset))"
        )
        .expect("text grows");
    }
}

/// A transform that answers with the columns that it was given: the layout is the same both ways.
pub(crate) fn echo(said: &Description<'_>) -> Guest {
    let transformed = "(local $at i32)
        (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 32)))
        (memory.fill (local.get $at) (i32.const 0) (i32.const 32))
        (i32.store offset=4 (local.get $at) (local.get 0))
        (i32.store offset=8 (local.get $at) (local.get 1))
        (i32.store offset=12 (local.get $at) (local.get 2))
        (local.get $at)";
    Guest::transform(said).body("process", transformed)
}

/// A fold that sums `n`, refuses negative numbers, and shows no row where the sum is 0.
pub(crate) fn sums() -> Guest {
    let said = Description {
        name: "sums",
        inputs: vec![("n", "i64", false)],
        outputs: vec![("sum", "i64", false)],
        wants_keys: false,
        settings: vec![],
    };
    let parts: Vec<&str> = include_str!("sums.wat").split(";; ---").collect();
    let mut guest = Guest::fold(&said).with(parts[0]);
    for part in &parts[1..] {
        let (name, body) = part
            .trim_start()
            .split_once('\n')
            .expect("a name and a body");
        guest = guest.body(name.trim(), body);
    }
    guest
}

/// A fold that answers whatever bytes were put at [`PUT_AT`] by `restore`, its update with what was put there too.
pub(crate) fn parrot(said: &Description<'_>) -> Guest {
    let put =
        format!("(memory.copy (i32.const {PUT_AT}) (local.get 4) (local.get 5)) (call $done)");
    let said_at = format!("(i32.const {PUT_AT})");
    Guest::fold(said)
        .with(&format!(
            "(func $done (result i32) (i32.store (i32.const {DONE_AT}) (i32.const 0)) (i32.const {DONE_AT}))"
        ))
        .body("restore", &put)
        .body("update", &said_at)
        .body("evaluate", &said_at)
        .body("save", &said_at)
}

/// Where [`parrot`] keeps what it is to say.
pub(crate) const PUT_AT: u32 = 0x10_0000;
const DONE_AT: u32 = 0x0f_0000;
