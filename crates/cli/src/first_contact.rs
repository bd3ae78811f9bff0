//! What `moor call` does about a key that nobody here has seen before: asks, if anybody is there.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use moorline::{Address, Error, FirstContact, KnownPeers, SetupError};

use crate::exit::Exit;
use crate::output::{prompt, tell};

/// Trust on first use, for a URL without a key.
#[derive(Args)]
pub(crate) struct TrustOptions {
    /// Keys by address, for a URL without a key; made when the first one is trusted. A key that is
    /// not in it is asked about on a terminal, and else not trusted.
    #[arg(long, value_name = "FILE")]
    pub(crate) known_peers: Option<PathBuf>,
    /// Trust a key that is not known if this is its fingerprint to the letter, as `moor key
    /// fingerprint` prints it where it serves, and no other. Nobody is asked.
    #[arg(long, value_name = "FINGERPRINT", requires = "known_peers")]
    trust: Option<String>,
}

impl TrustOptions {
    pub(crate) fn known_peers(&self) -> Option<KnownPeers> {
        let trusted = self.trust.clone();
        let known = KnownPeers::file(self.known_peers.as_ref()?);
        Some(known.ask(move |contact| answer(contact, trusted.clone())))
    }

    /// What can be done about it, where the URL has no key.
    pub(crate) fn explain(&self, url: &str, error: &Error) -> Exit {
        let exit = Exit::of_library(error);
        let has_key = url.parse::<Address>().is_ok_and(|address| address.key.is_some());
        match error {
            Error::NotTrusted { .. } => exit.with_advice(
                "If `moor key fingerprint` prints the same where it serves: --trust FINGERPRINT",
            ),
            Error::Handshake { .. } if self.known_peers.is_some() && !has_key => exit.with_advice(
                "If its key is not in the file of known peers, who serves has to let itself be \
                 asked for it: `moor serve --enrol`.",
            ),
            Error::Setup(SetupError::NoRemoteKey(_)) => {
                exit.with_advice("Or it is asked for: --known-peers FILE.")
            }
            _ => exit,
        }
    }
}

async fn answer(contact: FirstContact, trusted: Option<String>) -> bool {
    let fingerprint = contact.fingerprint().to_string();
    match trusted {
        Some(trusted) => trusted == fingerprint,
        None if io::stdin().is_terminal() && io::stderr().is_terminal() => {
            tell(&format!("{} is not known. Its key is {fingerprint}", contact.address));
            prompt("If `moor key fingerprint` prints the same where it serves: trust it? [y/N] ");
            // Somebody thinks for as long as it takes; the runtime goes on meanwhile.
            tokio::task::spawn_blocking(read_yes).await.unwrap_or(false)
        }
        None => false,
    }
}

fn read_yes() -> bool {
    let mut line = String::new();
    io::stdin().read_line(&mut line).is_ok() && is_yes(&line)
}

/// Everything else is a no, also the end of the input.
fn is_yes(line: &str) -> bool {
    ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        for line in ["y\n", "Y\n", "yes\r\n", " YES \n"] {
            assert!(is_yes(line), "{line:?}");
        }
        for line in ["", "\n", "n\n", "no\n", "ye\n", "yes, if it is ada\n", "j\n"] {
            assert!(!is_yes(line), "{line:?}");
        }
    }
}
