//! `derive(Inputs)`: the inputs of a process, one variant each.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Fields, Ident, Index, Lifetime, LitStr, Result, Type, Variant,
    parse_quote,
};

use crate::plugin::doc;

struct Input<'s> {
    variant: &'s Ident,
    name: String,
    doc: String,
    row: &'s Type,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let inputs = inputs(input)?;
    let lifetime = lifetime(input)?;
    Ok(implement(input, &inputs, &lifetime))
}

fn inputs(input: &DeriveInput) -> Result<Vec<Input<'_>>> {
    let shape = "the inputs of a process are an enum with one variant an input: \
                 enum Activity<'a> { Views(View<'a>), Purchases(Purchase) }";
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), shape));
    };
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), shape));
    }
    let inputs: Vec<Input<'_>> = data.variants.iter().map(one).collect::<Result<_>>()?;
    for (place, input) in inputs.iter().enumerate() {
        if inputs[..place].iter().any(|other| other.name == input.name) {
            let text = format!("two inputs are called `{}`", input.name);
            return Err(Error::new(input.variant.span(), text));
        }
    }
    Ok(inputs)
}

fn one(variant: &Variant) -> Result<Input<'_>> {
    let row = match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0].ty,
        _ => {
            let name = &variant.ident;
            let text = format!(
                "an input is written `{name}(Row)`, with a struct that has #[derive(Row)] in the place of `Row`"
            );
            return Err(Error::new(name.span(), text));
        }
    };
    let mut name = snake(&variant.ident.to_string());
    for attribute in variant.attrs.iter().filter(|a| a.path().is_ident("input")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("the only thing to say here is #[input(name = \"..\")]"));
            }
            name = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(Input {
        variant: &variant.ident,
        name,
        doc: doc(&variant.attrs),
        row,
    })
}

/// `PageViews` as `page_views`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (place, letter) in name.char_indices() {
        if letter.is_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The lifetime that the rows borrow their batches for.
fn lifetime(input: &DeriveInput) -> Result<Lifetime> {
    if let Some(parameter) = input.generics.type_params().next() {
        return Err(Error::new(
            parameter.span(),
            "the inputs of a process have no type parameters: their fields are schemas",
        ));
    }
    let mut lifetimes = input.generics.lifetimes();
    let first = lifetimes.next().map(|parameter| parameter.lifetime.clone());
    match lifetimes.next() {
        Some(second) => Err(Error::new(
            second.span(),
            "the inputs of a process have one lifetime: that of a call",
        )),
        None => Ok(first.unwrap_or_else(|| parse_quote!('row))),
    }
}

fn implement(input: &DeriveInput, inputs: &[Input<'_>], lifetime: &Lifetime) -> TokenStream {
    let all = &input.ident;
    let (_, arguments, _) = input.generics.split_for_impl();
    let variant: Vec<_> = inputs.iter().map(|input| input.variant).collect();
    let name = inputs.iter().map(|input| &input.name);
    let doc = inputs.iter().map(|input| &input.doc);
    let place: Vec<_> = (0..inputs.len()).collect();
    let member: Vec<_> = place.iter().map(|place| Index::from(*place)).collect();
    // the bound of each row is asked for at the variant, so that the compiler's complaint points there
    let row: Vec<_> = inputs
        .iter()
        .map(|input| {
            let row = input.row;
            quote_spanned!(row.span()=> <#row as ::refrain_sdk::Row<#lifetime>>)
        })
        .collect();
    let last = inputs.len() - 1;
    let (before, after) = variant.split_at(last);
    let (read_before, read_last) = row.split_at(last);
    let (place_before, _) = place.split_at(last);
    let (member_before, member_last) = member.split_at(last);
    quote! {
        #[automatically_derived]
        impl<#lifetime> ::refrain_sdk::Inputs<#lifetime> for #all #arguments {
            const INPUTS: &'static [::refrain_sdk::Input] = &[
                #(::refrain_sdk::Input { name: #name, doc: #doc, fields: #row::FIELDS },)*
            ];
            type Columns = (#(#row::Columns,)*);

            fn bind(
                parts: &[&#lifetime ::refrain_sdk::bindings::Rows],
            ) -> ::core::result::Result<Self::Columns, ::std::string::String> {
                ::core::result::Result::Ok((#(#row::bind(::refrain_sdk::export::part(parts, #place)?)?,)*))
            }

            #[inline(always)]
            fn read(columns: &Self::Columns, input: usize, row: usize) -> Self {
                match input {
                    #(#place_before => Self::#before(#read_before::read(&columns.#member_before, row)),)*
                    _ => #(Self::#after(#read_last::read(&columns.#member_last, row)))*,
                }
            }

            fn write(self) -> (usize, ::refrain_sdk::bindings::Rows) {
                match self {
                    #(Self::#variant(row) => (#place, ::refrain_sdk::export::batch_of_one(row)),)*
                }
            }
        }
    }
}
