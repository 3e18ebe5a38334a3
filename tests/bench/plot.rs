//! How throughput, processor time and memory grow with the calls in flight, as SVG.

use crate::Row;
use std::fmt::Write as _;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 220.0;
const COLOURS: [&str; 5] = ["#57606a", "#8250df", "#0969da", "#bc4c00", "#1a7f37"];

/// What is drawn: where a row's name begins so, what it is called, and what stands in its name besides the number.
const OF_COST: [(&str, &str); 2] = [
    ("processor ms for 1000 calls, ", "Processor ms for 1000 calls"),
    ("peak with ", "Peak of resident memory, MB"),
];

pub fn scale(tables: &[(String, Vec<Row>)]) -> String {
    let mut panels: Vec<String> = tables
        .iter()
        .filter(|(title, _)| title.starts_with("Calls a second"))
        .map(|(title, rows)| {
            let points: Vec<(&str, &Row)> =
                rows.iter().map(|row| (row.name.as_str(), row)).collect();
            panel(title.split(" (").next().unwrap_or_default(), &points)
        })
        .collect();
    for (prefix, title) in OF_COST {
        let rows = tables.iter().flat_map(|(_, rows)| rows);
        let points: Vec<(&str, &Row)> = rows
            .filter_map(|row| Some((row.name.strip_prefix(prefix)?.trim_end_matches(", MB"), row)))
            .collect();
        panels.push(panel(title, &points));
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        2.0 * (WIDTH + 90.0),
        (HEIGHT + 110.0) * (panels.len().div_ceil(2)) as f64
    );
    for (at, panel) in panels.iter().enumerate() {
        let left = (at % 2) as f64 * (WIDTH + 90.0) + 60.0;
        let top = (at / 2) as f64 * (HEIGHT + 110.0) + 40.0;
        let _ = write!(svg, "<g transform=\"translate({left} {top})\">\n{panel}</g>\n");
    }
    svg + "</svg>\n"
}

/// Logarithmic: the contenders are far apart.
fn panel(title: &str, points: &[(&str, &Row)]) -> String {
    let rows: Vec<&Row> = points.iter().map(|(_, row)| *row).collect();
    let most =
        rows.iter().flat_map(|row| &row.figures).map(|(_, figure)| *figure).fold(1.0, f64::max);
    let mut svg = format!(
        "<text y=\"-18\" font-weight=\"600\">{title}</text>\n<path d=\"M0 0V{HEIGHT}H{WIDTH}\" fill=\"none\" stroke=\"#57606a\"/>\n"
    );
    let x = |at: usize| (at as f64 + 0.5) * WIDTH / rows.len() as f64;
    let (low, high) = (1_f64.ln(), most.ln());
    let y = |figure: f64| HEIGHT - (figure.max(1.0).ln() - low) / (high - low) * HEIGHT;
    for power in 0..=6 {
        let figure = 10_f64.powi(power);
        if figure <= most {
            let _ = writeln!(
                svg,
                "<path d=\"M0 {0:.0}H{WIDTH}\" stroke=\"#d0d7de\"/><text x=\"-6\" y=\"{0:.0}\" dy=\"4\" text-anchor=\"end\">{figure}</text>",
                y(figure)
            );
        }
    }
    for (at, (name, _)) in points.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(at),
            HEIGHT + 18.0,
            name
        );
    }
    for (number, (name, _)) in rows[0].figures.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        // Directly there is no process to measure.
        if rows.iter().all(|row| row.figures[number].1 == 0.0) {
            continue;
        }
        let points: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| format!("{:.1},{:.1}", x(at), y(row.figures[number].1)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            number as f64 * 100.0,
            HEIGHT + 44.0
        );
    }
    svg
}
