//! The numbers of the log, each its own type so that none is taken for another.

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Number of a row in its partition, from 0.
    Offset(u64)
}
number! {
    /// Number of a frame in the whole host, from 1; strictly increasing over source topics. 0 is before everything.
    Sequence(u64)
}
number! {
    /// Byte in a segment file.
    Position(u64)
}
number! {
    /// Microseconds since the Unix epoch, UTC.
    Timestamp(i64)
}

impl Timestamp {
    /// Before every event time.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
}
