//! The derives of refrain-sdk: `Row`, `Inputs`, `Plugin` and the attribute `state`. Each reads a struct and says, at the field, in
//! one sentence, what to write instead when it cannot be.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod inputs;
mod plugin;
mod row;
mod state;

/// Makes a struct a row: its fields are fields of the schema, by name and type.
#[proc_macro_derive(Row, attributes(field))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    finish(row::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Makes an enum the inputs of a process: one variant an input.
#[proc_macro_derive(Inputs, attributes(input))]
pub fn derive_inputs(input: TokenStream) -> TokenStream {
    finish(inputs::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a struct a plugin: its fields are options of the pipeline file.
#[proc_macro_derive(Plugin, attributes(plugin, setting))]
pub fn derive_plugin(input: TokenStream) -> TokenStream {
    finish(plugin::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a struct or enum the state of a fold or process. It also needs a `Default`: the state before the first row.
#[proc_macro_attribute]
pub fn state(_: TokenStream, item: TokenStream) -> TokenStream {
    finish(state::expand(&parse_macro_input!(item as DeriveInput)))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded
        .unwrap_or_else(|why| why.into_compile_error())
        .into()
}

#[cfg(test)]
mod tests;
