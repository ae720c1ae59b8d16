//! What the command line says: help and errors as snapshots, garbage in, every form of output, names that are wrong.

use refrain_tests::{Done, EVENTS, Home, events_csv, events_jsonl, repository};

fn events() -> Home {
    Home::new(&format!("{EVENTS}2\n"))
}

/// Exit code and talk, without what differs from run to run.
fn told(home: &Home, done: &Done) -> String {
    let root = home.root().display().to_string();
    let code = done
        .code
        .map_or("killed".to_string(), |code| code.to_string());
    let text = format!("exit code {code}\n{}{}", done.out, done.err);
    // Where long lines are folded depends on where the temp folder is.
    text.replace("\n  │ ", " ").replace(&root, "PROJECT")
}

/// Names of the commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    // What a name does may take several lines; those are indented further.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split_once(' '));
    let names = names.map(|(name, _)| name);
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

/// The help of a command and of all below it.
fn collect_help(home: &Home, command: &[String], text: &mut String, count: &mut usize) {
    let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
    words.push("--help");
    let done = home.refrain(&words).ok();
    let shown = words.join(" ");
    assert!(done.out.contains("Example"), "{shown} shows no example");
    text.push_str(&format!("$ refrain {shown}\n{}\n", done.out));
    *count += 1;
    for name in commands_in(&done.out) {
        collect_help(home, &[command, &[name]].concat(), text, count);
    }
}

#[test]
fn every_command_has_its_help() {
    let (mut text, mut count) = (String::new(), 0);
    collect_help(&events(), &[], &mut text, &mut count);
    assert!(count > 50, "only {count} commands were found");
    insta::assert_snapshot!(text);
}

#[test]
fn wrong_words_are_told_with_what_to_do() {
    let home = events();
    home.write("events.csv", events_csv(41, 10));
    let lines = [
        "topic append evnts events.csv",
        "topic append events events.txt",
        "topic append events missing.csv",
        "topic append events",
        "topic read evnts",
        "topic read events --partition 7",
        "topic read events --from yesterday",
        "topic describe nothing",
        "view get engagement 1",
        "view digest engagement",
        "view export engagement out.txt",
        "run --once --node nobody",
        "run --workers 0",
        "run --workers two",
        "topic read events --limit 99999999999999999999",
        "plugin inspect missing",
        "plugin build missing",
        "topics",
        "topic raed events",
        "check --output yaml",
        "init .",
    ];
    let mut text = String::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = home.refrain(&words);
        assert!(
            done.code.is_some_and(|code| code == 2 || code == 1),
            "{line}: {done:?}"
        );
        text.push_str(&format!("$ refrain {line}\n{}\n", told(&home, &done)));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_wrong_pipeline_file_is_told_by_line() {
    let files = [
        ("an unknown key", "[topic.a]\nschema = { x = \"i64\" }\npartitoins = 2\n".to_string()),
        ("an unknown topic", format!("{EVENTS}1\n[node.n]\nplugin = \"views_only\"\ninput = \"evnets\"\ntopic = \"views\"\n")),
        ("a missing plugin", format!("{EVENTS}1\n[node.n]\nplugin = \"view_only\"\ninput = \"events\"\ntopic = \"views\"\n")),
        ("no TOML", "[topic.a\n".to_string()),
        ("a field that is not there", "[topic.events]\nschema = { content_id = \"i64\" }\n[node.n]\nplugin = \"views_only\"\ninput = \"events\"\ntopic = \"views\"\n".to_string()),
    ];
    let mut text = String::new();
    for (what, file) in files {
        let home = Home::new(&file).with_plugins(&["views_only"]);
        let done = home.refrain(&["check"]).code(2);
        text.push_str(&format!("== {what}\n{}\n", told(&home, &done)));
        home.run().code(2);
    }
    insta::assert_snapshot!(text);
}

const GARBAGE: &str = "event_time,content_id,user_id,kind,watch_ms
1700000000000,1,1,view,5
1700000000001,one,1,view,5
not a time,1,1,view,5
1700000000002,1,1
1700000000003,2,1,\"a, b\",5
99999999999999999,1,1,view,5
1700000000004,9223372036854775808,1,view,5
";

#[test]
fn rows_that_do_not_decode_are_told_by_line_and_kept() {
    let home = events();
    home.write("garbage.csv", GARBAGE);
    let done = home.append("events", "garbage.csv", "g").ok();
    let rejected = home.refrain(&["topic", "read", "events.rejected", "--output", "json"]);
    let text = format!("{}\n{}", told(&home, &done), rejected.ok().out);
    insta::assert_snapshot!(text);
    home.append("events", "garbage.csv", "g")
        .ok()
        .says(&["0 rows appended"]);
    assert_eq!((home.rows("events"), home.rows("events.rejected")), (2, 5));

    let strict = events();
    strict.write("garbage.csv", GARBAGE);
    let done = strict.refrain(&["topic", "append", "events", "garbage.csv", "--strict"]);
    done.code(2)
        .says(&["garbage.csv, line 3", "nothing of the input was kept"]);
    // Not even the rows of files before it, or far before it.
    strict.write("good.csv", events_csv(45, 50_000));
    let both = [
        "topic",
        "append",
        "events",
        "good.csv",
        "garbage.csv",
        "--strict",
    ];
    strict.refrain(&both).code(2).says(&["garbage.csv, line 3"]);
    assert_eq!(strict.rows("events"), 0);
    let piped = ["topic", "append", "events", "--format", "csv", "--strict"];
    strict
        .refrain(&piped)
        .code(2)
        .says(&["--strict reads its input twice"]);
    strict
        .refrain(&["topic", "append", "events", "good.csv", "--strict"])
        .ok();
    assert_eq!(strict.rows("events"), 50_000);
}

#[test]
fn csv_and_json_lines_give_the_same_rows() {
    let (csv, jsonl) = (events(), events());
    csv.write("events.csv", events_csv(42, 2_000));
    jsonl.write("events.jsonl", events_jsonl(42, 2_000));
    csv.append("events", "events.csv", "p").ok();
    jsonl.append("events", "events.jsonl", "p").ok();
    assert_eq!(csv.topic_text("events"), jsonl.topic_text("events"));
}

#[test]
fn a_producer_may_repeat_and_go_on() {
    let home = events();
    home.write("part.csv", events_csv(43, 700));
    home.write("whole.csv", events_csv(43, 1_000));
    home.append("events", "part.csv", "p")
        .ok()
        .says(&["700 rows appended"]);
    let again = home.append("events", "whole.csv", "p").ok();
    again.says(&[
        "300 rows appended, 700 were there already",
        "all input up to row 1,000 is acknowledged",
    ]);
    home.append("events", "part.csv", "q")
        .ok()
        .says(&["700 rows appended;"]);
    assert_eq!(home.rows("events"), 1_700);
}

#[test]
fn keys_may_be_of_any_script() {
    let home = Home::new("[topic.números]\nschema = { id = \"text\" }\n");
    home.refrain(&["check"]).code(2);
    let home = Home::new(
        "[topic.words]\nschema = { word = \"text\", value = \"i64\" }\nkey = [\"word\"]\npartitions = 3\n[node.bad]\nplugin = \"bad\"\ninput = \"words\"\nkey = [\"word\"]\nview = \"bad\"\n",
    );
    home.write("plugins/bad.wasm", crate::guest("bad.wasm"));
    let words = [
        "naïve",
        "日本語",
        "🦀",
        "e\u{301}",
        "é",
        "\"quoted\"",
        "a,b",
        " ",
    ];
    let mut text = "word,value\n".to_string();
    for (i, word) in words.iter().enumerate() {
        text.push_str(&format!("\"{}\",{i}\n", word.replace('"', "\"\"")));
    }
    home.write("words.csv", text);
    home.append("words", "words.csv", "p").ok();
    home.run().ok();
    assert_eq!(home.view("bad").len(), words.len());
    for (i, word) in words.iter().enumerate() {
        let row = home
            .refrain(&["view", "get", "bad", word, "--output", "json"])
            .ok()
            .json();
        assert_eq!(
            (row[0]["word"].as_str(), row[0]["sum"].as_u64()),
            (Some(*word), Some(i as u64))
        );
    }
}

#[test]
fn a_new_project_works_as_it_says() {
    let place = Home::new("");
    let done = place.refrain(&["init", "shop"]).ok();
    done.says(&["made shop", "refrain plugin new"]);
    let shop = Home::at(&place.path("shop"));
    shop.refrain(&["check"]).ok();
    shop.refrain(&["plugin", "new", "totals"]).ok();
    shop.refrain(&["plugin", "build", "totals"]).ok();
    let component = std::fs::read(shop.path("plugins/totals.wasm")).unwrap();
    let root = shop.root().display().to_string();
    let told = component
        .windows(root.len())
        .any(|at| at == root.as_bytes());
    assert!(!told, "a component says where it was built: {root}");
    let file = std::fs::read_to_string(shop.path("refrain.toml")).unwrap();
    let lines = file.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || rest.contains(" = ") => rest,
        _ => line,
    });
    shop.write("refrain.toml", lines.collect::<Vec<_>>().join("\n"));
    shop.refrain(&["check"]).ok();
    shop.write(
        "e.jsonl",
        "{\"time\":\"2026-01-01T00:00:00Z\",\"id\":1,\"kind\":\"a\",\"value\":2}\n",
    );
    shop.append("events", "e.jsonl", "p").ok();
    shop.run().ok();
    assert_eq!(shop.view("totals").len(), 1);
}

/// Commands of ```console blocks without what is said of them, those of `refrain` only; the demo has a test of its own.
fn commands_of(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            let command = command.split("  #").next().unwrap_or_default();
            commands.push(command.trim_end().to_string());
        }
    }
    commands.retain(|command| command.starts_with("refrain ") && !command.contains(" demo"));
    commands
}

/// All pages for users, by name.
fn pages() -> Vec<(String, String)> {
    let root = repository();
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.chain([root.join("README.md")]);
    let mut pages: Vec<_> = pages
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    pages.sort();
    pages
}

#[test]
fn what_the_pages_type_exists() {
    let home = events();
    for (page, text) in pages() {
        for command in commands_of(&text) {
            let words = command.split_whitespace().skip(1);
            let words = words.map(|word| word.trim_matches(['\'', '"']));
            let mut words: Vec<&str> = words
                .take_while(|word| !["|", ">", "&&", "&", "#"].contains(word))
                .collect();
            // What follows the name of a node is its rhythm, whatever it is.
            let place = if words[0] == "rhythm" { 1 } else { words.len() };
            words.insert(place, "--help");
            let done = home.refrain(&words);
            assert_eq!(done.code, Some(0), "{page}: {command}: {}", done.err);
        }
    }
}

/// The page for three in the morning, literally, on a project that has run.
#[test]
fn what_the_page_for_operators_types_works() {
    let home = Home::engagement();
    home.write("events.csv", events_csv(46, 2_000));
    home.append("events", "events.csv", "p").ok();
    home.run().ok();
    let page = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let commands = commands_of(&page);
    assert!(commands.len() >= 2, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        home.refrain(&words).ok();
    }
}

/// Rejected rows of flights are mended as docs/cli.md says, literally but for the editor.
#[test]
fn what_the_page_on_rejected_rows_types_works() {
    let home = Home::new(
        "[topic.flights]\nschema = { date = \"timestamp\", delay = \"i64\", distance = \"i64\", origin = \"text\", destination = \"text\" }\n",
    );
    home.write(
        "flights.csv",
        "date,delay,distance,origin,destination\n2001-01-06,late,300,ORD,JFK\n",
    );
    home.append("flights", "flights.csv", "p").ok();
    let page = std::fs::read_to_string(repository().join("docs/cli.md")).unwrap();
    let commands = commands_of(&page);
    let mut commands: Vec<&String> = commands
        .iter()
        .filter(|c| c.contains("mend.jsonl"))
        .collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let run = |command: &String| {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        home.refrain(&words).ok()
    };
    run(commands.remove(0));
    let text = std::fs::read_to_string(home.path("mend.jsonl")).unwrap();
    home.write("mend.jsonl", text.replace("\"late\"", "75"));
    run(commands.remove(0)).says(&["1 rows would be appended again"]);
    run(commands.remove(0)).says(&["1 rows appended again"]);
    assert_eq!(home.topic("flights")[0]["delay"], 75);
}

#[test]
fn data_and_names_give_a_terminal_no_commands() {
    let home = events();
    home.write("odd.csv", b"a\x1b[2Jb,c\n1,2\n");
    let done = home.append("events", "odd.csv", "p").code(2);
    assert!(!done.err.contains('\x1b'), "{}", done.err);
    home.write("long.jsonl", format!("{{\"event_time\":1,\"content_id\":1,\"user_id\":1,\"kind\":\"\x7f{}\",\"watch_ms\":1}}\n", "x".repeat(100_000)));
    home.append("events", "long.jsonl", "p").ok();
    let table = home.refrain(&["topic", "read", "events"]).ok().out;
    assert!(
        table.contains("(100001 characters)") && table.len() < 10_000 && !table.contains('\x7f')
    );
    let json = home
        .refrain(&["topic", "read", "events", "--output", "json"])
        .ok()
        .json();
    assert_eq!(json[0]["kind"].as_str().unwrap().len(), 100_001);
}
