//! `moor serve`: the service of the demonstration by hand.

use std::future::ready;
use std::path::PathBuf;
use std::pin::pin;

use clap::{ArgGroup, Args};
use moorline::{Identity, Peers, Service, Suite, Suites};

use crate::config::ConfigArgs;
use crate::exit::Exit;
use crate::{handlers, messages, output};

/// The protocol without keys: it needs no identity, and no list can tell who comes.
pub(crate) const PLAIN: &str = "msgpack-plain";

/// Serve the messages of the demonstration until ctrl-c, then drain.
///
/// The first line on stdout is the URL that a client needs, with our public key and the real port.
/// Logs go to stderr. Ends with 0 when it has drained, 1 if something failed, 2 if an argument or a
/// file it names cannot be used.
#[derive(Args)]
#[command(after_long_help = messages::HELP)]
#[command(group(ArgGroup::new("who").args(["peers", "anonymous"]).required(true)))]
pub(crate) struct ServeArgs {
    /// Where to listen: tcp://host:port (port 0: the system chooses), uds://path.
    #[arg(long, value_name = "URL")]
    listen: String,
    /// Our key file, made by `moor key new`. Needed by all protocols but msgpack-plain.
    #[arg(long, value_name = "FILE", required_unless_present = "anonymous")]
    identity: Option<PathBuf>,
    /// The peer list: who gets in. A line is `NAME PUBLIC-KEY role=ROLE`.
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// Let everybody in, with a key or without. What msgpack-plain needs instead of --peers.
    #[arg(long)]
    anonymous: bool,
    /// Tell our public key to whoever asks for it, so that clients can begin with a URL without a
    /// key (`moor call --known-peers`): suites 02 and 22 are accepted as well. Nobody more gets in.
    #[arg(long)]
    enrol: bool,
    /// msgpack (encrypted, both sides verified) or msgpack-plain (clear text: for tests alone).
    #[arg(long, value_name = "NAME", default_value = "msgpack")]
    protocol: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(crate) async fn run(args: ServeArgs) -> Result<(), Exit> {
    let service = build(&args)?;
    handlers::install(&service, &args.protocol);
    let acceptor = service.accept(&args.listen, &args.protocol).await.map_err(|error| {
        let exit = Exit::of_library(&error);
        match error {
            moorline::Error::NotAuthenticated(_) => {
                exit.with_advice("Here: give --anonymous in place of --peers.")
            }
            _ => exit,
        }
    })?;
    let mut serving = pin!(service.run());
    // The first poll takes ctrl-c over. Whoever has read the URL may stop us at once, and in order.
    tokio::select! {
        biased;
        ended = &mut serving => return ended.map_err(|error| Exit::of_library(&error)),
        () = ready(()) => output::print(&acceptor.url().to_string())?,
    }
    serving.await.map_err(|error| Exit::of_library(&error))
}

fn build(args: &ServeArgs) -> Result<Service, Exit> {
    let mut builder = Service::builder()
        .agent(concat!("moor/", env!("CARGO_PKG_VERSION")))
        .config(args.config.read()?);
    match &args.identity {
        Some(file) => {
            let identity = Identity::load(file).map_err(|error| Exit::usage(error.to_string()))?;
            builder = builder.identity(identity);
        }
        None if args.protocol != PLAIN => return Err(needs_identity(&args.protocol)),
        None => {}
    }
    let peers = match &args.peers {
        Some(file) => Peers::file(file).map_err(|error| Exit::usage(error.to_string()))?,
        None => Peers::anonymous(),
    };
    if args.enrol {
        let asked = Suites::default().also(Suite::XxHfsChaCha).also(Suite::XxHfsAes);
        builder = builder.suites(asked);
    }
    builder.peers(peers).build().map_err(|error| Exit::of_library(&error))
}

/// What to say where only [`PLAIN`] could do without.
pub(crate) fn needs_identity(protocol: &str) -> Exit {
    Exit::usage(format!(
        "protocol \"{protocol}\" needs --identity FILE; `moor key new FILE` makes one"
    ))
}
