//! The program answers. That this file is here also makes cargo build the program whenever tests are built, which the
//! tests in tests/, a package of their own, rely on.

use std::process::Command;

#[test]
fn it_says_its_version() {
    let mut refrain = Command::new(env!("CARGO_BIN_EXE_refrain"));
    let out = refrain.arg("--version").output().expect("it starts");
    let expected = format!("refrain {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&out.stdout), expected);
}
