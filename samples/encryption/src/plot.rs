//! Both tables as one SVG picture.

use std::fmt::Write as _;

use crate::cost::{Handshakes, Records, SIZES};

const WIDTH: f64 = 860.0;
/// Where bars begin and where the scale ends; names stand before, the figure of the longest bar behind.
const LEFT: f64 = 230.0;
const RIGHT: f64 = WIDTH - 60.0;
const BAR: f64 = 12.0;
const COLOURS: [&str; 3] = ["#9aa7b4", "#3b78b8", "#1d3f66"];

/// One group of bars.
struct Group {
    name: String,
    values: Vec<f64>,
}

struct Panel<'a> {
    title: &'a str,
    legend: Vec<String>,
    groups: Vec<Group>,
    scale: Scale,
}

/// From a figure to a place between 0 and 1.
enum Scale {
    /// From 0 to `max`, with a line every `step`.
    Linear { step: f64, max: f64 },
    /// From one power of ten to another, with a line at each: for what differs by more than an eye can
    /// compare.
    Log { first: i32, last: i32 },
}

impl Scale {
    fn linear(groups: &[Group]) -> Self {
        let largest = largest(groups);
        let power = 10_f64.powf((largest / 2.0).log10().floor());
        // Three to ten lines.
        let step = if largest / power > 10.0 { 2.0 * power } else { power };
        Self::Linear { step, max: (largest / step).ceil() * step }
    }

    fn log(groups: &[Group]) -> Self {
        let last = power_below(largest(groups)) + 1;
        let smallest = values(groups).fold(f64::MAX, f64::min);
        // A bar of the smallest figure is seen, too.
        Self::Log { first: power_below(smallest / 2.0).min(last - 1), last }
    }

    fn place(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { max, .. } => value / max,
            Self::Log { first, last } => {
                (value.log10() - f64::from(first)) / f64::from(last - first)
            }
        }
    }

    fn lines(&self) -> Vec<f64> {
        match *self {
            Self::Linear { step, max } => {
                (0..).map(|line| f64::from(line) * step).take_while(|value| *value <= max).collect()
            }
            Self::Log { first, last } => (first..=last).map(|power| 10_f64.powi(power)).collect(),
        }
    }
}

fn values(groups: &[Group]) -> impl Iterator<Item = f64> {
    groups.iter().flat_map(|group| group.values.iter().map(|value| value.max(1.0)))
}

fn largest(groups: &[Group]) -> f64 {
    values(groups).fold(1.0, f64::max)
}

/// The largest power of ten that is not above `value`, which is between 0.1 and 10^9.
fn power_below(value: f64) -> i32 {
    (-1..9).rev().find(|power| 10_f64.powi(*power) <= value).unwrap_or(-1)
}

pub(crate) fn svg(handshakes: &[Handshakes], records: &[Records]) -> String {
    let handshakes: Vec<_> = handshakes
        .iter()
        .map(|row| Group {
            name: format!("{:02x} {}", row.suite.id(), brief(row.suite.name())),
            values: row.per_second.to_vec(),
        })
        .collect();
    let records: Vec<_> = records
        .iter()
        .map(|row| Group { name: row.name.clone(), values: row.megabytes.to_vec() })
        .collect();
    let mut picture = Picture { body: String::new(), y: 24.0 };
    picture.panel(&Panel {
        title: "Handshakes per second: both sides, one core",
        legend: vec!["pure".into(), "aws-lc".into()],
        scale: Scale::linear(&handshakes),
        groups: handshakes,
    });
    picture.y += 30.0;
    picture.panel(&Panel {
        title: "MB/s sealed and opened, one core, by length of record (logarithmic)",
        legend: SIZES.map(size).to_vec(),
        scale: Scale::log(&records),
        groups: records,
    });
    let Picture { body, y } = picture;
    let height = y + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// `Noise_IKhfs_25519+MLKEM768_ChaChaPoly_SHA256` without what all of them have.
fn brief(name: &str) -> String {
    name.replace("Noise_", "").replace("_25519", "").replace("_SHA256", "").replace('_', " ")
}

fn size(bytes: usize) -> String {
    if bytes < 1_024 { format!("{bytes} B") } else { format!("{} KiB", bytes / 1_024) }
}

/// What is drawn so far, and where the next thing goes.
struct Picture {
    body: String,
    y: f64,
}

impl Picture {
    fn panel(&mut self, panel: &Panel<'_>) {
        let (y, title) = (self.y, panel.title);
        self.put(format_args!("<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{title}</text>"));
        self.legend(&panel.legend);
        self.y += 14.0;
        let bars: usize = panel.groups.iter().map(|group| group.values.len()).sum();
        self.lines(&panel.scale, height(bars) + 6.0 * height(panel.groups.len()) / BAR);
        for group in &panel.groups {
            self.group(group, &panel.scale);
        }
        for value in panel.scale.lines() {
            let (x, y, label) = (x_of(&panel.scale, value), self.y + 11.0, thousands(value));
            self.put(format_args!(
                "<text x=\"{x:.1}\" y=\"{y}\" font-size=\"10\" fill=\"#666\" \
                 text-anchor=\"middle\">{label}</text>"
            ));
        }
        self.y += 14.0;
    }

    /// At the right end of the title's line.
    fn legend(&mut self, names: &[String]) {
        let mut x = WIDTH - 8.0 - 84.0 * height(names.len()) / BAR;
        for (number, name) in names.iter().enumerate() {
            let (top, colour) = (self.y - 10.0, COLOURS[number % COLOURS.len()]);
            self.put(format_args!(
                "<rect x=\"{x}\" y=\"{top}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
            ));
            let (after, y) = (x + 18.0, self.y);
            self.put(format_args!("<text x=\"{after}\" y=\"{y}\">{name}</text>"));
            x += 84.0;
        }
    }

    fn lines(&mut self, scale: &Scale, height: f64) {
        let top = self.y - 3.0;
        for value in scale.lines() {
            let x = x_of(scale, value);
            self.put(format_args!(
                "<path d=\"M{x:.1} {top}v{height}\" stroke=\"#ddd\" fill=\"none\"/>"
            ));
        }
    }

    fn group(&mut self, group: &Group, scale: &Scale) {
        let middle = self.y + height(group.values.len()) / 2.0 + 3.0;
        self.put(format_args!("<text x=\"8\" y=\"{middle}\">{}</text>", group.name));
        for (number, value) in group.values.iter().enumerate() {
            let (end, top) = (x_of(scale, value.max(1.0)), self.y);
            let (width, thick, colour) = (end - LEFT, BAR - 2.0, COLOURS[number % COLOURS.len()]);
            self.put(format_args!(
                "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"{thick}\" \
                 fill=\"{colour}\"/>"
            ));
            // On white, so that no line of the scale goes through it.
            let (x, y, label) = (end + 4.0, top + 9.0, thousands(*value));
            self.put(format_args!(
                "<text x=\"{x:.1}\" y=\"{y}\" font-size=\"10\" stroke=\"white\" stroke-width=\"3\" \
                 paint-order=\"stroke\">{label}</text>"
            ));
            self.y += BAR;
        }
        self.y += 6.0;
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{line}").expect("a string takes every line");
    }
}

fn x_of(scale: &Scale, value: f64) -> f64 {
    LEFT + scale.place(value) * (RIGHT - LEFT)
}

/// Of so many bars.
fn height(bars: usize) -> f64 {
    BAR * f64::from(u32::try_from(bars).unwrap_or(u32::MAX))
}

/// `12,345`
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
