//! `moor call`: one message by hand, and its answer as JSON.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use moorline::{CallError, Identity, Request, SendError, Service, SessionRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::Exit;
use crate::first_contact::TrustOptions;
use crate::messages::{self, Digest, Echo, Login, Note};
use crate::output;
use crate::serve::{PLAIN, needs_identity};

/// Largest JSON that is read from a file or stdin, in bytes: a message of 16 MiB as an array of
/// numbers, with room for blanks.
const JSON_MAX: u64 = 128 * 1024 * 1024;

/// Send one message and print its answer as JSON.
///
/// Ends with 0 if it was answered, 1 if the call failed, 2 if an argument or a file it names cannot
/// be used, 3 if no session could be had: nobody is there, we are not let in, or the key that
/// answers is not trusted or has changed.
#[derive(Args)]
#[command(after_long_help = messages::HELP)]
pub(crate) struct CallArgs {
    /// What `moor serve` printed: tcp://KEY@host:port or uds://KEY@path. With --known-peers the key
    /// may be left out.
    url: String,
    /// Which message.
    #[arg(value_enum, value_name = "TYPE")]
    kind: MessageKind,
    /// Its fields as a JSON object, or @FILE to read it from a file, or - for stdin.
    json: String,
    /// Our key file, made by `moor key new`. Needed by all protocols but msgpack-plain.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// msgpack or msgpack-plain, as the server has it.
    #[arg(long, value_name = "NAME", default_value = "msgpack")]
    protocol: String,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum MessageKind {
    #[value(name = "demo.Login")]
    Login,
    #[value(name = "demo.Digest")]
    Digest,
    #[value(name = "demo.Echo")]
    Echo,
    #[value(name = "demo.Note")]
    Note,
}

/// A message that has been read: whatever is wrong with it is said before anybody is dialed.
enum Outgoing {
    Login(Login),
    Digest(Digest),
    Echo(Echo),
    Note(Note),
}

pub(crate) async fn run(args: CallArgs) -> Result<(), Exit> {
    let message = Outgoing::read(args.kind, &text_of(&args.json)?)?;
    let service = build(&args)?;
    let session = service
        .connect(&args.url, &args.protocol)
        .await
        .map_err(|error| args.trust.explain(&args.url, &error))?;
    let answer = message.send(&session).await;
    // What was asked for is known; how the goodbye goes changes nothing of it.
    session.close();
    if let Err(error) = service.shutdown().await {
        tracing::warn!(%error, "the session was not closed in order");
    }
    output::print(&answer?)
}

/// The JSON itself, from wherever the argument says.
fn text_of(argument: &str) -> Result<String, Exit> {
    let (name, source): (&str, Box<dyn Read>) = match argument.strip_prefix('@') {
        _ if argument == "-" => ("stdin", Box::new(std::io::stdin())),
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Exit::usage(format!("cannot read {path}: {error}")))?;
            (path, Box::new(file))
        }
        None => return Ok(argument.to_owned()),
    };
    let mut text = String::new();
    let read = source.take(JSON_MAX + 1).read_to_string(&mut text);
    let length = read.map_err(|error| Exit::usage(format!("cannot read {name}: {error}")))?;
    if length as u64 > JSON_MAX {
        return Err(Exit::usage(format!("{name} has more than {JSON_MAX} bytes of JSON")));
    }
    Ok(text)
}

impl Outgoing {
    fn read(kind: MessageKind, json: &str) -> Result<Self, Exit> {
        Ok(match kind {
            MessageKind::Login => Outgoing::Login(parse(kind, json)?),
            MessageKind::Digest => Outgoing::Digest(parse(kind, json)?),
            MessageKind::Echo => Outgoing::Echo(parse(kind, json)?),
            MessageKind::Note => Outgoing::Note(parse(kind, json)?),
        })
    }

    /// Returns the answer as JSON.
    async fn send(self, session: &SessionRef) -> Result<String, Exit> {
        match self {
            Outgoing::Login(login) => ask(session, login).await,
            Outgoing::Digest(digest) => ask(session, digest).await,
            Outgoing::Echo(echo) => ask(session, echo).await,
            Outgoing::Note(note) => {
                post(session, &note).await.map_err(|error| Exit::failed(error.to_string()))
            }
        }
    }
}

fn parse<M: DeserializeOwned>(kind: MessageKind, json: &str) -> Result<M, Exit> {
    serde_json::from_str(json).map_err(|error| {
        let value = kind.to_possible_value().expect("no kind is skipped");
        Exit::usage(format!("the JSON is no {}: {error}", value.get_name()))
            .with_advice("Its fields are in `moor call --help`.")
    })
}

async fn ask<Q>(session: &SessionRef, request: Q) -> Result<String, Exit>
where
    Q: Request,
    Q::Response: Serialize,
    CallError<Q::Error>: fmt::Display,
{
    let answer = session.request(request).await.map_err(|error| Exit::failed(error.to_string()))?;
    serde_json::to_string(&answer)
        .map_err(|error| Exit::failed(format!("the answer has no JSON: {error}")))
}

/// A post has no answer; it is done when the other side has dispatched it.
async fn post(session: &SessionRef, note: &Note) -> Result<String, SendError> {
    session.send_wait(note).await?;
    session.barrier().await?;
    Ok("null".into())
}

fn build(args: &CallArgs) -> Result<Service, Exit> {
    let mut builder = Service::builder().agent(concat!("moor/", env!("CARGO_PKG_VERSION")));
    match &args.identity {
        Some(file) => {
            let identity = Identity::load(file).map_err(|error| Exit::usage(error.to_string()))?;
            builder = builder.identity(identity);
        }
        None if args.protocol != PLAIN => return Err(needs_identity(&args.protocol)),
        None => {}
    }
    match args.trust.known_peers() {
        Some(_) if args.protocol == PLAIN => {
            let text = format!("protocol \"{PLAIN}\" has no keys to know; leave out --known-peers");
            return Err(Exit::usage(text));
        }
        Some(known) => builder = builder.known_peers(known),
        None => {}
    }
    builder.build().map_err(|error| Exit::of_library(&error))
}
