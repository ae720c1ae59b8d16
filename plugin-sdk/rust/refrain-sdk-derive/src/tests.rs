//! What the derives say to structs that cannot be.

use proc_macro2::TokenStream;
use syn::{DeriveInput, Result};

use crate::{inputs, plugin, row, state};

fn complaint(expand: fn(&DeriveInput) -> Result<TokenStream>, source: &str) -> String {
    let input = syn::parse_str(source).expect("the test's source is Rust");
    match expand(&input) {
        Ok(_) => "none".to_string(),
        Err(why) => why.to_string(),
    }
}

#[track_caller]
fn check_row(source: &str, says: &str) {
    let said = complaint(row::expand, source);
    assert!(said.starts_with(says), "{source}\nsaid: {said}");
}

#[test]
fn a_field_type_without_column_names_field_type_and_what_there_is() {
    let said = complaint(row::expand, "struct Flight { delay: i32 }");
    assert_eq!(
        said,
        "field `delay`: `i32` has no column, use i64. A field is one of: bool, i64, f64, Timestamp, &'a str, \
         &'a [u8], String, Vec<u8>, or an Option of one of these."
    );
}

#[test]
fn rows_that_cannot_be() {
    check_row(
        "struct R { x: Option<u32> }",
        "field `x`: `Option<u32>` has no column, use i64.",
    );
    check_row(
        "struct R { x: f32 }",
        "field `x`: `f32` has no column, use f64.",
    );
    check_row("struct R { x: &str }", "field `x`: `&str` needs a lifetime");
    check_row(
        "struct R(i64);",
        "a row is a struct with named fields: the names",
    );
    check_row("enum R { A }", "a row is a struct with named fields");
    check_row("struct R<T> { x: T }", "a row has no type parameters");
    check_row(
        "struct R<'a, 'b> { x: &'a str, y: &'b str }",
        "a row has one lifetime",
    );
    check_row(
        "struct R { #[field(rename = \"y\")] x: i64 }",
        "the only thing to say here",
    );
}

#[test]
fn rows_that_can_be() {
    check_row("struct R { x: i64, r#type: String }", "none");
    check_row("struct R<'a> { x: &'a str, y: Option<&'a [u8]> }", "none");
    check_row("struct R { x: &'static str }", "none");
    check_row("struct R;", "none");
}

#[test]
fn an_unordered_state_is_told_what_to_use() {
    let said = complaint(
        state::expand,
        "struct S { seen: Vec<HashMap<String, i64>> }",
    );
    assert_eq!(
        said,
        "`HashMap` saves equal states as different bytes: use `BTreeMap`"
    );
}

#[test]
fn a_plugin_has_named_options() {
    let said = complaint(plugin::expand, "struct P(i64);");
    assert!(
        said.starts_with("a plugin is a struct without fields"),
        "{said}"
    );
}

#[test]
fn inputs_that_cannot_be() {
    let check = |source: &str, says: &str| {
        let said = complaint(inputs::expand, source);
        assert!(said.starts_with(says), "{source}\nsaid: {said}");
    };
    let shape = "the inputs of a process are an enum with one variant an input";
    check("struct Views { x: i64 }", shape);
    check("enum Nothing {}", shape);
    check("enum I { Views }", "an input is written `Views(Row)`");
    check(
        "enum I { Views { row: View } }",
        "an input is written `Views(Row)`",
    );
    check(
        "enum I<T> { Views(T) }",
        "the inputs of a process have no type parameters",
    );
    check(
        "enum I<'a, 'b> { A(View<'a>), B(View<'b>) }",
        "the inputs of a process have one lifetime",
    );
    check(
        "enum I { Views(View), #[input(name = \"views\")] Other(View) }",
        "two inputs are called `views`",
    );
    check(
        "enum I { #[input(topic = \"views\")] Views(View) }",
        "the only thing to say here is #[input(name",
    );
    check("enum I<'a> { PageViews(View<'a>), Clicks(Click) }", "none");
}
