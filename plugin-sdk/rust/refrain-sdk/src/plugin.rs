//! What a plugin is: its name, its options, and what it says when it refuses a row.

use crate::cell::{Kind, Span, Timestamp};

/// The plugin itself, a struct whose fields are its options. Comes from `#[derive(Plugin)]`: name and version are those
/// of the package, the doc is the struct's doc comment, and each field is an option with its doc comment:
///
/// ```
/// # use refrain_sdk::prelude::*;
/// /// Delays of flights.
/// #[derive(Plugin)]
/// #[plugin(state_version = 2)]     // raise it when older saved states cannot be read; 1 when not given
/// struct DelaysPlugin {
///     /// Minutes from which on a flight counts as delayed.
///     #[setting(default = 15)]     // without a default the pipeline file must give the option
///     delayed_after: i64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    label = "needs `#[derive(Plugin)]`",
    note = "put #[derive(Plugin)] on it; its fields become options of the pipeline file"
)]
pub trait Plugin: Sized + 'static {
    /// Name of the package.
    const NAME: &'static str;
    /// Version of the package.
    const VERSION: &'static str;
    /// Doc comment of the struct.
    const DOC: &'static str;
    /// Version of the saved states.
    const STATE_VERSION: u32 = 1;
    /// The options it takes.
    fn settings() -> Vec<Setting>;
    /// Made from the options of the pipeline file.
    fn configure(options: &Options) -> Result<Self, String>;
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the pipeline file.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Its value as text when the pipeline file gives none.
    pub default: Option<String>,
    /// For people.
    pub doc: &'static str,
}

/// The type of an option: `bool`, `i64`, `f64`, `String`, [`Timestamp`] or [`Span`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an option of a plugin",
    label = "no option has this type",
    note = "an option is one of: bool, i64, f64, String, Timestamp, Span"
)]
pub trait SettingValue: Sized {
    /// Logical type.
    const KIND: Kind;
    /// What a value is, for the complaint about one that is not.
    const WHAT: &'static str = Self::KIND.name();
    /// From the text in the pipeline file.
    fn parse(text: &str) -> Option<Self>;
    /// As text.
    fn show(&self) -> String;
}

macro_rules! setting_value {
    ($type:ty, $kind:ident) => {
        impl SettingValue for $type {
            const KIND: Kind = Kind::$kind;
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}

setting_value!(bool, Bool);
setting_value!(i64, I64);
setting_value!(f64, F64);
setting_value!(String, Text);

impl SettingValue for Timestamp {
    const KIND: Kind = Kind::Timestamp;
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Timestamp)
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl SettingValue for Span {
    const KIND: Kind = Kind::Text;
    const WHAT: &'static str = "a length of time, as in \"90s\"";
    fn parse(text: &str) -> Option<Self> {
        Span::parse(text)
    }
    fn show(&self) -> String {
        (*self).show()
    }
}

/// The options of the pipeline file by name, each as text.
pub struct Options(Vec<(String, String)>);

impl Options {
    /// Of what the host gives.
    pub fn new(options: Vec<(String, String)>) -> Self {
        Self(options)
    }

    /// The value of one option.
    pub fn get<V: SettingValue>(&self, name: &str) -> Result<V, String> {
        let (_, text) = self
            .0
            .iter()
            .find(|(given, _)| given == name)
            .ok_or_else(|| format!("option `{name}` is missing"))?;
        V::parse(text).ok_or_else(|| format!("option `{name}`: `{text}` is not {}", V::WHAT))
    }
}

/// Why a row is refused. Its text may depend on the row and the state alone; the row goes to `<node>.rejected` with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub(crate) reason: String,
}

impl Reject {
    /// With the reason that its reader will see.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl<S: Into<String>> From<S> for Reject {
    fn from(reason: S) -> Self {
        Self::new(reason)
    }
}
