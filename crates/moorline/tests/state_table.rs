//! Every row of the tables in docs/SECURITY.md, "What each bad input gets", as tests by name: what is
//! said, and what comes of it, over TCP and as a program sees it.
//!
//! A test is a line: its name, in which state which bytes come, and what they get. That the rows here
//! and there are the same is a test as well.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "state_table/before.rs"]
mod before;
#[path = "state_table/dialing.rs"]
mod dialing;
#[path = "state_table/hand.rs"]
mod hand;
#[path = "state_table/inside.rs"]
mod inside;
#[path = "state_table/providers.rs"]
mod providers;
#[path = "hostile_peer/scene.rs"]
#[expect(dead_code, reason = "hostile peers have more tests of their own")]
mod scene;
#[path = "door/strangers.rs"]
#[expect(dead_code, reason = "the door has its own tests")]
mod strangers;

/// Rows as the document has them, each with its tests.
macro_rules! rows {
    ($($input:literal => $gets:literal { $($name:ident: $test:expr;)+ })+) => {
        pub(crate) const ROWS: &[(&str, &str)] = &[$(($input, $gets)),+];
        $($(
            #[test]
            fn $name() {
                $crate::support::run($test);
            }
        )+)+
    };
}
pub(crate) use rows;

#[test]
fn the_document_has_the_same_rows() {
    let document = include_str!("../../../docs/SECURITY.md");
    let (_, section) = document.split_once("\n## What each bad input gets\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| {
        let (input, gets) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        (input != "input").then_some((input, gets))
    });
    let tested = [before::ROWS, inside::ROWS, dialing::ROWS].concat();
    assert_eq!(rows.collect::<Vec<_>>(), tested);
}
