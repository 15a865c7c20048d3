//! The ratios as bars, on a logarithmic scale with the floor in the middle.

use std::fmt::Write;

use crate::Entry;
use crate::scenario::Scenario;

const WIDTH: f64 = 920.0;
const LEFT: f64 = 410.0;
const RIGHT: f64 = 880.0;
const BAR: f64 = 12.0;
const COLOURS: [(&str, &str); 9] = [
    ("ours", "#1f6feb"),
    ("floor unlogged", "#6e7781"),
    ("ours unlogged", "#79c0ff"),
    ("advisory lock", "#1a7f37"),
    ("SELECT 1", "#aaaaaa"),
    ("rslock", "#bf8700"),
    ("rslock tuned", "#d4a72c"),
    ("distributed-lock", "#8250df"),
    ("distributed-lock tuned", "#b87fff"),
];

/// The picture.
pub(crate) fn svg(server: &str, rows: &[(&Scenario, Vec<Entry>)]) -> String {
    let shown = |entries: &[Entry]| entries.iter().filter(|e| e.contestant != "floor").count();
    let height: f64 = rows
        .iter()
        .map(|(_, entries)| shown(entries) as f64 * BAR + 14.0)
        .sum();
    let bottom = 60.0 + height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\">{server}: rate over the hand-written floor's (logarithmic)</text>\n",
        bottom + 40.0
    );
    for (ratio, label) in [
        (0.1, "0.1 ×"),
        (1.0, "the floor"),
        (10.0, "10 ×"),
        (100.0, "100 ×"),
    ] {
        let x = x_of(ratio);
        let colour = if ratio == 1.0 { "#555" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"40\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"{colour}\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"36\" text-anchor=\"middle\">{label}</text>"
        );
    }
    let mut y = 50.0;
    for (row, entries) in rows {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + BAR - 2.0,
            row.title.replace('`', "")
        );
        for entry in entries.iter().filter(|entry| entry.contestant != "floor") {
            let (from, to) = (x_of(1.0), x_of(entry.ratio()));
            let colour = COLOURS.iter().find(|(name, _)| *name == entry.contestant);
            let colour = colour.map_or("#888", |(_, colour)| colour);
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                from.min(to),
                (from - to).abs().max(1.0),
                BAR - 2.0
            );
            let x = from.max(to) + 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"9\">{:.2}</text>",
                y + BAR - 3.0,
                entry.ratio()
            );
            y += BAR;
        }
        y += 14.0;
    }
    let mut x = 10.0;
    for (name, colour) in COLOURS {
        if rows
            .iter()
            .flat_map(|(_, entries)| entries)
            .any(|entry| entry.contestant == name)
        {
            let at = bottom + 22.0;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
                at - 9.0
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{at:.0}\">{name}</text>",
                x + 14.0
            );
            x += 160.0;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// From 0.03 to 300 times the floor.
fn x_of(ratio: f64) -> f64 {
    let share = (ratio.clamp(0.03, 300.0) / 0.03).log10() / 4.0;
    LEFT + share * (RIGHT - LEFT)
}
