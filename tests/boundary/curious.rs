//! Transforms that ask for something from outside, one thing each, made on the spot: a core module as text, and the world
//! that it is for. What they are told gets into every row that they give, so that a result shows it.

use refrain_tests::repository;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Interfaces of WASI 0.2 as far as they are asked for.
const WASI: &str = "
package wasi:clocks@0.2.3 {
    interface monotonic-clock { now: func() -> u64; }
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
}
package wasi:random@0.2.3 {
    interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }
}
package wasi:filesystem@0.2.3 {
    interface types {
        resource descriptor { open-at: func(how: u32, path: string) -> result<own<descriptor>, u32>; }
    }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<own<descriptor>, string>>;
    }
}
package wasi:sockets@0.2.3 {
    interface tcp-create-socket { create-tcp-socket: func(family: u32) -> u32; }
}
package wasi:io@0.2.3 {
    interface streams {
        resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, u32>; }
    }
}
package wasi:cli@0.2.3 {
    interface exit { exit: func(status: result); }
    interface stderr {
        use wasi:io/streams@0.2.3.{output-stream};
        get-stderr: func() -> own<output-stream>;
    }
}
";

/// One that asks: its name, what its world imports, the import in core Wasm, and the code that leaves a number.
struct Curious {
    name: &'static str,
    world: &'static str,
    imports: &'static str,
    asks: &'static str,
}

/// Room for what is answered by address.
const ANSWER: &str = "(i32.const 1024)";

const ALL: &[Curious] = &[
    Curious {
        name: "clock",
        world: "import wasi:clocks/monotonic-clock@0.2.3;",
        imports: r#"(import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $now (result i64)))"#,
        asks: "(call $now)",
    },
    Curious {
        name: "wall-clock",
        world: "import wasi:clocks/wall-clock@0.2.3;",
        imports: r#"(import "wasi:clocks/wall-clock@0.2.3" "now" (func $now (param i32)))"#,
        asks: "(call $now ANSWER) (i64.add (i64.load ANSWER) (i64.load32_u offset=8 ANSWER))",
    },
    Curious {
        name: "random",
        world: "import wasi:random/random@0.2.3;",
        imports: r#"(import "wasi:random/random@0.2.3" "get-random-u64" (func $number (result i64)))
            (import "wasi:random/random@0.2.3" "get-random-bytes" (func $bytes (param i64 i32)))"#,
        asks: "(call $bytes (i64.const 16) ANSWER)
            (i64.and (i64.add (call $number) (i64.load (i32.load ANSWER))) (i64.const 0xffffff))",
    },
    Curious {
        name: "preopens",
        world: "import wasi:filesystem/preopens@0.2.3;",
        imports: r#"(import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $all (param i32)))"#,
        asks: "(call $all ANSWER) (i64.load32_u offset=4 ANSWER)",
    },
    Curious {
        name: "open-at",
        world: "import wasi:filesystem/types@0.2.3;",
        imports: r#"(import "wasi:filesystem/types@0.2.3" "[method]descriptor.open-at"
            (func $open (param i32 i32 i32 i32 i32)))"#,
        asks: "(call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) ANSWER) (i64.const 0)",
    },
    Curious {
        name: "tcp",
        world: "import wasi:sockets/tcp-create-socket@0.2.3;",
        imports: r#"(import "wasi:sockets/tcp-create-socket@0.2.3" "create-tcp-socket" (func $tcp (param i32) (result i32)))"#,
        asks: "(i64.extend_i32_u (call $tcp (i32.const 0)))",
    },
    Curious {
        name: "exit",
        world: "import wasi:cli/exit@0.2.3;",
        imports: r#"(import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))"#,
        asks: "(call $exit (i32.const 0)) (i64.const 0)",
    },
    Curious {
        name: "stderr",
        world: "import wasi:cli/stderr@0.2.3;",
        imports: r#"(import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))
            (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))"#,
        asks: "(call $write (call $stderr) (i32.const 512) (i32.const 5) ANSWER) (i64.load8_u ANSWER)",
    },
    Curious {
        name: "logging",
        world: "import refrain:plugin/logging@0.1.0;",
        imports: r#"(import "refrain:plugin/logging@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        asks: "(call $log (i32.const 3) (i32.const 512) (i32.const 4)) (i64.const 0)",
    },
    // What it says, and then it falls.
    Curious {
        name: "falls",
        world: "import refrain:plugin/logging@0.1.0;",
        imports: r#"(import "refrain:plugin/logging@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        asks: "(call $log (i32.const 3) (i32.const 512) (i32.const 4)) (unreachable)",
    },
];

/// A transform with the field `n` (i64) in and out that adds to each what it is told from outside. At 512 stands `told` and
/// a line's end.
fn module(curious: &Curious) -> String {
    let about = "refrain:plugin/about@0.1.0";
    let imports = curious.imports;
    let asks = curious.asks.replace("ANSWER", ANSWER);
    // The description: name and version `n`, one field `n` of `i64` in and out.
    format!(
        r#"(module
        {imports}
        (memory (export "memory") 64)
        (global $next (mut i32) (i32.const 0x10000))
        (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
        (func $reset (param i32) (global.set $next (i32.const 0x10000)))
        (func (export "{about}#describe") (result i32) (i32.const 64))
        (func (export "{about}#configure") (param i32 i32) (result i32) (i32.const 48))
        (func (export "refrain:plugin/transform@0.1.0#process") (param $rows i32) (param $columns i32) (param i32) (result i32)
            (local $at i32) (local $place i32) (local $value i32)
            (block $done (loop $each
                (br_if $done (i32.ge_u (local.get $place) (local.get $rows)))
                (local.set $value (i32.add (i32.load offset=4 (local.get $columns)) (i32.shl (local.get $place) (i32.const 3))))
                (i64.store (local.get $value) (i64.add (i64.load (local.get $value)) (call $asked)))
                (local.set $place (i32.add (local.get $place) (i32.const 1)))
                (br $each)))
            (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 32)))
            (memory.fill (local.get $at) (i32.const 0) (i32.const 32))
            (i32.store offset=4 (local.get $at) (local.get $rows))
            (i32.store offset=8 (local.get $at) (local.get $columns))
            (i32.store offset=12 (local.get $at) (i32.const 1))
            (local.get $at))
        (func (export "cabi_post_refrain:plugin/transform@0.1.0#process") (param i32) (call $reset (local.get 0)))
        (func $asked (result i64) {asks})
        (data (i32.const 16) "n")
        (data (i32.const 20) "i64")
        (data (i32.const 24) "\10\00\00\00\01\00\00\00\14\00\00\00\03\00\00\00\00\00\00\00")
        (data (i32.const 64) "\10\00\00\00\01\00\00\00\10\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\18\00\00\00\01\00\00\00\18\00\00\00\01\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
        (data (i32.const 512) "told\0a"))"#
    )
}

/// The component of that name.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let curious = ALL.iter().find(|curious| curious.name == name);
    let curious = curious.unwrap_or_else(|| panic!("nobody is called {name}"));
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).unwrap();
    let world = format!(
        "package test:curious;\nworld curious {{\n{}\ninclude refrain:plugin/transform-plugin@0.1.0;\n}}\n{WASI}",
        curious.world
    );
    let package = resolve.push_str("curious.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("curious")).unwrap();
    let text = module(curious);
    let mut core = wat::parse_str(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&core);
    let mut encoder = encoder.unwrap_or_else(|why| panic!("{name}: {why:?}"));
    encoder
        .encode()
        .unwrap_or_else(|why| panic!("{name}: {why:?}"))
}
