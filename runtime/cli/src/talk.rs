//! Talk on stderr that never ends a command: what was done stays done when nobody can hear of it. The macros stand in
//! for those of the standard library, which panic when stderr is closed or full, and write through a progress bar.

/// As the standard library's, except that a stderr that takes nothing is no failure.
macro_rules! eprint {
    ($($part:tt)*) => {
        $crate::progress::say(&format!($($part)*))
    };
}

/// As the standard library's, except that a stderr that takes nothing is no failure.
macro_rules! eprintln {
    () => {
        $crate::progress::say("\n")
    };
    ($($part:tt)*) => {
        $crate::progress::say(&(format!($($part)*) + "\n"))
    };
}
