//! The laws of the contract that the SDK keeps for the author of a process.

use crate::bindings::process_plugin::exports::refrain::plugin::process::Part;
use crate::inputs::Inputs;
use crate::prelude::*;
use crate::process::Keys;

#[derive(Row)]
struct Put {
    amount: i64,
}

#[derive(Row)]
struct Note<'a> {
    text: &'a str,
    at: Option<Timestamp>,
}

#[derive(Inputs)]
enum Desk<'a> {
    /// What is put there.
    Puts(Put),
    #[input(name = "remarks")]
    Notes(Note<'a>),
}

#[state]
#[derive(Default, Debug, PartialEq)]
struct Pile {
    sum: i64,
    fired: Vec<i64>,
}

#[derive(Row, Debug, PartialEq)]
struct Said {
    place: i64,
    text: String,
}

/// A pile that timers and words come to.
#[derive(Plugin)]
struct Piles;

impl Process for Piles {
    type Input<'a> = Desk<'a>;
    type State = Pile;
    type Output = Said;
    const VIEW_KEY: &'static [&'static str] = &["place"];

    fn check(&self, pile: &Pile, row: &Desk<'_>, now: Moment) -> Result<(), Reject> {
        match row {
            Desk::Puts(put) if pile.sum + put.amount < 0 => Err("there is not so much".into()),
            Desk::Notes(_) if now.time < now.watermark => Err("late".into()),
            _ => Ok(()),
        }
    }

    fn process(&self, pile: &mut Pile, row: Desk<'_>, context: &mut Context<Said>) {
        match row {
            Desk::Puts(put) => {
                pile.sum += put.amount;
                let text = format!("{} at {}", pile.sum, context.time().0);
                context.emit(Said { place: 0, text });
            }
            Desk::Notes(Note { text: "forget", .. }) => context.delete(Said {
                place: 0,
                text: String::new(),
            }),
            Desk::Notes(Note { text, at }) => match at {
                Some(at) if text == "clear" => context.clear_timer(at),
                Some(at) => context.set_timer(at),
                None => context.emit(Said {
                    place: 1,
                    text: text.to_string(),
                }),
            },
        }
    }

    fn fire(&self, pile: &mut Pile, context: &mut Context<Said>) {
        pile.fired.push(context.time().0);
        if context.time().0 == 20 {
            // in the past already: with the next step
            context.set_timer(Timestamp(5));
        }
    }
}

export_process!(Piles);

fn put(amount: i64) -> Desk<'static> {
    Desk::Puts(Put { amount })
}

fn timer(text: &'static str, at: i64) -> Desk<'static> {
    let at = Some(Timestamp(at));
    Desk::Notes(Note { text, at })
}

fn say(text: &'static str) -> Desk<'static> {
    Desk::Notes(Note { text, at: None })
}

fn said(place: i64, text: &str) -> Said {
    let text = text.to_string();
    Said { place, text }
}

fn piles() -> TestProcess<Piles> {
    TestProcess::new(Piles).timer_step_us(10)
}

#[test]
fn inputs_are_named_as_the_enum_says() {
    let inputs: Vec<_> = Desk::INPUTS
        .iter()
        .map(|input| (input.name, input.doc, input.fields.len()))
        .collect();
    assert_eq!(
        inputs,
        [("puts", "What is put there.", 1), ("remarks", "", 2)]
    );
}

#[test]
fn rows_of_all_inputs_come_in_log_order_and_to_their_keys() {
    let at = Timestamp(7);
    let rows = [
        ("a", at, put(1)),
        ("b", at, say("x")),
        ("a", at, say("y")),
        ("a", at, put(2)),
        ("b", at, put(5)),
    ];
    let test = piles().rows_in_one_call(rows);
    let expected = [
        ("a", &said(0, "1 at 7")),
        ("b", &said(1, "x")),
        ("a", &said(1, "y")),
        ("a", &said(0, "3 at 7")),
        ("b", &said(0, "5 at 7")),
    ];
    assert_eq!(test.rows(), expected);
    assert_eq!(test.view("a"), [&said(0, "3 at 7"), &said(1, "y")]);
}

#[test]
fn a_refused_row_leaves_no_trace() {
    let at = Timestamp(0);
    let rows = [("a", at, put(3)), ("a", at, put(-4)), ("a", at, put(1))];
    let test = piles().rows_in_one_call(rows);
    assert_eq!(test.rejects(), [("a", "there is not so much")]);
    assert_eq!(test.state("a").sum, 4);
    assert_eq!(test.rows().len(), 2);
}

#[test]
fn a_deleted_row_is_gone_from_the_view() {
    let test = piles()
        .row("a", Timestamp(0), put(3))
        .row("a", Timestamp(0), say("x"))
        .row("a", Timestamp(0), say("forget"));
    assert_eq!(test.view("a"), [&said(1, "x")]);
}

#[test]
fn timers_fire_at_steps_in_order_of_time_and_key() {
    let set = |test: TestProcess<Piles>, key: &str, at| test.row(key, Timestamp(0), timer("", at));
    let mut test = piles();
    for (key, at) in [("b", 12), ("a", 12), ("a", 11), ("a", 12), ("b", 31)] {
        test = set(test, key, at);
    }
    test = test.watermark(Timestamp(19));
    assert_eq!(test.state("a"), Pile::default());
    test = test.watermark(Timestamp(20));
    assert_eq!(test.state("a").fired, [11, 12]);
    assert_eq!(test.state("b").fired, [12]);
    assert_eq!(test.timers("b"), [Timestamp(31)]);
    test = test.row("b", Timestamp(40), timer("clear", 31));
    assert_eq!(test.watermark(Timestamp(50)).state("b").fired, [12]);
}

#[test]
fn a_timer_set_while_timers_fire_waits_for_the_next_step() {
    let test = piles()
        .row("a", Timestamp(0), timer("", 20))
        .watermark(Timestamp(25));
    assert_eq!(test.state("a").fired, [20]);
    assert_eq!(test.watermark(Timestamp(30)).state("a").fired, [20, 5]);
}

#[test]
fn the_watermark_never_goes_back_and_is_a_step() {
    let test = piles()
        .watermark(Timestamp(29))
        .watermark(Timestamp(11))
        .row("a", Timestamp(20), say("in time"))
        .row("a", Timestamp(19), say("late"));
    assert_eq!(test.rejects(), [("a", "late")]);
}

#[test]
fn an_initial_state_saves_as_no_bytes_and_its_key_is_forgotten() {
    let mut keys = Keys::<Piles>::new().unwrap();
    assert_eq!(keys.save(&[0, 5]).unwrap().ends, [0, 0]);
    let test = piles().row("a", Timestamp(0), put(3));
    assert_eq!(test.keys(), ["a"]);
    let test = test.row("a", Timestamp(0), put(-3));
    assert_eq!(test.keys(), [""; 0]);
    let test = test.row("a", Timestamp(0), timer("", 3));
    assert_eq!(test.keys(), ["a"]);
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let rows = |amounts: &[i64]| {
        let mut writer = crate::row::Writer::new();
        amounts
            .iter()
            .for_each(|amount| writer.push(Put { amount: *amount }));
        writer.finish()
    };
    let none = || {
        let (_, mut notes) = say("x").write();
        notes.count = 0;
        notes.columns = Vec::new();
        Part {
            rows: notes,
            slots: Vec::new(),
            times: Vec::new(),
        }
    };
    let puts = |slots: &[u32], times: &[i64]| Part {
        rows: rows(&[1, 2]),
        slots: slots.to_vec(),
        times: times.to_vec(),
    };
    let mut keys = Keys::<Piles>::new().unwrap();
    let mut call = |parts: Vec<Part>, order: &[u32]| {
        keys.process(&Piles, &parts, order, 0)
            .err()
            .unwrap_or_default()
    };
    let parts = "another number of parts than there are inputs";
    assert!(call(vec![puts(&[0, 0], &[1, 1])], &[]).contains(parts));
    let lengths = "another number of slots or times than rows";
    assert!(call(vec![puts(&[0], &[1, 1]), none()], &[0, 0]).contains(lengths));
    assert!(call(vec![puts(&[0, 0], &[]), none()], &[0, 0]).contains(lengths));
    let order = "an order that names other rows";
    assert!(call(vec![puts(&[0, 0], &[1, 1]), none()], &[0, 1]).contains(order));
    assert!(call(vec![puts(&[0, 0], &[1, 1]), none()], &[0, 9]).contains(order));
    let order = "an order of another length";
    assert!(call(vec![puts(&[0, 0], &[1, 1]), none()], &[0]).contains(order));
}

#[state]
#[derive(Default)]
struct OldPile {
    sum: i64,
}

impl MigrateProcess for Piles {
    fn migrate(&self, from: u32, saved: Saved<'_>) -> Result<Pile, String> {
        let OldPile { sum } = saved.read()?;
        match from {
            1 => Ok(Pile {
                sum,
                fired: Vec::new(),
            }),
            other => Err(format!("version {other} is not known")),
        }
    }
}

/// As many as came, in their order; what is as it began stays nothing, before and after.
#[test]
fn states_of_an_older_version_are_taken_over() {
    let mut old = crate::bindings::Spans {
        ends: vec![0],
        bytes: Vec::new(),
    };
    for sum in [7, 0, 9] {
        crate::codec::encode(&OldPile { sum }, &mut old.bytes).unwrap();
        old.ends.push(old.bytes.len() as u32);
    }
    let new = super::migrate(&Piles, 1, &old).unwrap();
    let mut start = 0;
    let piles: Vec<Option<i64>> = new
        .ends
        .iter()
        .map(|end| {
            let bytes = &new.bytes[start..*end as usize];
            start = *end as usize;
            (!bytes.is_empty()).then(|| crate::codec::decode::<Pile>(bytes).unwrap().sum)
        })
        .collect();
    assert_eq!(piles, [None, Some(7), None, Some(9)]);
    assert_eq!(
        super::migrate(&Piles, 5, &old).unwrap_err(),
        "version 5 is not known"
    );
}
