//! AssemblyScript, whose canonical ABI the SDK has by hand: what is made by `plugin new` passes its fixture and keeps the
//! contract, every type of field crosses both ways, and what falls says where. The example's digest is with those of the other
//! languages.

use refrain_tests::Home;

fn made(kind: &str) -> Home {
    let home = Home::new("");
    let new = ["plugin", "new", "made", "--language", "assemblyscript"];
    home.refrain(&[&new[..], &["--kind", kind]].concat()).ok();
    home
}

const SOURCE: &str = "plugins/made/assembly/index.ts";

/// Puts something else in the place of a part of the source.
fn change(home: &Home, parts: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(home.path(SOURCE)).unwrap();
    for (part, other) in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
        text = text.replace(part, other);
    }
    home.write(SOURCE, text);
}

#[test]
#[ignore = "needs the compiler of AssemblyScript"]
fn new_plugins_pass_their_fixture_and_keep_the_contract() {
    for kind in ["fold", "transform", "process"] {
        let home = made(kind);
        let done = home.refrain(&["plugin", "test", "made"]).ok();
        done.says(&["made/first: passed"]);
        home.refrain(&["plugin", "test", "made", "--conformance"])
            .ok();
    }
}

/// A transform that hands on a row of all types.
const ALL_TYPES: &str = r#"
import { Transform, exportTransform, inputs, options, outputs } from "../../.sdk/assemblyscript/transform";

const flag = inputs.bool("flag");
const number = inputs.i64("number", true);
const real = inputs.f64("real", true);
const at = inputs.timestamp("at");
const text = inputs.text("text", true);
const blob = inputs.bytes("blob");

const flagOut = outputs.bool("flag");
const numberOut = outputs.i64("number", true);
const realOut = outputs.f64("real", true);
const atOut = outputs.timestamp("at");
const textOut = outputs.text("text", true);
const blobOut = outputs.bytes("blob");

const least = options.i64("least", 0, "the smallest number taken");
const suffix = options.text("suffix", "!");

class All extends Transform {
  get name(): string {
    return "made";
  }
  process(): string | null {
    flagOut.set(!flag.value);
    if (!number.isNull) numberOut.set(number.value);
    if (!real.isNull) realOut.set(real.value);
    atOut.set(at.value);
    if (!text.isNull) textOut.set(text.value + suffix.value);
    blobOut.set(blob.value.reverse());
    this.emit();
    // Given, and taken back with the row.
    if (!number.isNull && number.value < least.value) return "a number of " + number.value.toString();
    if (text.is("zweimal ß")) this.emit();
    return null;
  }
}

exportTransform(new All());
"#;

#[test]
#[ignore = "needs the compiler of AssemblyScript"]
fn every_type_crosses_both_ways() {
    let home = made("transform");
    home.write(SOURCE, ALL_TYPES);
    let case = "plugins/made/fixtures/first";
    home.write(
        &format!("{case}/fixture.json"),
        r#"{ "options": { "least": -5, "suffix": "ü" } }"#,
    );
    home.write(
        &format!("{case}/input.jsonl"),
        r#"{"flag": true, "number": 9223372036854775807, "real": 0.5, "at": "2026-01-01T00:00:00Z", "text": "日本語", "blob": "AAE="}
{"flag": false, "number": -6, "real": 1.0, "at": "1969-12-31T23:59:59.999999Z", "text": "", "blob": ""}
{"flag": false, "number": null, "real": null, "at": "1969-12-31T23:59:59.999999Z", "text": null, "blob": ""}
{"flag": true, "number": -5, "real": -2.0, "at": "2026-01-01T00:00:00Z", "text": "zweimal ß", "blob": "AAEC"}
"#,
    );
    home.write(
        &format!("{case}/expected.jsonl"),
        r#"{"flag": false, "number": 9223372036854775807, "real": 0.5, "at": "2026-01-01T00:00:00Z", "text": "日本語ü", "blob": "AQA="}
{"@rejected": 2, "reason": "a number of -6"}
{"flag": true, "number": null, "real": null, "at": "1969-12-31T23:59:59.999999Z", "text": null, "blob": ""}
{"flag": false, "number": -5, "real": -2.0, "at": "2026-01-01T00:00:00Z", "text": "zweimal ßü", "blob": "AgEA"}
{"flag": false, "number": null, "real": null, "at": "1970-01-01T00:00:00Z", "text": null, "blob": ""}
"#,
    );
    home.refrain(&["plugin", "test", "made"]).ok();
    home.refrain(&["plugin", "test", "made", "--conformance"])
        .ok();
}

#[test]
#[ignore = "needs the compiler of AssemblyScript"]
fn what_is_said_is_heard_and_what_falls_says_where() {
    let home = made("fold");
    change(
        &home,
        &[
            (
                "{ Fold, exportFold, inputs, outputs }",
                "{ Fold, Level, exportFold, inputs, outputs, say }",
            ),
            (
                "    totals.rows++;\n",
                "    say(Level.warn, \"taken \" + value.value.toString());\n    totals.rows++;\n",
            ),
        ],
    );
    // Without a voice it does no harm.
    home.refrain(&["plugin", "test", "made"]).ok();
    change(
        &home,
        &[(
            "    totals.rows++;\n",
            "    assert(value.value >= 0, \"a negative value\");\n    totals.rows++;\n",
        )],
    );
    let text = std::fs::read_to_string(home.path(SOURCE)).unwrap();
    let line = text.lines().position(|line| line.contains("assert("));
    let said = format!("index.ts:{}:5: a negative value", line.unwrap() + 1);
    let done = home.refrain(&["plugin", "test", "made"]).code(2);
    done.says(&["fold.update", "it said: ", &said, "taken -4"]);
    let inspect = ["plugin", "inspect", "made", "--output", "json"];
    let imports = || home.refrain(&inspect).ok().json()["imports"].to_string();
    assert!(imports().contains("no function imports"), "{}", imports());
    home.refrain(&["plugin", "build", "made", "--talk"]).ok();
    assert!(imports().contains("logging"), "{}", imports());
}

#[test]
#[ignore = "needs the compiler of AssemblyScript"]
fn a_field_of_the_other_input_is_not_read() {
    let home = made("process");
    home.refrain(&["plugin", "build", "made", "--talk"]).ok();
    change(
        &home,
        &[(
            "customer.orderId = orderId.value;",
            "customer.orderId = paidId.value;",
        )],
    );
    let done = home.refrain(&["plugin", "test", "made"]).code(2);
    done.says(&["a field of an input that the row at hand is not of"]);
}

#[test]
#[ignore = "needs the compiler of AssemblyScript"]
fn a_state_that_the_collector_would_have_is_refused_by_the_build() {
    let home = made("fold");
    change(&home, &[("@unmanaged\n", "")]);
    home.refrain(&["plugin", "build", "made"]).code(2).says(&[
        "a state is an @unmanaged class of numbers",
        "does not compile",
    ]);
}
