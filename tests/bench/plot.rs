//! A plot of the calls a second as more are in flight, as SVG.

use crate::Row;
use std::fmt::Write as _;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 220.0;
const COLOURS: [&str; 5] = ["#57606a", "#8250df", "#0969da", "#bc4c00", "#1a7f37"];

/// One panel for each table of calls a second.
pub fn scale(tables: &[(String, Vec<Row>)]) -> String {
    let tables: Vec<_> =
        tables.iter().filter(|(title, _)| title.starts_with("Calls a second")).collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        f64::from(u32::try_from(tables.len()).unwrap()) * (WIDTH + 90.0),
        HEIGHT + 110.0
    );
    for (at, (title, rows)) in (0_u32..).zip(tables) {
        let left = f64::from(at) * (WIDTH + 90.0) + 60.0;
        let _ = write!(svg, "<g transform=\"translate({left} 40)\">\n{}</g>\n", panel(title, rows));
    }
    svg + "</svg>\n"
}

fn panel(title: &str, rows: &[Row]) -> String {
    let title = title.split(" (").next().unwrap_or_default();
    let most =
        rows.iter().flat_map(|row| &row.figures).map(|(_, figure)| *figure).fold(1.0, f64::max);
    let mut svg = format!(
        "<text y=\"-18\" font-weight=\"600\">{title}</text>\n<path d=\"M0 0V{HEIGHT}H{WIDTH}\" fill=\"none\" stroke=\"#57606a\"/>\n"
    );
    let x = |at: usize| (at as f64 + 0.5) * WIDTH / rows.len() as f64;
    // Logarithmic: the contenders are far apart.
    let (low, high) = (10_f64.ln(), most.ln());
    let y = |figure: f64| HEIGHT - (figure.max(10.0).ln() - low) / (high - low) * HEIGHT;
    for power in 1..=6 {
        let figure = 10_f64.powi(power);
        if figure <= most {
            let _ = writeln!(
                svg,
                "<path d=\"M0 {0:.0}H{WIDTH}\" stroke=\"#d0d7de\"/><text x=\"-6\" y=\"{0:.0}\" dy=\"4\" text-anchor=\"end\">{figure}</text>",
                y(figure)
            );
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(at),
            HEIGHT + 18.0,
            row.name
        );
    }
    for (number, (name, _)) in rows[0].figures.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
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
