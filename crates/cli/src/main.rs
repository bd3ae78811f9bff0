//! `moor`, the command line of Moorline: keys, peer lists, a demonstration, and the demonstration's
//! service by hand.
//!
//! It is an application like any other: it sees the facade `moorline` and nothing below it. Each
//! command has its file; what they share is the messages ([`messages`]), the service that answers
//! them ([`handlers`]), how a command ends ([`exit`]) and where logs go ([`log`]).

#![forbid(unsafe_code)]

mod bytes;
mod call;
mod config;
mod demo;
mod exit;
mod first_contact;
mod handlers;
mod key;
mod log;
mod messages;
mod output;
mod peers;
mod replace;
mod rotate;
mod schema;
mod serve;
mod tally;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::log::LogOptions;

/// Typed, encrypted sessions between two equal peers: keys, peer lists, a demonstration, and
/// its service by hand.
#[derive(Parser)]
#[command(name = "moor", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make, look at and replace key files.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Look at peer lists and change them.
    #[command(subcommand)]
    Peers(peers::PeersCommand),
    /// Print what messages look like, and say whether a change of them breaks peers.
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Show what a service is set to and by whom, and check files of knobs.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Call(call::CallArgs),
    /// One side of `moor demo`.
    #[command(hide = true)]
    DemoServer,
    /// The other side of `moor demo`.
    #[command(hide = true)]
    DemoClient,
}

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    exit::of(run(cli))
}

fn run(cli: Cli) -> Result<(), Exit> {
    let log = cli.log;
    match cli.command {
        Command::Key(command) => {
            log.start("warn")?;
            key::run(&command)
        }
        Command::Peers(command) => {
            log.start("warn")?;
            peers::run(&command)
        }
        Command::Schema(command) => {
            log.start("warn")?;
            schema::run(&command)
        }
        Command::Config(command) => {
            log.start("warn")?;
            config::run(&command)
        }
        Command::Demo(args) => {
            log.start("error")?;
            runtime()?.block_on(demo::run(args, log))
        }
        Command::Serve(args) => {
            log.start("info")?;
            runtime()?.block_on(serve::run(args))
        }
        Command::Call(args) => {
            log.start("error")?;
            runtime()?.block_on(call::run(args))
        }
        Command::DemoServer => {
            log.start("error")?;
            runtime()?.block_on(demo::server::run())
        }
        Command::DemoClient => {
            log.start("error")?;
            runtime()?.block_on(demo::client::run())
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Runtime::new()
        .map_err(|error| Exit::failed(format!("the runtime could not be started: {error}")))
}
