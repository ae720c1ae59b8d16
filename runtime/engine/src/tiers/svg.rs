//! The graph with its freshness as a picture: columns from sources to consumers, each edge with its label. Nothing but
//! text and shapes, readable on a light and on a dark page.

use std::collections::BTreeMap;

use super::planner::Tiers;
use super::words::{span, span_or_dash};

const COLUMN: i32 = 200;
const GAP: i32 = 190;
const BOX: i32 = 62;
const ROW: i32 = 96;
const MARGIN: i32 = 24;

/// Where a box stands.
#[derive(Clone, Copy)]
struct Place {
    column: i32,
    row: i32,
}

impl Place {
    fn x(self) -> i32 {
        MARGIN + self.column * (COLUMN + GAP)
    }

    fn y(self) -> i32 {
        MARGIN + self.row * ROW
    }

    fn middle(self) -> i32 {
        self.y() + BOX / 2
    }
}

/// Which box: a topic, a node, a consumer.
type Name<'a> = (char, &'a str);

/// Draws it.
pub fn svg(tiers: &Tiers, sources: &[String]) -> String {
    let places = places(tiers, sources);
    let columns = places.values().map(|p| p.column).max().unwrap_or(0) + 1;
    let rows = places.values().map(|p| p.row).max().unwrap_or(0) + 1;
    let width = 2 * MARGIN + columns * COLUMN + (columns - 1) * GAP;
    let height = 2 * MARGIN + rows * ROW - (ROW - BOX);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n<title>Freshness of the pipeline</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" \
         refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#555\"/></marker></defs>\n"
    );
    edges(&mut out, tiers, &places);
    boxes(&mut out, tiers, sources, &places);
    out.push_str("</svg>\n");
    out
}

/// Sources first, each node a column after the last of its inputs, consumers in the last column. A row is that of the
/// first input where it is free, else the next free one.
fn places<'a>(tiers: &'a Tiers, sources: &'a [String]) -> BTreeMap<Name<'a>, Place> {
    let mut places: BTreeMap<Name, Place> = BTreeMap::new();
    let mut taken: Vec<Vec<i32>> = vec![Vec::new(); tiers.nodes.len() + 2];
    let mut put = |places: &mut BTreeMap<Name<'a>, Place>, name, column: usize, wanted: i32| {
        let mut row = wanted;
        while taken[column].contains(&row) {
            row += 1;
        }
        taken[column].push(row);
        let column = i32::try_from(column).unwrap_or(i32::MAX);
        places.insert(name, Place { column, row });
    };
    for (row, source) in sources.iter().enumerate() {
        put(&mut places, ('t', source.as_str()), 0, row as i32);
    }
    for node in &tiers.nodes {
        let inputs = tiers
            .edges
            .iter()
            .filter(|e| !e.consumer && e.to == node.name);
        let inputs: Vec<Place> = inputs.filter_map(|e| origin(&places, &e.from)).collect();
        let column = inputs.iter().map(|p| p.column).max().unwrap_or(0) + 1;
        let row = inputs.iter().map(|p| p.row).min().unwrap_or(0);
        put(&mut places, ('n', node.name.as_str()), column as usize, row);
    }
    let last = places.values().map(|p| p.column).max().unwrap_or(0) as usize + 1;
    for consumer in &tiers.consumers {
        let row = places
            .get(&('n', consumer.node.as_str()))
            .map_or(0, |p| p.row);
        put(&mut places, ('c', consumer.name.as_str()), last, row);
    }
    places
}

fn origin(places: &BTreeMap<Name, Place>, name: &str) -> Option<Place> {
    let topic = places.get(&('t', name));
    topic.or_else(|| places.get(&('n', name))).copied()
}

fn edges(out: &mut String, tiers: &Tiers, places: &BTreeMap<Name, Place>) {
    for edge in &tiers.edges {
        let kind = if edge.consumer { 'c' } else { 'n' };
        let (Some(from), Some(to)) = (
            origin(places, &edge.from),
            places.get(&(kind, edge.to.as_str())),
        ) else {
            continue;
        };
        let late =
            matches!((edge.required_us, edge.achieved_us), (Some(need), Some(got)) if got > need);
        let colour = if late { "#b00020" } else { "#555" };
        let (x1, y1, x2, y2) = (from.x() + COLUMN, from.middle(), to.x() - 2, to.middle());
        // The label stands in the gap before the box that it leads to, where no box is.
        let (gap, way) = (x2 - GAP, format!("{} {}", x2 - GAP + 20, y2));
        let line = match gap > x1 + 10 {
            true => format!("M{x1} {y1} L{gap} {y1} L{way} L{x2} {y2}"),
            false => format!("M{x1} {y1} L{way} L{x2} {y2}"),
        };
        out.push_str(&format!(
            "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" marker-end=\"url(#tip)\"/>\n"
        ));
        let x = x2 - 8;
        let tier = edge
            .tier
            .as_deref()
            .map_or("no tier".into(), |t| format!("tier {t}"));
        let got = match edge.achieved_us {
            Some(0) => "as it comes".into(),
            Some(us) => format!("≤ {} old · {tier}", span(us)),
            None => "age unknown".into(),
        };
        let need = edge
            .required_us
            .map_or("no need".into(), |us| format!("needed {}", span(us)));
        text(out, x, y2 - 6, "end", colour, &got);
        text(out, x, y2 + 16, "end", "#777", &need);
    }
}

fn boxes(out: &mut String, tiers: &Tiers, sources: &[String], places: &BTreeMap<Name, Place>) {
    for source in sources {
        let Some(place) = places.get(&('t', source.as_str())) else {
            continue;
        };
        frame(out, *place, "#e8f0fe", "#3367d6", 4);
        lines(out, *place, &[source.clone(), "source topic".into()]);
    }
    for node in &tiers.nodes {
        let Some(place) = places.get(&('n', node.name.as_str())) else {
            continue;
        };
        frame(out, *place, "#f1f3f4", "#5f6368", 4);
        let auto = if node.auto { " (auto)" } else { "" };
        let how = if node.measured { "measured" } else { "assumed" };
        let lines_of = [
            node.name.clone(),
            format!("{}{auto}", node.rhythm),
            format!("takes {}, {how}", span(node.took_us)),
        ];
        lines(out, *place, &lines_of);
    }
    for consumer in &tiers.consumers {
        let Some(place) = places.get(&('c', consumer.name.as_str())) else {
            continue;
        };
        let late = consumer.slack_us.is_some_and(|us| us < 0);
        let colours = if late {
            ("#fce8e6", "#b00020")
        } else {
            ("#e6f4ea", "#188038")
        };
        frame(out, *place, colours.0, colours.1, BOX / 2);
        let lines_of = [
            consumer.name.clone(),
            format!(
                "needs {}, gets {}",
                span_or_dash(consumer.need_us),
                span_or_dash(consumer.achieved_us)
            ),
            format!("slack {}", span_or_dash(consumer.slack_us)),
        ];
        lines(out, *place, &lines_of);
    }
}

fn frame(out: &mut String, place: Place, fill: &str, stroke: &str, round: i32) {
    let (x, y) = (place.x(), place.y());
    out.push_str(&format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{COLUMN}\" height=\"{BOX}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{stroke}\"/>\n"
    ));
}

fn lines(out: &mut String, place: Place, lines: &[String]) {
    let x = place.x() + COLUMN / 2;
    let top = place.middle() + 4 - (lines.len() as i32 - 1) * 8;
    for (i, line) in lines.iter().enumerate() {
        let colour = if i == 0 { "#111" } else { "#555" };
        text(out, x, top + i as i32 * 16, "middle", colour, line);
    }
}

fn text(out: &mut String, x: i32, y: i32, anchor: &str, colour: &str, text: &str) {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    out.push_str(&format!(
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n"
    ));
}
