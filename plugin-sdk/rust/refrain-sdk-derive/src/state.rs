//! `#[state]`: a struct or enum whose values are saved.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{DeriveInput, Error, Result};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Some((span, name)) = find_unordered(input.to_token_stream()) {
        let ordered = name.replace("Hash", "BTree");
        let text = format!("`{name}` saves equal states as different bytes: use `{ordered}`");
        return Err(Error::new(span, text));
    }
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(
            parameter,
            "a state owns what it keeps: it has no parameters",
        ));
    }
    let state = &input.ident;
    Ok(quote! {
        #[derive(::refrain_sdk::serde::Serialize, ::refrain_sdk::serde::Deserialize)]
        #[serde(crate = "::refrain_sdk::serde")]
        #input

        #[automatically_derived]
        impl ::refrain_sdk::State for #state {}
    })
}

/// A collection whose order changes from run to run.
fn find_unordered(tokens: TokenStream) -> Option<(Span, String)> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if word == "HashMap" || word == "HashSet" => {
            Some((word.span(), word.to_string()))
        }
        TokenTree::Group(group) => find_unordered(group.stream()),
        _ => None,
    })
}
