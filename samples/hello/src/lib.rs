//! What the two programs say to each other.

#![forbid(unsafe_code)]

use moorline::register_message;
use serde::{Deserialize, Serialize};

/// Who is there.
#[derive(Serialize, Deserialize)]
pub struct Hello {
    /// The name to be greeted.
    pub name: String,
}

/// A few kind words.
#[derive(Serialize, Deserialize)]
pub struct Greeting {
    /// To be printed.
    pub text: String,
}

register_message!(Hello => Greeting);
