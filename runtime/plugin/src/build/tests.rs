//! Decisions of the build, and builds of real plugins (slow ones are ignored unless asked for).

#![allow(clippy::disallowed_methods, reason = "tests handle files of their own")]

use std::path::Path;

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn quiet() -> impl FnMut(&str) {
    |line: &str| println!("{line}")
}

#[test]
fn the_module_is_that_of_the_package_not_of_its_dependencies() {
    let messages = r#"{"reason":"compiler-artifact","manifest_path":"/p/dep/Cargo.toml","filenames":["/t/dep.wasm"]}
not json
{"reason":"compiler-artifact","manifest_path":"/p/a/Cargo.toml","filenames":["/t/liba.rlib","/t/a.wasm"]}
{"reason":"build-finished","success":true}"#;
    assert_eq!(
        rust::module_of(messages, Path::new("/p/a")),
        Some(PathBuf::from("/t/a.wasm"))
    );
    assert_eq!(rust::module_of(messages, Path::new("/p/b")), None);
}

#[test]
fn plugins_of_one_name_in_two_places_do_not_meet() {
    let folder = |place: &str| target_folder(Path::new(place), Path::new("/cache"));
    assert_ne!(folder("/a/plugins/x"), folder("/b/plugins/x"));
    assert_eq!(folder("/a/plugins/x"), folder("/a/plugins/y"));
}

#[test]
fn the_embedded_sdk_is_the_whole_sdk() {
    let sdk = repository().join("plugin-sdk/rust");
    let mut there = Vec::new();
    for package in ["refrain-sdk", "refrain-sdk-derive"] {
        there.push(format!("{package}/Cargo.toml"));
        list(&sdk, &format!("{package}/src"), &mut there);
    }
    there.retain(|path| !path.ends_with("/tests.rs") && !path.contains("/tests/"));
    there.sort();
    let mut embedded: Vec<String> = sdk::Sdk::Rust
        .files()
        .iter()
        .map(|(path, _)| path.to_string())
        .collect();
    embedded.sort();
    assert_eq!(
        embedded, there,
        "name every source file of the SDK in build/sdk.rs"
    );
}

fn list(root: &Path, folder: &str, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let name = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
        match root.join(&name).is_dir() {
            true => list(root, &name, into),
            false => into.push(name),
        }
    }
}

#[test]
fn a_new_plugin_is_named_and_finds_its_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let plugin =
        create_plugin(folder.path(), "clicks", Language::Rust, TemplateKind::Fold).unwrap();
    let manifest = std::fs::read_to_string(plugin.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"clicks\""));
    assert!(plugin.join("../.sdk/refrain-sdk/Cargo.toml").is_file());
    let again = create_plugin(folder.path(), "clicks", Language::Rust, TemplateKind::Fold);
    assert!(matches!(again, Err(BuildError::Exists(_))));
}

#[test]
fn names_that_cargo_refuses_are_refused_first() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "Clicks", "1st", "a b", "../x", "test", "ä"] {
        let made = create_plugin(folder.path(), name, Language::Rust, TemplateKind::Transform);
        assert!(matches!(made, Err(BuildError::BadName(_))), "{name}");
    }
}

#[test]
fn a_folder_without_a_package_is_no_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let built = build_plugin(
        folder.path(),
        &folder.path().join("x.wasm"),
        folder.path(),
        &mut quiet(),
    );
    assert!(matches!(built, Err(BuildError::NotAPackage(_))));
}

#[test]
fn text_is_no_component() {
    let module = wat::parse_str("(module)").unwrap();
    assert!(component::encode(Path::new("x"), &module, Language::C).is_err());
    assert!(matches!(
        component::encode(Path::new("x"), b"text", Language::C),
        Err(BuildError::NoComponent { .. })
    ));
}

#[test]
#[ignore = "compiles guests: half a minute the first time"]
fn the_plugins_of_the_repository_build() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["flights", "engagement", "engagement_total", "views_only"] {
        let out = folder.path().join(format!("{name}.wasm"));
        let package = repository().join("plugins").join(name);
        build_plugin(&package, &out, &default_cache(), &mut quiet()).unwrap();
        assert!(out.metadata().unwrap().len() > 1000);
    }
}

#[test]
#[ignore = "compiles guests: half a minute the first time"]
fn new_plugins_build_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in [
        ("fold-1", TemplateKind::Fold),
        ("transform_1", TemplateKind::Transform),
        ("process-1", TemplateKind::Process),
    ] {
        let package = create_plugin(folder.path(), name, Language::Rust, kind).unwrap();
        let out = package.join(format!("{name}.wasm"));
        build_plugin(&package, &out, &default_cache(), &mut quiet()).unwrap();
    }
}

#[test]
#[ignore = "compiles std with Debian's compiler: two minutes the first time"]
fn debians_compiler_builds_a_plugin() {
    let package = repository().join("plugins/flights").canonicalize().unwrap();
    // From nothing: an empty cache, and no std but the one that is built here.
    let cache = tempfile::tempdir().unwrap();
    let mut say = |line: &str| println!("{line}");
    let found = toolchain::debian_of_this_machine(&package, cache.path(), &mut say);
    let Some(toolchain) = found else {
        return println!("rustc-web and rust-web-src are not installed here");
    };
    let toolchain = toolchain.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let module = rust::cargo(
        &package,
        Talk::Silent,
        &toolchain,
        folder.path(),
        &mut quiet(),
    )
    .unwrap();
    component::encode(&package, &read(&module).unwrap(), Language::Rust).unwrap();
}

/// Writes a file of the world's folder when `REFRAIN_WRITE_WORLDS` is set; compares it otherwise.
#[expect(
    clippy::disallowed_methods,
    reason = "committed files that are made from wit/"
)]
fn settle(name: &str, made: &[u8]) {
    let path = repository()
        .join("runtime/plugin/src/build/world")
        .join(name);
    if std::env::var_os("REFRAIN_WRITE_WORLDS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    assert!(
        std::fs::read(&path).unwrap() == made,
        "{name} is not what its source says: run this test with REFRAIN_WRITE_WORLDS=1"
    );
}

#[test]
fn the_embedded_worlds_are_those_of_wit() {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    for (world, name) in [
        ("fold-plugin", "fold.types"),
        ("transform-plugin", "transform.types"),
        ("process-plugin", "process.types"),
        ("talking-plugin", "talking.types"),
    ] {
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let encoding = wit_component::StringEncoding::UTF8;
        let types = wit_component::metadata::encode(&resolve, world, encoding, None).unwrap();
        settle(name, &types);
    }
}

#[test]
fn the_constants_for_go_are_those_of_their_text() {
    let text = repository().join("runtime/plugin/src/build/world/wasi_constants.wat");
    settle("wasi_constants.wasm", &wat::parse_file(text).unwrap());
}

#[test]
fn the_other_sdks_are_embedded_whole() {
    for (sdk, root, kinds) in [
        (sdk::Sdk::C, "plugin-sdk/c", ["h", ""]),
        (sdk::Sdk::Zig, "plugin-sdk/zig", ["zig", ""]),
        (sdk::Sdk::Python, "plugin-sdk/python", ["py", ""]),
        (sdk::Sdk::JavaScript, "plugin-sdk/javascript", ["js", "ts"]),
        (sdk::Sdk::Go, "plugin-sdk/go", ["go", "mod"]),
        (
            sdk::Sdk::AssemblyScript,
            "plugin-sdk/assemblyscript",
            ["ts", "mjs"],
        ),
        (sdk::Sdk::Wit, "wit", ["wit", ""]),
    ] {
        let root = repository().join(root);
        let mut there = Vec::new();
        list(&root, ".", &mut there);
        there.retain(|path| {
            let own = ["./engagement/", "./priced/", "./settled/", "./.sdk/"]
                .iter()
                .any(|not| path.starts_with(not));
            !own && !path.ends_with("_test.go") && kinds.contains(&path.rsplit('.').next().unwrap())
        });
        there.sort();
        let files = sdk.files().iter();
        let mut embedded: Vec<String> = files.map(|(path, _)| format!("./{path}")).collect();
        embedded.sort();
        assert_eq!(
            embedded, there,
            "name every source file of the SDK in build/sdk.rs"
        );
    }
}

/// What there is a plugin of to start from, in every language.
const KINDS: [TemplateKind; 3] = [
    TemplateKind::Fold,
    TemplateKind::Transform,
    TemplateKind::Process,
];

#[test]
fn a_folder_is_in_the_language_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    for language in Language::ALL {
        for kind in KINDS {
            let name = format!("{}-{kind:?}", language.name()).to_lowercase();
            let package = create_plugin(folder.path(), &name, language, kind).unwrap();
            assert_eq!(Language::of(&package).unwrap(), language);
            assert!(package.join(language.source()).is_file());
            let text = std::fs::read_to_string(package.join(language.source())).unwrap();
            assert!(!text.contains("NAME\""), "{name}");
        }
    }
    #[expect(clippy::disallowed_methods, reason = "a file of the test")]
    std::fs::write(folder.path().join("c-fold/plugin.py"), "").unwrap();
    let two = Language::of(&folder.path().join("c-fold"));
    assert!(matches!(two, Err(BuildError::TwoLanguages { .. })));
}

#[test]
fn the_kind_is_what_the_source_exports() {
    use crate::about::PluginKind;
    assert_eq!(
        compile::kind_of("x = export_fold(A)"),
        Some(PluginKind::Fold)
    );
    assert_eq!(
        compile::kind_of("exportTransform({})"),
        Some(PluginKind::Transform)
    );
    assert_eq!(
        compile::kind_of("exportProcess({})"),
        Some(PluginKind::Process)
    );
    assert_eq!(
        compile::kind_of("export_fold(A); export_transform(A)"),
        None
    );
    assert_eq!(compile::kind_of("from refrain import export_fold"), None);
}

#[test]
#[ignore = "needs the compilers of all languages: fetches them the first time"]
fn new_plugins_in_all_languages_build() {
    let host = crate::Host::new(crate::HostOptions {
        cache: Some(default_cache().join("compiled")),
        ..Default::default()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    for language in Language::ALL {
        for kind in KINDS {
            let name = format!("{}_{kind:?}", language.name()).to_lowercase();
            let package = create_plugin(folder.path(), &name, language, kind).unwrap();
            let out = package.join("plugin.wasm");
            build_plugin(&package, &out, &default_cache(), &mut quiet()).unwrap();
            host.load(&name, &read(&out).unwrap()).unwrap();
        }
    }
}
