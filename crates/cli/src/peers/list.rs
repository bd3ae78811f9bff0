//! The text of a peer list, line by line: what stays as it is when one of them comes or goes.

use moorline::{Peers, PeersError, PublicKey};

/// A list that a service could use, and the text it was read from.
pub(super) struct List {
    text: String,
    pub(super) peers: Peers,
}

/// A line with a peer on it.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) name: &'a str,
    pub(super) key: PublicKey,
    pub(super) not_after: Option<&'a str>,
}

impl List {
    pub(super) fn parse(text: String) -> Result<Self, PeersError> {
        let peers = Peers::parse(&text)?;
        Ok(Self { text, peers })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The lines with a peer on them; remarks and empty ones have none.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().filter_map(|(index, text)| {
            let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
            let name = words.next().filter(|name| !name.starts_with('#'))?;
            let key = words.next()?.parse().ok()?;
            let not_after = words.find_map(|word| word.strip_prefix("not_after="));
            Some(Line { number: index + 1, name, key, not_after })
        })
    }

    /// What stands on a line, without its end.
    pub(super) fn text_of(&self, line: &Line<'_>) -> &str {
        self.text.lines().nth(line.number - 1).unwrap_or_default()
    }

    /// The text with one line more, behind all others.
    pub(super) fn with_line(&self, line: &str) -> String {
        let text = &self.text;
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        format!("{text}{end}{line}\n")
    }

    /// The text without this line.
    pub(super) fn without(&self, line: &Line<'_>) -> String {
        let lines = self.text.split_inclusive('\n').enumerate();
        lines.filter(|(index, _)| index + 1 != line.number).map(|(_, text)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline::Identity;

    fn key() -> PublicKey {
        Identity::generate().unwrap().public()
    }

    #[test]
    fn everything_else_stays_to_the_letter() {
        let [ada, bob, eve] = [(); 3].map(|()| key());
        let text = format!(
            "# who\r\n\r\n\tada  {ada}\trole=a not_after=2030-01-01\r\n  # {eve}\nbob {bob} role=b"
        );
        let list = List::parse(text.clone()).unwrap();
        let [first, second] = list.lines().collect::<Vec<_>>().try_into().ok().unwrap();
        assert_eq!((first.number, first.name, first.key), (3, "ada", ada));
        assert_eq!((second.number, second.name, second.key), (5, "bob", bob));
        assert_eq!((first.not_after, second.not_after), (Some("2030-01-01"), None));
        assert_eq!(list.text_of(&second), format!("bob {bob} role=b"));
        assert_eq!(list.with_line("x"), format!("{text}\nx\n"));
        assert_eq!(list.without(&first), format!("# who\r\n\r\n  # {eve}\nbob {bob} role=b"));
        assert!(list.without(&second).ends_with(&format!("  # {eve}\n")));
        assert_eq!(List::parse(String::new()).unwrap().with_line("x"), "x\n");
    }
}
