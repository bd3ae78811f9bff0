//! Which messages a program has and what they look like, as a text that is kept beside the source
//! and says when a change breaks peers that are not built anew (PROTOCOL 5).
//!
//! ```text
//!                  trace                      Display
//!  register_message! ----> Schema::of_process -------> schema.txt, committed
//!                                  |                        |
//!                                  |        parse           |
//!                                  +------> changes_to <----+   Vec<Change>, each with a verdict
//! ```
//!
//! Nobody describes a type by hand: its `Deserialize` is run against a deserializer that has no
//! bytes and writes down what it is asked for ([`Tracing`]). Nothing of this happens unless
//! somebody asks for a schema. What a type does not show that way is in the text as `opaque`, with
//! the reason.
//!
//! ```
//! use moorline_protocol::schema::{Schema, Verdict};
//!
//! let old: Schema = "moorline schema 1\n\
//!                    post game.Move\n  body Move\n\
//!                    struct Move\n  x: u32\n  y: u32\n".parse().unwrap();
//! let new: Schema = "moorline schema 1\n\
//!                    post game.Move\n  body Move\n\
//!                    struct Move\n  y: u32\n  x: u32\n  z: u32 = default\n".parse().unwrap();
//! let changes = old.changes_to(&new);
//! assert!(changes.iter().any(|change| change.verdict() == Verdict::Incompatible), "x and y");
//! assert!(changes.iter().any(|change| change.verdict() == Verdict::Compatible), "z");
//! ```

mod change;
mod compare;
mod naming;
mod parse;
mod shape;
mod text;
mod trace;

pub use self::change::{Change, Verdict};
pub use self::parse::ParseError;
pub use self::shape::Schema;
pub use self::trace::Tracing;
