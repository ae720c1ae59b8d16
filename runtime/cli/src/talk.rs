//! Talk on stderr that never ends a command: what was done stays done when nobody can hear of it. The macros stand in
//! for those of the standard library, which panic when stderr is closed or full.

/// As the standard library's, except that a stderr that takes nothing is no failure.
macro_rules! eprint {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($part)*);
    }};
}

/// As the standard library's, except that a stderr that takes nothing is no failure.
macro_rules! eprintln {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}
