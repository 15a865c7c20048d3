//! The curves as a picture: what share of the samples took no longer than so long.

use std::fmt::Write;

use crate::samples::Samples;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 310.0;
const TOP: f64 = 30.0;
/// From 0.1 ms to 1 s, in powers of ten.
const DECADES: [(f64, &str); 5] = [
    (-1.0, "0.1 ms"),
    (0.0, "1 ms"),
    (1.0, "10 ms"),
    (2.0, "100 ms"),
    (3.0, "1 s"),
];
const COLOURS: [&str; 3] = ["#1f6feb", "#d1242f", "#1a7f37"];

pub(crate) fn svg(curves: &[(&str, Samples)]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (power, label) in DECADES {
        let x = x_of(power);
        line(&mut svg, (x, TOP), (x, BOTTOM), "#ddd");
        text(&mut svg, (x, BOTTOM + 18.0), "middle", label);
    }
    for percent in [0, 25, 50, 75, 99] {
        let y = y_of(f64::from(percent));
        line(&mut svg, (LEFT, y), (WIDTH - 20.0, y), "#ddd");
        text(
            &mut svg,
            (LEFT - 6.0, y + 4.0),
            "end",
            &format!("{percent} %"),
        );
    }
    for (i, ((label, samples), colour)) in curves.iter().zip(COLOURS).enumerate() {
        let count = samples.all().len() as f64;
        let mut points = String::new();
        for (rank, sample) in samples.all().iter().enumerate() {
            let x = x_of((sample.as_secs_f64() * 1000.0).max(0.1).log10());
            let y = y_of((rank as f64 + 1.0) / count * 100.0);
            let _written = write!(points, "{x:.1},{y:.1} ");
        }
        let _written = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{points}\"/>"
        );
        let y = TOP + 20.0 + 18.0 * i as f64;
        line(
            &mut svg,
            (WIDTH - 290.0, y - 4.0),
            (WIDTH - 270.0, y - 4.0),
            colour,
        );
        text(&mut svg, (WIDTH - 264.0, y), "start", label);
    }
    text(
        &mut svg,
        (LEFT, 18.0),
        "start",
        "share of the samples that took no longer than",
    );
    svg.push_str("</svg>\n");
    svg
}

fn x_of(power: f64) -> f64 {
    LEFT + (power + 1.0) / 4.0 * (WIDTH - LEFT - 40.0)
}

fn y_of(percent: f64) -> f64 {
    BOTTOM - percent / 100.0 * (BOTTOM - TOP)
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let _written = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _written = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}
