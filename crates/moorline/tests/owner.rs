//! The owner of a session: handlers of one session alone, tasks, alarms, and what they share.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "owner/alarms.rs"]
mod alarms;
#[path = "owner/handlers.rs"]
mod handlers;
mod support;
#[path = "owner/tasks.rs"]
mod tasks;
