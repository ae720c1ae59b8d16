//! Tests that need something of the machine. At a desk they are left out with a word about it; in the gate (`CI=true`) that
//! is a failure, since a test that says nothing reads as one that passed.

/// Says that a test is left out for want of `need` (`strace`, `tmpfs`). Panics in the gate, unless `REFRAIN_MAY_SKIP` names it.
pub fn skipped(need: &str, remedy: &str) {
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let may_skip = of("REFRAIN_MAY_SKIP")
        .split(',')
        .any(|may| may.trim() == need);
    assert!(
        !matches!(&*of("CI"), "true" | "1") || may_skip,
        "this test needs {need}: {remedy}; or leave such tests out with REFRAIN_MAY_SKIP={need}"
    );
    eprintln!("skipped for want of {need}: {remedy}");
}
