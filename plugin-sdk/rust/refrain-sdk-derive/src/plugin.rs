//! `derive(Plugin)`: name, version and doc of the package, fields as options.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, LitInt, Meta, Result,
};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields(input)?;
    let plugin = &input.ident;
    let doc = doc(&input.attrs);
    let version = state_version(&input.attrs)?;
    let settings = fields.iter().map(setting).collect::<Result<Vec<_>>>()?;
    let member: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let name: Vec<_> = fields.iter().map(name).collect();
    Ok(quote! {
        #[automatically_derived]
        impl ::refrain_sdk::Plugin for #plugin {
            const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const DOC: &'static str = #doc;
            const STATE_VERSION: u32 = #version;

            // A default may have the option's type already.
            #[allow(clippy::useless_conversion)]
            fn settings() -> ::std::vec::Vec<::refrain_sdk::Setting> {
                ::std::vec![#(#settings),*]
            }

            fn configure(
                options: &::refrain_sdk::Options,
            ) -> ::core::result::Result<Self, ::std::string::String> {
                let _ = options;
                ::core::result::Result::Ok(Self { #(#member: options.get(#name)?),* })
            }
        }
    })
}

fn fields(input: &DeriveInput) -> Result<Vec<&Field>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields.named.iter().collect()),
            Fields::Unit => Ok(Vec::new()),
            Fields::Unnamed(_) => Err(wrong_shape(input)),
        },
        _ => Err(wrong_shape(input)),
    }
}

fn wrong_shape(input: &DeriveInput) -> Error {
    Error::new(
        input.ident.span(),
        "a plugin is a struct without fields, or one whose named fields are its options",
    )
}

fn name(field: &&Field) -> String {
    let member = field.ident.as_ref().expect("a named field has a name");
    member.to_string().trim_start_matches("r#").to_string()
}

fn setting(field: &&Field) -> Result<TokenStream> {
    let (kind, name, doc) = (&field.ty, name(field), doc(&field.attrs));
    let value = quote_spanned!(kind.span()=> <#kind as ::refrain_sdk::SettingValue>);
    let default = match default(&field.attrs)? {
        Some(default) => quote_spanned! {default.span()=>
            ::core::option::Option::Some(#value::show(&<#kind as ::core::convert::From<_>>::from(#default)))
        },
        None => quote!(::core::option::Option::None),
    };
    Ok(quote! {
        ::refrain_sdk::Setting { name: #name, kind: #value::KIND, default: #default, doc: #doc }
    })
}

fn default(attributes: &[Attribute]) -> Result<Option<Expr>> {
    let mut default = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("setting")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("the only thing to say here is #[setting(default = ..)]"));
            }
            default = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(default)
}

fn state_version(attributes: &[Attribute]) -> Result<u32> {
    let mut version = 1;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("plugin")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("state_version") {
                return Err(
                    meta.error("the only thing to say here is #[plugin(state_version = ..)]")
                );
            }
            version = meta.value()?.parse::<LitInt>()?.base10_parse()?;
            Ok(())
        })?;
    }
    Ok(version)
}

/// The doc comment, its lines joined.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).collect();
    lines.join("\n").trim().to_string()
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if pair.path.is_ident("doc") => Some(text.value().trim().to_string()),
        _ => None,
    }
}
