//! What encryption does to a conversation, and what it costs.

#![forbid(unsafe_code)]

mod conversation;
mod cost;
mod pair;
mod plot;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    conversation::plain_and_sealed()?;
    conversation::tampered()?;
    let (handshakes, records) = (cost::handshakes()?, cost::records()?);
    cost::print(&handshakes, &records);
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(&path, plot::svg(&handshakes, &records))?;
        println!("\ndrawn into {path}");
    }
    Ok(())
}
