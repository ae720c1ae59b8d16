//! Spans of time for people.

const UNITS: [(&str, i64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// A span of time in its two largest units, such as `1h 1s`, `25h` or `100ms`; less than a thousandth of it is left out.
pub fn span(us: i64) -> String {
    let (sign, us) = if us < 0 { ("-", -us) } else { ("", us) };
    if (86_400_000_000..3 * 86_400_000_000).contains(&us) {
        return format!("{sign}{}", two(us, &UNITS[1..]));
    }
    format!("{sign}{}", two(us, &UNITS))
}

fn two(us: i64, units: &[(&str, i64)]) -> String {
    let Some(first) = units.iter().position(|(_, size)| us >= *size) else {
        return "0s".into();
    };
    let (name, size) = units[first];
    let mut text = format!("{}{name}", us / size);
    let mut rest = us % size;
    for (name, size) in &units[first + 1..] {
        if rest >= *size && rest * 1000 >= us {
            text.push_str(&format!(" {}{name}", rest / size));
            break;
        }
        rest %= size;
    }
    text
}

/// The same, or a dash for what nobody knows.
pub fn span_or_dash(us: Option<i64>) -> String {
    us.map_or("-".into(), span)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans() {
        let table = [
            (0, "0s"),
            (100_000, "100ms"),
            (1_100_000, "1s 100ms"),
            (61_000_000, "1m 1s"),
            (86_401_000_000, "24h"),
            (93_600_000_000, "26h"),
            (-90_000_000, "-1m 30s"),
            (3_601_000_000, "1h"),
            (604_800_000_000, "7d"),
        ];
        for (us, text) in table {
            assert_eq!(span(us), text);
        }
    }
}
