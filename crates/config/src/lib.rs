//! # What it is
//! The knobs of a service from outside the program: from files in TOML or JSON, from the environment,
//! and from the command line, each value with the place it came from.
//!
//! # What it must never know
//! What a knob does: names, kinds and bounds are those of `moorline-service`. It reads no environment
//! and no arguments by itself: the program hands them over.
//!
//! # Where to start
//! [`Layers`].
//!
//! # The loop
//! ```
//! use moorline_config::Layers;
//! use moorline_service::Service;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut layers = Layers::new();
//! layers.toml("moor.toml", "timeout = '10s'\nmessage_max = '1MiB'\n")?;
//! layers.environment([("MOORLINE_TIMEOUT".into(), "5s".into())])?;
//! layers.assign("heartbeat=2s")?;
//! let builder = Service::builder().config(layers.into_config());
//! for knob in builder.explain() {
//!     println!("{} = {} ({})", knob.knob, knob.value, knob.source);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Design decisions
//! * Program < file < environment < command line, in whichever order they are read: a file that is
//!   shipped with a program is one more default, and who starts it has the last word.
//! * A file is flat: one knob a line, in a file of its own. So the line of a knob can be told for both
//!   formats, also where the knob is right and only another contradicts it.
//! * What is not a knob is a mistake, and never ignored: `mesage_max` is worse than no line at all.
//! * Values are read by the knob and not by the format: `"64KiB"` means the same in a file, in the
//!   environment and on the command line.

#![forbid(unsafe_code)]

mod error;
mod layers;
pub mod limits;
mod reader;

pub use error::LayerError;
pub use layers::Layers;
