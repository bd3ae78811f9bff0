//! Names for people: what a type is called in a schema, and how any name is written there.

use std::collections::BTreeMap;
use std::fmt;

use super::shape::Scalar;

/// Words that mean something where a type is named.
const WORDS: [&str; 5] = ["option", "list", "map", "named", "opaque"];

/// A name for each of several types, of which serde's name and the compiler's path are known: the
/// first, unless that is the name of another type as well.
pub(super) fn choose(types: &[(&str, &str)]) -> Vec<String> {
    let mut short: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in types {
        *short.entry(as_identifier(name)).or_default() += 1;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    types
        .iter()
        .map(|(name, path)| {
            let name = as_identifier(name);
            let name = if short[&name] == 1 { name } else { as_identifier(path) };
            let times = taken.entry(name.clone()).or_default();
            *times += 1;
            if *times == 1 { name } else { format!("{name}__{times}") }
        })
        .collect()
}

/// The letters and digits of `name`, joined by `_`; never a word of the language of schemas.
fn as_identifier(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_alphanumeric() && c != '_');
    let joined = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let starts_well = joined.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if starts_well && !is_word(&joined) { joined } else { format!("{joined}_") }
}

fn is_word(name: &str) -> bool {
    WORDS.contains(&name) || Scalar::ALL.iter().any(|scalar| scalar.word() == name)
}

/// A name of a message, a field or a variant as it is written: bare where that is possible, else
/// between quotes.
pub(super) struct Written<'a>(pub(super) &'a str);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two dots stand for variants nobody knows.
        if self.0.chars().all(is_bare) && !self.0.is_empty() && !self.0.starts_with('.') {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.escape_default())
        }
    }
}

/// Whether a name with this character needs no quotes.
pub(super) fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// What was written by [`Written`] between the quotes; `None` if nothing writes it like that.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            name.push(c);
            continue;
        }
        name.push(match rest.next()? {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            c @ ('\'' | '"' | '\\') => c,
            'u' => {
                let (digits, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                rest = after.chars();
                u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?
            }
            _ => return None,
        });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_called_by_its_path_only_where_another_has_its_name() {
        let types =
            [("Page", "app::Page<app::User>"), ("Page", "app::Page<app::Item>"), ("A", "b::A")];
        assert_eq!(choose(&types), ["app_Page_app_User", "app_Page_app_Item", "A"]);
        let twice = [("A", "app::A"), ("A", "app::A"), ("u8", "app::u8"), ("9", "x")];
        assert_eq!(choose(&twice), ["app_A", "app_A__2", "u8_", "9_"]);
    }

    #[test]
    fn any_name_can_be_written_and_read_again() {
        for name in ["plain-name.x/y", "..", "", "a b", "ä", "\"\\\n\t\u{1F600}", "@type"] {
            let written = Written(name).to_string();
            let back = match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(inner) => unescape(inner).unwrap(),
                None => written.clone(),
            };
            assert_eq!(back, name, "{written}");
        }
        assert_eq!(unescape("\\u{110000}"), None);
        assert_eq!(unescape("\\"), None);
    }
}
