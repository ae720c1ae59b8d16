//! A name that is not there: said with the nearest one there is, and with what there is at all.

/// What to do when there is no view at all.
pub const NO_VIEWS: &str = "no node has run yet; start with `refrain run --once`";

/// How many names a message lists.
const LISTED_MAX: usize = 20;
/// Names less alike than this are no suggestion.
const ALIKE_MIN: f64 = 0.7;

/// A sentence about a name that is not there. `none` says what to do when there is nothing of the kind at all.
pub fn unknown<'a>(
    what: &str,
    name: &str,
    all: impl IntoIterator<Item = &'a str>,
    none: &str,
) -> String {
    let all: Vec<&str> = all.into_iter().collect();
    if all.is_empty() {
        return format!("there is no {what} {name}: {none}");
    }
    let hint = match nearest(name, all.iter().copied()) {
        Some(other) => format!("; did you mean {other}? There are"),
        None => "; there are".to_owned(),
    };
    format!("there is no {what} {name}{hint}: {}", listed(&all))
}

/// The name most like this one; none: none is like it.
pub fn nearest<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let best = all.into_iter().max_by(|a, b| {
        // The earlier of two that are as near.
        alike(a).total_cmp(&alike(b)).then(b.cmp(a))
    });
    best.filter(|other| alike(other) > ALIKE_MIN)
}

fn listed(all: &[&str]) -> String {
    let shown = all[..all.len().min(LISTED_MAX)].join(", ");
    match all.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_all_are_listed() {
        let cases = [
            (
                "evnts",
                &["events", "views"][..],
                "there is no topic evnts; did you mean events? There are: events, views",
            ),
            (
                "EVENTS",
                &["events"],
                "there is no topic EVENTS; did you mean events? There are: events",
            ),
            (
                "x",
                &["events", "views"],
                "there is no topic x; there are: events, views",
            ),
            ("x", &[], "there is no topic x: declare one"),
        ];
        for (name, all, wanted) in cases {
            assert_eq!(
                unknown("topic", name, all.iter().copied(), "declare one"),
                wanted
            );
        }
    }

    #[test]
    fn long_lists_end_somewhere() {
        let names: Vec<String> = (0..50).map(|i| format!("t{i}")).collect();
        let text = unknown("topic", "zzz", names.iter().map(String::as_str), "");
        assert!(text.ends_with("t19 and 30 more"), "{text}");
    }
}
