//! A process around the plugin that says what it does: name, options and version are those of the plugin.

macro_rules! wrapped {
    ($wrapper:ident, $role:ident) => {
        impl<J: $role> $wrapper<J> {
            /// Of a plugin, for tests.
            ///
            /// # Panics
            /// When what the plugin says cannot be, as a length of time that is negative.
            pub fn new(plugin: J) -> Self {
                match Self::try_new(plugin) {
                    Ok(this) => this,
                    Err(why) => panic!("{why}"),
                }
            }
        }

        impl<J: $role> crate::Plugin for $wrapper<J> {
            const NAME: &'static str = J::NAME;
            const VERSION: &'static str = J::VERSION;
            const DOC: &'static str = J::DOC;
            const STATE_VERSION: u32 = J::STATE_VERSION;

            fn settings() -> Vec<crate::Setting> {
                J::settings()
            }

            fn configure(options: &crate::Options) -> Result<Self, String> {
                Self::try_new(J::configure(options)?)
            }
        }
    };
}

pub(crate) use wrapped;

macro_rules! two_inputs {
    ($inputs:ident, $role:ident, $first:ident: $first_row:ty = $first_name:expr, $second:ident: $second_row:ty = $second_name:expr) => {
        impl<'a, J: $role> crate::Inputs<'a> for $inputs<'a, J> {
            const INPUTS: &'static [crate::Input] = &[
                crate::Input {
                    name: $first_name,
                    doc: "",
                    fields: <$first_row as crate::Row<'a>>::FIELDS,
                },
                crate::Input {
                    name: $second_name,
                    doc: "",
                    fields: <$second_row as crate::Row<'a>>::FIELDS,
                },
            ];
            type Columns = (
                <$first_row as crate::Row<'a>>::Columns,
                <$second_row as crate::Row<'a>>::Columns,
            );

            fn bind(parts: &[&'a crate::bindings::Rows]) -> Result<Self::Columns, String> {
                let first = crate::inputs::part(parts, 0)?;
                let second = crate::inputs::part(parts, 1)?;
                Ok((
                    <$first_row as crate::Row<'a>>::bind(first)?,
                    <$second_row as crate::Row<'a>>::bind(second)?,
                ))
            }

            #[inline(always)]
            fn read(columns: &Self::Columns, input: usize, row: usize) -> Self {
                match input {
                    0 => Self::$first(<$first_row as crate::Row<'a>>::read(&columns.0, row)),
                    _ => Self::$second(<$second_row as crate::Row<'a>>::read(&columns.1, row)),
                }
            }

            fn write(self) -> (usize, crate::bindings::Rows) {
                match self {
                    Self::$first(row) => (0, crate::test_fold::batch_of_one(row)),
                    Self::$second(row) => (1, crate::test_fold::batch_of_one(row)),
                }
            }
        }
    };
}

pub(crate) use two_inputs;

macro_rules! one_input {
    ($inputs:ident, $role:ident, $name:expr) => {
        impl<'a, J: $role> crate::Inputs<'a> for $inputs<'a, J> {
            const INPUTS: &'static [crate::Input] = &[crate::Input {
                name: $name,
                doc: "",
                fields: <J::Row<'a> as crate::Row<'a>>::FIELDS,
            }];
            type Columns = <J::Row<'a> as crate::Row<'a>>::Columns;

            fn bind(parts: &[&'a crate::bindings::Rows]) -> Result<Self::Columns, String> {
                <J::Row<'a> as crate::Row<'a>>::bind(crate::inputs::part(parts, 0)?)
            }

            #[inline(always)]
            fn read(columns: &Self::Columns, _: usize, row: usize) -> Self {
                Self(<J::Row<'a> as crate::Row<'a>>::read(columns, row))
            }

            fn write(self) -> (usize, crate::bindings::Rows) {
                (0, crate::test_fold::batch_of_one(self.0))
            }
        }
    };
}

pub(crate) use one_input;
