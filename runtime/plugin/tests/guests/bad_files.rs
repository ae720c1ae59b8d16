//! Every way not to be a plugin: each is refused with a sentence that says what to do.

use refrain_plugin::HostOptions;

use crate::good::host;
use crate::guest::{self, Guest};
use crate::memory::Description;

#[track_caller]
fn refused(bytes: &[u8], what: &str) {
    let why = host()
        .load("bad.wasm", bytes)
        .expect_err("it is no plugin")
        .to_string();
    assert!(why.starts_with("bad.wasm: "), "{why}");
    assert!(why.contains(what), "{why}");
}

fn said() -> Description<'static> {
    Description {
        name: "bad",
        inputs: vec![],
        outputs: vec![("out", "i64", false)],
        wants_keys: false,
        settings: vec![],
    }
}

/// A component of a WIT of its own, with empty functions.
fn foreign(package: &str, items: &str, world: &str, module: &str) -> Vec<u8> {
    let wit = format!("package {package};\n{items}\nworld w {{ {world} }}");
    guest::component_of_text(
        &wit,
        "w",
        &format!("(module {module} (memory (export \"memory\") 1))"),
    )
}

#[test]
fn not_wasm_at_all() {
    refused(b"", "is not Wasm: give the component's .wasm file");
    refused(b"#!/bin/sh\necho", "is not Wasm");
    refused(b"(component)", "is not Wasm");
}

#[test]
fn a_core_module() {
    let module = wat::parse_str("(module (func (export \"f\")))").unwrap();
    refused(
        &module,
        "is a core Wasm module, not a component: build it with `refrain plugin build`",
    );
}

#[test]
fn a_damaged_component() {
    let mut bytes = guest::sums().build();
    bytes.truncate(bytes.len() / 2);
    refused(&bytes, "cannot be compiled");
}

#[test]
fn nothing_exported() {
    refused(
        &wat::parse_str("(component)").unwrap(),
        "does not export refrain:plugin/fold@0.1.0, refrain:plugin/transform@0.1.0 or refrain:plugin/process@0.1.0; it exports nothing",
    );
}

#[test]
fn an_export_missing() {
    let bytes = foreign(
        "refrain:plugin@0.1.0",
        "interface fold { release: func(slots: list<u32>); }",
        "export fold;",
        "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)
         (func (export \"refrain:plugin/fold@0.1.0#release\") (param i32 i32))",
    );
    refused(
        &bytes,
        "does not export refrain:plugin/about@0.1.0; it exports refrain:plugin/fold@0.1.0",
    );
}

#[test]
fn a_function_missing_or_of_another_type() {
    let with = |function: &str| {
        foreign(
            "refrain:plugin@0.1.0",
            &format!(
                "interface about {{ describe: func(); }} interface transform {{ {function}: func(); }}"
            ),
            "export about; export transform;",
            &format!(
                "(func (export \"refrain:plugin/about@0.1.0#describe\"))
                 (func (export \"refrain:plugin/transform@0.1.0#{function}\"))"
            ),
        )
    };
    refused(
        &with("other"),
        "exports `transform` without the function `process`",
    );
    refused(
        &with("process"),
        "`transform.process` has not the type that refrain:plugin@0.1.0 gives it",
    );
}

#[test]
fn another_version_of_the_contract() {
    let bytes = foreign(
        "refrain:plugin@0.2.0",
        "interface fold { release: func(); }",
        "export fold;",
        "(func (export \"refrain:plugin/fold@0.2.0#release\"))",
    );
    refused(
        &bytes,
        "exports refrain:plugin/fold@0.2.0, where this host speaks refrain:plugin@0.1.0",
    );
}

#[test]
fn two_kinds_at_once() {
    let exporting = |a: &str, b: &str| {
        foreign(
            "refrain:plugin@0.1.0",
            &format!("interface {a} {{ f: func(); }} interface {b} {{ f: func(); }}"),
            &format!("export {a}; export {b};"),
            &format!(
                "(func (export \"refrain:plugin/{a}@0.1.0#f\")) (func (export \"refrain:plugin/{b}@0.1.0#f\"))"
            ),
        )
    };
    refused(
        &exporting("fold", "process"),
        "exports both `fold` and `process`",
    );
    refused(
        &exporting("fold", "transform"),
        "exports both `transform` and `fold`",
    );
}

#[test]
fn imports() {
    let bytes = foreign(
        "test:clock@1.2.3",
        "interface wall { now: func() -> u64; }",
        "import wall; export run: func();",
        "(import \"test:clock/wall@1.2.3\" \"now\" (func $now (result i64)))
         (func (export \"run\") (drop (call $now)))",
    );
    refused(
        &bytes,
        "imports test:clock/wall@1.2.3: a plugin has no function imports",
    );
    let bytes = wat::parse_str("(component (import \"now\" (func)))").unwrap();
    refused(&bytes, "imports now: a plugin has no function imports");
}

#[test]
fn a_description_that_never_comes() {
    let trap = Guest::transform(&said()).body("describe", "unreachable");
    refused(
        &trap.build(),
        "`about.describe` failed: trapped: it panicked or aborted",
    );
    let wild = Guest::transform(&said()).body("describe", "(i32.const -4)");
    refused(
        &wild.build(),
        "`about.describe` failed: gave an answer that cannot be read",
    );
}

#[test]
fn a_start_that_traps() {
    let guest = Guest::transform(&said()).with("(func $start unreachable) (start $start)");
    refused(&guest.build(), "does not start: trapped");
}

#[test]
fn descriptions() {
    let describing = |said: Description<'_>| guest::echo(&said).build();
    refused(
        &describing(Description { name: "", ..said() }),
        "describes itself wrongly: its name is empty",
    );
    refused(
        &describing(Description {
            outputs: vec![("a", "i64", false), ("a", "f64", false)],
            ..said()
        }),
        "two output fields are named `a`",
    );
    refused(
        &describing(Description {
            inputs: vec![("a", "int64", false)],
            ..said()
        }),
        "input field `a` has the unknown type `int64`: did you mean `i64`?",
    );
    refused(
        &describing(Description {
            settings: vec![("limit", "i64", Some("ten"))],
            ..said()
        }),
        "the default of option `limit`: `ten` is not of type i64",
    );
}

#[test]
fn compiled_code_is_kept_and_damage_to_it_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let options = HostOptions {
            cache: Some(folder.path().join("code")),
            instances_max: 2,
            ..HostOptions::default()
        };
        let host = refrain_plugin::Host::new(options).unwrap();
        host.load("sums", &guest::sums().build()).unwrap().digest()
    };
    let digest = load();
    let files = || -> Vec<_> {
        std::fs::read_dir(folder.path().join("code"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let kept = files();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let name = kept[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with(&digest.to_string()), "{name}");
    damage(&kept[0]);
    let damaged = read(&kept[0]);
    assert_eq!(load(), digest);
    assert_eq!(files(), kept);
    assert_ne!(read(&kept[0]), damaged, "compiled again and replaced");
    let whole = read(&kept[0]);
    assert_eq!(load(), digest);
    assert_eq!(read(&kept[0]), whole);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the cache's file"
)]
fn read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test damages the cache's file")]
fn damage(path: &std::path::Path) {
    let mut bytes = read(path);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
