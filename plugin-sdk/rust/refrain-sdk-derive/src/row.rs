//! `derive(Row)`: columns to struct, struct to columns.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Lifetime, LitStr, Result, Type, parse_quote};

const TYPES: &str = "A field is one of: bool, i64, f64, Timestamp, &'a str, &'a [u8], String, Vec<u8>, or an Option of \
                     one of these.";

struct Cell<'s> {
    member: &'s syn::Ident,
    name: String,
    kind: &'s Type,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let cells = cells(input)?;
    let lifetime = lifetime(input, &cells)?;
    Ok(implement(input, &cells, &lifetime))
}

fn cells(input: &DeriveInput) -> Result<Vec<Cell<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "a row is a struct with named fields",
        ));
    };
    match &data.fields {
        Fields::Named(fields) => fields.named.iter().map(cell).collect(),
        Fields::Unit => Ok(Vec::new()),
        Fields::Unnamed(_) => Err(Error::new(
            input.ident.span(),
            "a row is a struct with named fields: the names are those of the schema",
        )),
    }
}

fn cell(field: &Field) -> Result<Cell<'_>> {
    let member = field.ident.as_ref().expect("a named field has a name");
    let name = match renamed(field)? {
        Some(name) => name,
        None => member.to_string().trim_start_matches("r#").to_string(),
    };
    if let Some(instead) = instead(&field.ty) {
        let kind = &field.ty;
        let text = format!(
            "field `{name}`: `{}` {instead} {TYPES}",
            show(&quote!(#kind))
        );
        return Err(Error::new(field.ty.span(), text));
    }
    Ok(Cell {
        member,
        name,
        kind: &field.ty,
    })
}

fn renamed(field: &Field) -> Result<Option<String>> {
    let mut name = None;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("field")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("the only thing to say here is #[field(name = \"..\")]"));
            }
            name = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(name)
}

/// For types that people are likely to try: what to write instead. All others are left to the trait `Cell`.
fn instead(kind: &Type) -> Option<&'static str> {
    match kind {
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            match last.ident.to_string().as_str() {
                "i8" | "i16" | "i32" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
                | "usize" => Some("has no column, use i64."),
                "f32" => Some("has no column, use f64."),
                "char" => Some("has no column, use &'a str."),
                "SystemTime" | "Instant" | "Duration" => {
                    Some("has no column, use Timestamp or i64.")
                }
                "Option" => instead(inner(last)?),
                _ => None,
            }
        }
        Type::Reference(reference) if reference.lifetime.is_none() => {
            Some("needs a lifetime: write struct Name<'a> and &'a.")
        }
        Type::Reference(reference) if reference.mutability.is_some() => Some("cannot be mutable."),
        _ => None,
    }
}

fn inner(segment: &syn::PathSegment) -> Option<&Type> {
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first()? {
        syn::GenericArgument::Type(kind) => Some(kind),
        _ => None,
    }
}

fn show(tokens: &TokenStream) -> String {
    tokens
        .to_string()
        .replace("& ", "&")
        .replace(" <", "<")
        .replace("< ", "<")
        .replace(" >", ">")
}

/// The lifetime that the row borrows its batch for.
fn lifetime(input: &DeriveInput, cells: &[Cell<'_>]) -> Result<Lifetime> {
    if let Some(parameter) = input.generics.type_params().next() {
        return Err(Error::new(
            parameter.span(),
            "a row has no type parameters: its fields are a schema",
        ));
    }
    let mut lifetimes = input.generics.lifetimes();
    let first = lifetimes.next().map(|parameter| parameter.lifetime.clone());
    if let Some(second) = lifetimes.next() {
        return Err(Error::new(
            second.span(),
            "a row has one lifetime: all its fields borrow from one batch",
        ));
    }
    let is_static = cells.iter().any(|cell| {
        let kind = cell.kind;
        quote!(#kind).to_string().contains("'static")
    });
    Ok(match first {
        Some(lifetime) => lifetime,
        None if is_static => parse_quote!('static),
        None => parse_quote!('row),
    })
}

fn implement(input: &DeriveInput, cells: &[Cell<'_>], lifetime: &Lifetime) -> TokenStream {
    let row = &input.ident;
    let (_, arguments, _) = input.generics.split_for_impl();
    let parameters = match lifetime.ident == "static" {
        true => quote!(),
        false => quote!(<#lifetime>),
    };
    let columns = format_ident!("{row}Columns");
    let builders = format_ident!("{row}Builders");
    let member: Vec<_> = cells.iter().map(|cell| cell.member).collect();
    let kind: Vec<_> = cells.iter().map(|cell| cell.kind).collect();
    let name = cells.iter().map(|cell| &cell.name);
    let place = 0..cells.len();
    // the bound of each field is asked for at the field, so that the compiler's complaint points there
    let cell: Vec<_> = kind
        .iter()
        .map(|kind| quote_spanned!(kind.span()=> <#kind as ::refrain_sdk::Cell<#lifetime>>))
        .collect();
    quote! {
        #[automatically_derived]
        const _: () = {
            #[doc(hidden)]
            pub struct #columns #parameters {
                #(#member: #cell::Column,)*
                batch: ::core::marker::PhantomData<&#lifetime ()>,
            }

            #[doc(hidden)]
            pub struct #builders #parameters {
                #(#member: ::refrain_sdk::export::CellBuilder<#lifetime, #kind>,)*
                batch: ::core::marker::PhantomData<&#lifetime ()>,
            }

            impl #parameters ::core::default::Default for #builders #parameters {
                fn default() -> Self {
                    Self {
                        #(#member: ::core::default::Default::default(),)*
                        batch: ::core::marker::PhantomData,
                    }
                }
            }

            impl #parameters ::refrain_sdk::Row<#lifetime> for #row #arguments {
                const FIELDS: &'static [::refrain_sdk::Field] = &[
                    #(::refrain_sdk::Field { name: #name, kind: #cell::KIND, nullable: #cell::NULLABLE },)*
                ];
                type Columns = #columns #parameters;
                type Builders = #builders #parameters;

                fn bind(
                    rows: &#lifetime ::refrain_sdk::bindings::Rows,
                ) -> ::core::result::Result<Self::Columns, ::std::string::String> {
                    let fields = <Self as ::refrain_sdk::Row<#lifetime>>::FIELDS;
                    ::core::result::Result::Ok(#columns {
                        #(#member: ::refrain_sdk::export::bind_cell::<#kind>(rows, #place, &fields[#place])?,)*
                        batch: ::core::marker::PhantomData,
                    })
                }

                #[inline(always)]
                fn first(columns: &Self::Columns, count: usize) -> Self::Columns {
                    #columns {
                        #(#member: #cell::first(&columns.#member, count),)*
                        batch: ::core::marker::PhantomData,
                    }
                }

                #[inline(always)]
                fn read(columns: &Self::Columns, row: usize) -> Self {
                    Self { #(#member: #cell::get(&columns.#member, row),)* }
                }

                #[inline(always)]
                fn write(self, builders: &mut Self::Builders) {
                    #(::refrain_sdk::Cell::<#lifetime>::put(self.#member, &mut builders.#member);)*
                }

                fn write_nothing(builders: &mut Self::Builders) {
                    #(#cell::put_nothing(&mut builders.#member);)*
                }

                fn truncate(builders: &mut Self::Builders, count: usize) {
                    #(builders.#member.truncate::<#kind>(count);)*
                }

                fn finish(builders: Self::Builders) -> ::std::vec::Vec<::refrain_sdk::bindings::Column> {
                    ::std::vec![#(builders.#member.finish::<#kind>(),)*]
                }
            }
        };
    }
}
