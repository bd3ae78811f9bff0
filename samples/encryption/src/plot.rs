//! Both tables as one SVG picture, bars on a scale of powers of ten.

use std::fmt::Write as _;

use crate::cost::{Handshakes, Records, SIZES};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const BAR: f64 = 12.0;
const COLOURS: [&str; 3] = ["#9aa7b4", "#3b78b8", "#1d3f66"];

/// One group of bars.
struct Group {
    name: String,
    values: Vec<f64>,
}

pub(crate) fn svg(handshakes: &[Handshakes], records: &[Records]) -> String {
    let handshakes = handshakes.iter().map(|row| Group {
        name: format!("{:02x} {}", row.suite.id(), brief(row.suite.name())),
        values: row.per_second.to_vec(),
    });
    let records =
        records.iter().map(|row| Group { name: row.name.clone(), values: row.megabytes.to_vec() });
    let sizes = SIZES.map(|size| format!("{size} B"));
    let mut body = String::new();
    let mut y = 24.0;
    y = panel(
        &mut body,
        y,
        "handshakes per second (both sides, one core)",
        &["pure", "aws-lc"],
        &handshakes.collect::<Vec<_>>(),
    );
    y = panel(
        &mut body,
        y + 24.0,
        "megabytes per second (sealed and opened, one core)",
        &sizes.each_ref().map(String::as_str),
        &records.collect::<Vec<_>>(),
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// `Noise_IKhfs_25519+MLKEM768_ChaChaPoly_SHA256` without what all of them have.
fn brief(name: &str) -> String {
    name.replace("Noise_", "").replace("_25519", "").replace("_SHA256", "").replace('_', " ")
}

/// Draws one panel from `y` downwards and says where it ends.
fn panel(out: &mut String, y: f64, title: &str, legend: &[&str], groups: &[Group]) -> f64 {
    let all = || groups.iter().flat_map(|group| &group.values).copied();
    let first = all().fold(f64::MAX, f64::min).max(1.0).log10().floor();
    let last = all().fold(1.0, f64::max).log10().ceil().max(first + 1.0);
    let at = |value: f64| {
        LEFT + (value.max(1.0).log10() - first) / (last - first) * (WIDTH - LEFT - 90.0)
    };
    put(out, format_args!("<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{title}</text>"));
    for (number, name) in (0_u32..).zip(legend) {
        let (x, colour) = (420.0 + f64::from(number) * 120.0, colour(number));
        put(
            out,
            format_args!(
                "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
                y - 10.0
            ),
        );
        put(out, format_args!("<text x=\"{}\" y=\"{y}\">{name}</text>", x + 18.0));
    }
    let mut y = y + 14.0;
    for group in groups {
        let bars = u32::try_from(group.values.len()).unwrap_or(u32::MAX);
        let middle = y + BAR * f64::from(bars) / 2.0 + 4.0;
        let text = format_args!("<text x=\"8\" y=\"{middle}\">{}</text>", group.name);
        put(out, text);
        for (number, value) in (0_u32..).zip(&group.values) {
            let (end, top) = (at(*value), y + BAR * f64::from(number));
            let (width, height, colour) = (end - LEFT, BAR - 2.0, colour(number));
            put(
                out,
                format_args!(
                    "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>"
                ),
            );
            put(
                out,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{}\" font-size=\"10\">{value:.0}</text>",
                    end + 4.0,
                    top + 9.0
                ),
            );
        }
        y += BAR * f64::from(bars) + 6.0;
    }
    y
}

fn colour(number: u32) -> &'static str {
    COLOURS[usize::try_from(number).unwrap_or(0) % COLOURS.len()]
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("a string takes every line");
}
