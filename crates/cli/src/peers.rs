//! `moor peers`: looks at a peer list, and changes it while services follow it.

mod list;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use moorline::{Identity, PublicKey};

use crate::exit::Exit;
use crate::output::{print, tell};
use crate::replace::{Successor, failed};
use list::{Line, List};

/// A line that ends sooner than this is warned of: time to renew it without haste.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Largest file that is read for a public key: one line, with room for an editor's whims.
const PUBLIC_FILE_MAX: u64 = 1_024;

#[derive(Subcommand)]
pub(crate) enum PeersCommand {
    /// Read FILE as a service would; say how many peers it has, and whose line ends within 30 days.
    ///
    /// Ends with 0 if it can be used, 1 if not; then it says where, as FILE:LINE.
    Check {
        /// The peer list.
        file: PathBuf,
    },
    Add(AddArgs),
    Remove(RemoveArgs),
}

/// Add a line to FILE. A service that has the list lets the peer in within a second.
///
/// The new list is checked as a whole and takes the place of the old one at once; the other lines
/// and remarks stay as they are. Ends with 0 if it is added, 1 if the list cannot take it, 2 if an
/// argument cannot be used.
#[derive(Args)]
pub(crate) struct AddArgs {
    /// The peer list, which must be there; it may be empty.
    file: PathBuf,
    /// What to call the peer. May stand twice: a key and its successor.
    name: String,
    /// Its public key as `moor key show` prints it, with or without what stands before the colon,
    /// or @FILE: a key file or a file with the public key.
    #[arg(value_name = "PUBLIC", allow_hyphen_values = true)]
    public: String,
    /// What it may be; several by commas, or by the option again.
    #[arg(long, value_name = "ROLE", value_delimiter = ',', required = true)]
    role: Vec<String>,
    /// Last day or second, in UTC: 2030-12-31 or 2030-12-31T18:00:00Z. Default: for ever.
    #[arg(long, value_name = "DATE")]
    not_after: Option<String>,
    /// Addresses and networks it may come from: 192.0.2.7, 10.0.0.0/8. Default: anywhere.
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    addr: Option<Vec<String>>,
    /// Services it may use. Default: all.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',')]
    services: Option<Vec<String>>,
}

/// Remove a line from FILE. A service that has the list ends the peer's sessions within a second.
///
/// Ends with 0 if the line is gone, 1 if none or several have that name: then nothing was changed,
/// and they are listed.
#[derive(Args)]
pub(crate) struct RemoveArgs {
    /// The peer list.
    file: PathBuf,
    /// The peer's name, or its public key as for `moor peers add`.
    #[arg(value_name = "NAME|PUBLIC", allow_hyphen_values = true)]
    who: String,
}

pub(crate) fn run(command: &PeersCommand) -> Result<(), Exit> {
    match command {
        PeersCommand::Check { file } => check(file),
        PeersCommand::Add(args) => add(args),
        PeersCommand::Remove(args) => remove(args),
    }
}

// ---- check ---------------------------------------------------------------------------------

fn check(file: &Path) -> Result<(), Exit> {
    let list = read(file)?;
    let now = SystemTime::now();
    for line in list.lines() {
        if let Some(end) = end_of(&list, &line, now) {
            tell(&format!("{}:{}: {} {end}", file.display(), line.number, line.name));
        }
    }
    print(&match list.peers.len() {
        0 => "0 peers: nobody gets in".to_owned(),
        1 => "1 peer".to_owned(),
        peers => format!("{peers} peers"),
    })
}

/// What there is to be said of when a line ends.
fn end_of(list: &List, line: &Line, now: SystemTime) -> Option<String> {
    let date = line.not_after?;
    if list.peers.is_expired_at(&line.key, now) {
        Some(format!("has expired and does not get in (not_after={date})"))
    } else if list.peers.is_expired_at(&line.key, now + SOON) {
        Some(format!("expires within 30 days (not_after={date})"))
    } else {
        None
    }
}

fn read(file: &Path) -> Result<List, Exit> {
    let text = fs::read_to_string(file).map_err(|error| failed("read", file, &error))?;
    List::parse(text).map_err(|error| at(file, error.line, &error.error))
}

/// The form that editors know how to follow.
fn at(file: &Path, line: usize, what: &dyn std::fmt::Display) -> Exit {
    Exit::failed(format!("{}:{line}: {what}", file.display()))
}

// ---- add -----------------------------------------------------------------------------------

fn add(args: &AddArgs) -> Result<(), Exit> {
    let key = public_key(&args.public)?;
    let line = args.line(&key)?;
    change(&args.file, |list| {
        if let Some(there) = list.lines().find(|line| line.key == key) {
            let text = format!("this key is on the list already, as {}", there.name);
            return Err(at(&args.file, there.number, &text));
        }
        for there in list.lines().filter(|line| line.name == args.name) {
            let place = format!("{}:{}", args.file.display(), there.number);
            tell(&format!("{place}: {} is there with another key, too, and stays", there.name));
        }
        Ok(list.with_line(&line))
    })?;
    print(&line)
}

impl AddArgs {
    /// The line as it will stand. It is one line about this key, whatever the arguments hold.
    fn line(&self, key: &PublicKey) -> Result<String, Exit> {
        let mut line = format!("{} {}", self.name, key.to_line());
        let all = |values: &Vec<String>| values.join(",");
        let attributes = [
            ("role", Some(all(&self.role))),
            ("not_after", self.not_after.clone()),
            ("addr", self.addr.as_ref().map(all)),
            ("services", self.services.as_ref().map(all)),
        ];
        for (attribute, value) in attributes {
            // An empty value is written down, too, and refused below: without it the peer might do
            // more than was meant.
            let Some(value) = value else { continue };
            if value.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
                return Err(Exit::usage(format!("{attribute} {value:?} has blanks in it")));
            }
            line.push_str(&format!(" {attribute}={value}"));
        }
        let list =
            List::parse(line.clone()).map_err(|error| Exit::usage(error.error.to_string()))?;
        let read = list.lines().next();
        let Some(read) = read.filter(|read| read.name == self.name && read.key == *key) else {
            return Err(Exit::usage(format!("{:?} is no name", self.name)));
        };
        if let Some(end) = end_of(&list, &read, SystemTime::now()) {
            tell(&format!("{} {end}", self.name));
        }
        Ok(line)
    }
}

/// A public key as an argument, or the one in a file.
fn public_key(argument: &str) -> Result<PublicKey, Exit> {
    let Some(file) = argument.strip_prefix('@').map(Path::new) else {
        return argument.parse().map_err(|error| Exit::usage(format!("{error}")));
    };
    // What is said of a file that is neither is said of a key file: it may be one.
    Identity::load(file).map(|identity| identity.public()).or_else(|error| {
        let mut text = String::new();
        let read = fs::File::open(file)
            .and_then(|file| file.take(PUBLIC_FILE_MAX).read_to_string(&mut text));
        let key = read.ok().and_then(|_| text.trim().parse().ok());
        key.ok_or_else(|| Exit::usage(error.to_string()))
    })
}

// ---- remove --------------------------------------------------------------------------------

fn remove(args: &RemoveArgs) -> Result<(), Exit> {
    // What has a colon is no name, and may be a secret that was mistaken for a key: the error of the
    // key does not repeat it.
    let key = match public_key(&args.who) {
        Err(error) if args.who.contains(':') || args.who.starts_with('@') => return Err(error),
        key => key.ok(),
    };
    let mut removed = String::new();
    change(&args.file, |list| {
        let line = the_one(list, &args.who, key.as_ref(), &args.file)?;
        removed = list.text_of(&line).to_owned();
        Ok(list.without(&line))
    })?;
    print(&removed)
}

/// The only line with this key or name.
fn the_one<'a>(
    list: &'a List,
    who: &str,
    key: Option<&PublicKey>,
    file: &Path,
) -> Result<Line<'a>, Exit> {
    let mut found: Vec<_> =
        list.lines().filter(|line| line.name == who || Some(&line.key) == key).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Exit::failed(format!("{}: nobody on it is {who:?}", file.display()))
            .with_advice("Names are told apart by capitals; nothing was changed.")),
        _ => {
            let text = format!("{}: {} lines are {who:?}", file.display(), found.len());
            let mut exit = Exit::failed(text);
            for line in found {
                exit = exit.with_advice(&format!("  line {}: {}", line.number, line.key.to_line()));
            }
            Err(exit.with_advice("Nothing was changed: say which by its public key."))
        }
    }
}

// ---- a change of the file ------------------------------------------------------------------

/// Puts what `edit` makes of the list in its place, if a service could use it.
fn change(file: &Path, edit: impl FnOnce(&List) -> Result<String, Exit>) -> Result<(), Exit> {
    // First the successor, then a look at the old one: so no change of another moor gets lost.
    let (successor, new) = Successor::empty(file)?;
    let text = edit(&read(file)?)?;
    let list = List::parse(text).map_err(|error| at(file, error.line, &error.error))?;
    successor.put_text_in_place(new, list.text())
}
