//! The graph with its freshness as a picture: columns from sources to consumers, each edge with its label. Nothing but
//! text and shapes, readable on a light and on a dark page.

use std::collections::BTreeMap;

use super::planner::{ConsumerTier, EdgeTier, NodeTier, Tiers};
use super::words::{span, span_or_dash};

/// Narrowest box, and narrowest gap between columns; what is written may need more.
const COLUMN_MIN: i32 = 200;
const GAP_MIN: i32 = 190;
/// Lowest box: three lines.
const BOX_MIN: i32 = 62;
/// Height of a box for each edge that ends at it, so that their labels have places of their own.
const PORT: i32 = 38;
/// Between boxes of a column.
const BETWEEN: i32 = 34;
/// Lines that pass by between two rows: heights, and what is between those.
const LANES: i32 = 5;
const LANE: i32 = 3;
const MARGIN: i32 = 24;
/// Width of a character, counted generously.
const LETTER: i32 = 7;

/// Where a box stands.
#[derive(Clone, Copy)]
struct Place {
    column: usize,
    row: usize,
    /// Edges that end at it.
    ports: i32,
}

/// Which box: a topic, a node, a consumer.
type Name<'a> = (char, &'a str);

/// Boxes in columns and rows, and how much space each needs.
struct Layout<'a> {
    places: BTreeMap<Name<'a>, Place>,
    column: i32,
    gap: i32,
    /// Top of each row; last the end of all.
    tops: Vec<i32>,
}

impl<'a> Layout<'a> {
    fn new(tiers: &'a Tiers, sources: &'a [String]) -> Layout<'a> {
        let places = places(tiers, sources);
        let rows = places.values().map(|p| p.row + 1).max().unwrap_or(0);
        let mut tops = vec![MARGIN];
        for row in 0..rows {
            let own = places.values().filter(|p| p.row == row);
            let height = own.map(|p| height(*p)).max().unwrap_or(BOX_MIN);
            tops.push(tops[row] + height + BETWEEN);
        }
        let written = tiers.edges.iter().flat_map(|e| [got(e), need(e)]);
        let gap = written.map(|text| width(&text) + 40).max().unwrap_or(0);
        let boxes = boxes(tiers, sources).flat_map(|(_, b)| b.lines);
        let column = boxes.map(|line| width(&line) + 20).max().unwrap_or(0);
        Layout {
            places,
            column: column.max(COLUMN_MIN),
            gap: gap.max(GAP_MIN),
            tops,
        }
    }

    fn x(&self, place: Place) -> i32 {
        MARGIN + place.column as i32 * (self.column + self.gap)
    }

    fn y(&self, place: Place) -> i32 {
        self.tops[place.row]
    }

    fn middle(&self, place: Place) -> i32 {
        self.y(place) + height(place) / 2
    }

    /// Where the edge of that number ends at a box: each at a height of its own.
    fn port(&self, place: Place, number: i32) -> i32 {
        let above = number * 2 + 1 - place.ports;
        self.middle(place) + above * PORT / 2
    }

    /// The height of a line of that number, from 1, under the row of a box. Many share few heights.
    fn lane(&self, place: Place, number: i32) -> i32 {
        let below = self.tops[place.row + 1] - BETWEEN;
        below + (BETWEEN / 2 + (number % LANES - LANES / 2) * LANE).clamp(LANE, BETWEEN - LANE)
    }

    fn size(&self) -> (i32, i32) {
        let columns = self.places.values().map(|p| p.column as i32 + 1).max();
        let columns = columns.unwrap_or(1);
        let width = 2 * MARGIN + columns * self.column + (columns - 1) * self.gap;
        let height = self.tops.last().copied().unwrap_or(MARGIN) - BETWEEN + MARGIN;
        (width, height)
    }

    fn origin(&self, name: &str) -> Option<Place> {
        origin(&self.places, name)
    }
}

fn height(place: Place) -> i32 {
    BOX_MIN.max(place.ports * PORT)
}

fn width(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX / LETTER) * LETTER
}

/// Draws it.
pub fn svg(tiers: &Tiers, sources: &[String]) -> String {
    let layout = Layout::new(tiers, sources);
    let (width, height) = layout.size();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n<title>Freshness of the pipeline</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" \
         refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#555\"/></marker></defs>\n"
    );
    draw_edges(&mut out, tiers, &layout);
    draw_boxes(&mut out, tiers, sources, &layout);
    out.push_str("</svg>\n");
    out
}

/// Sources first, each node a column after the last of its inputs, consumers in the last column. A row is that of the
/// first input where it is free, else the next free one.
fn places<'a>(tiers: &'a Tiers, sources: &'a [String]) -> BTreeMap<Name<'a>, Place> {
    let mut places: BTreeMap<Name, Place> = BTreeMap::new();
    let mut taken: Vec<Vec<usize>> = vec![Vec::new(); tiers.nodes.len() + 2];
    let mut put =
        |places: &mut BTreeMap<Name<'a>, Place>, name: Name<'a>, column: usize, wanted| {
            let mut row = wanted;
            while taken[column].contains(&row) {
                row += 1;
            }
            taken[column].push(row);
            let ends = |e: &&EdgeTier| is_end(e, name);
            let ports = tiers.edges.iter().filter(ends).count() as i32;
            places.insert(name, Place { column, row, ports });
        };
    for (row, source) in sources.iter().enumerate() {
        put(&mut places, ('t', source.as_str()), 0, row);
    }
    for node in &tiers.nodes {
        let name = ('n', node.name.as_str());
        let inputs = tiers.edges.iter().filter(|e| is_end(e, name));
        let inputs: Vec<Place> = inputs.filter_map(|e| origin(&places, &e.from)).collect();
        let column = inputs.iter().map(|p| p.column).max().unwrap_or(0) + 1;
        let row = inputs.iter().map(|p| p.row).min().unwrap_or(0);
        put(&mut places, name, column, row);
    }
    let last = places.values().map(|p| p.column).max().unwrap_or(0) + 1;
    for consumer in &tiers.consumers {
        let node = places.get(&('n', consumer.node.as_str()));
        let row = node.map_or(0, |p| p.row);
        put(&mut places, ('c', consumer.name.as_str()), last, row);
    }
    places
}

fn is_end(edge: &EdgeTier, (kind, name): Name) -> bool {
    edge.consumer == (kind == 'c') && kind != 't' && edge.to == name
}

fn origin(places: &BTreeMap<Name, Place>, name: &str) -> Option<Place> {
    let topic = places.get(&('t', name));
    topic.or_else(|| places.get(&('n', name))).copied()
}

/// How old what is read is at most.
fn got(edge: &EdgeTier) -> String {
    let tier = edge.tier.as_deref();
    let tier = tier.map_or("no tier".into(), |t| format!("tier {t}"));
    match edge.achieved_us {
        Some(0) => "as it comes".into(),
        Some(us) => format!("≤ {} old · {tier}", span(us)),
        None => "age unknown".into(),
    }
}

/// How old it may be.
fn need(edge: &EdgeTier) -> String {
    let needed = |us| format!("needed {}", span(us));
    edge.required_us.map_or("no need".into(), needed)
}

fn draw_edges(out: &mut String, tiers: &Tiers, layout: &Layout) {
    let mut used: BTreeMap<Name, i32> = BTreeMap::new();
    let mut lanes: BTreeMap<usize, i32> = BTreeMap::new();
    for edge in &tiers.edges {
        let name = (if edge.consumer { 'c' } else { 'n' }, edge.to.as_str());
        let (Some(from), Some(to)) = (layout.origin(&edge.from), layout.places.get(&name)) else {
            continue;
        };
        let number = used.entry(name).or_default();
        let end = (layout.x(*to) - 2, layout.port(*to, *number));
        *number += 1;
        let late =
            matches!((edge.required_us, edge.achieved_us), (Some(need), Some(got)) if got > need);
        let colour = if late { "#b00020" } else { "#555" };
        let begin = (layout.x(from) + layout.column, layout.middle(from));
        // One that passes by other columns does so between two rows, where no box is.
        let lane = (to.column > from.column + 1).then(|| {
            let taken = lanes.entry(from.row).or_default();
            *taken += 1;
            layout.lane(from, *taken)
        });
        draw_edge(out, (begin, end), lane, layout.gap, colour);
        let (x, y) = (end.0 - 8, end.1);
        text(out, x, y - 6, "end", colour, &got(edge));
        text(out, x, y + 15, "end", "#777", &need(edge));
    }
}

/// The label stands in the gap before the box that an edge leads to, where no box is.
fn draw_edge(
    out: &mut String,
    ((x1, y1), (x2, y2)): ((i32, i32), (i32, i32)),
    lane: Option<i32>,
    gap: i32,
    colour: &str,
) {
    let (turn, bend) = (x2 - gap, 20);
    let way = match lane {
        Some(y) => format!("L{} {y} L{turn} {y} ", x1 + bend),
        None => String::new(),
    };
    let line = format!("M{x1} {y1} {way}L{} {y2} L{x2} {y2}", turn + bend);
    out.push_str(&format!(
        "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" marker-end=\"url(#tip)\"/>\n"
    ));
}

/// What is written in a box, and how it looks.
struct Look {
    lines: Vec<String>,
    fill: &'static str,
    stroke: &'static str,
    round: i32,
}

fn boxes<'a>(
    tiers: &'a Tiers,
    sources: &'a [String],
) -> impl Iterator<Item = (Name<'a>, Look)> + 'a {
    let sources = sources
        .iter()
        .map(|source| (('t', source.as_str()), of_source(source)));
    let nodes = tiers
        .nodes
        .iter()
        .map(|n| (('n', n.name.as_str()), of_node(n)));
    let consumers = tiers.consumers.iter();
    let consumers = consumers.map(|c| (('c', c.name.as_str()), of_consumer(c)));
    sources.chain(nodes).chain(consumers)
}

fn of_source(name: &str) -> Look {
    Look {
        lines: vec![name.to_owned(), "source topic".into()],
        fill: "#e8f0fe",
        stroke: "#3367d6",
        round: 4,
    }
}

fn of_node(node: &NodeTier) -> Look {
    let auto = if node.auto { " (auto)" } else { "" };
    let how = if node.measured { "measured" } else { "assumed" };
    Look {
        lines: vec![
            node.name.clone(),
            format!("{}{auto}", node.rhythm),
            format!("takes {}, {how}", span(node.took_us)),
        ],
        fill: "#f1f3f4",
        stroke: "#5f6368",
        round: 4,
    }
}

fn of_consumer(consumer: &ConsumerTier) -> Look {
    let late = consumer.slack_us.is_some_and(|us| us < 0);
    let (fill, stroke) = match late {
        true => ("#fce8e6", "#b00020"),
        false => ("#e6f4ea", "#188038"),
    };
    let (need, got) = (consumer.need_us, consumer.achieved_us);
    Look {
        lines: vec![
            consumer.name.clone(),
            format!("needs {}, gets {}", span_or_dash(need), span_or_dash(got)),
            format!("slack {}", span_or_dash(consumer.slack_us)),
        ],
        fill,
        stroke,
        round: BOX_MIN / 2,
    }
}

fn draw_boxes(out: &mut String, tiers: &Tiers, sources: &[String], layout: &Layout) {
    for (name, look) in boxes(tiers, sources) {
        let Some(place) = layout.places.get(&name) else {
            continue;
        };
        let (x, y, width, height) = (
            layout.x(*place),
            layout.y(*place),
            layout.column,
            height(*place),
        );
        let Look {
            fill,
            stroke,
            round,
            ..
        } = look;
        out.push_str(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{stroke}\"/>\n"
        ));
        let top = layout.middle(*place) + 4 - (look.lines.len() as i32 - 1) * 8;
        for (i, line) in look.lines.iter().enumerate() {
            let colour = if i == 0 { "#111" } else { "#555" };
            text(
                out,
                x + width / 2,
                top + i as i32 * 16,
                "middle",
                colour,
                line,
            );
        }
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
