//! What the schema of a program says of its types, and what it says of changes.

#![forbid(unsafe_code)]

#[path = "schema/changes.rs"]
mod changes;
#[path = "schema/random.rs"]
mod random;
#[path = "schema/shapes.rs"]
mod shapes;
