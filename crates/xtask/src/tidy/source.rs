//! Just enough of Rust's lexical rules to tell code from comments, literals and tests.
//!
//! Two views of a file keep its lines and columns: `code` has neither comments nor the contents of
//! literals, `words` has no comments. Test modules are blank in both.

/// A Rust file without what a check must not trip over.
pub(super) struct Source {
    /// Code alone.
    pub(super) code: String,
    /// Code and the contents of its literals.
    pub(super) words: String,
    /// Names of modules in other files that this one declares under `#[cfg(test)]`.
    pub(super) test_modules: Vec<String>,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let (code, words) = Lexer::new(text).run();
        let (tests, test_modules) = find_tests(&code);
        let blank = |view: Vec<char>| -> String {
            let kept =
                |(i, c)| if c != '\n' && tests.iter().any(|t| t.contains(&i)) { ' ' } else { c };
            view.into_iter().enumerate().map(kept).collect()
        };
        Self { words: blank(words), code: blank(code), test_modules }
    }
}

/// One-based numbers of the lines in which `found` says yes, with the lines.
pub(super) fn lines_where<'a>(
    view: &'a str,
    found: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (usize, &'a str)> {
    view.lines().enumerate().filter(move |(_, line)| found(line)).map(|(i, line)| (i + 1, line))
}

/// Whether `word` stands in `line` and is no part of a longer identifier.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    code: Vec<char>,
    words: Vec<char>,
}

impl Lexer {
    fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        let room = text.len();
        Self { text, at: 0, code: Vec::with_capacity(room), words: Vec::with_capacity(room) }
    }

    fn run(mut self) -> (Vec<char>, Vec<char>) {
        while let Some(c) = self.peek(0) {
            match c {
                '/' if self.peek(1) == Some('/') => self.line_comment(),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                'r' if self.starts_raw_string() => self.raw_string(),
                '\'' if self.starts_character() => self.character(),
                _ => self.take(true, true),
            }
        }
        (self.code, self.words)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// Moves on by one character, kept or blank in each view; line ends are always kept.
    fn take(&mut self, in_code: bool, in_words: bool) {
        let c = self.text[self.at];
        self.code.push(if in_code || c == '\n' { c } else { ' ' });
        self.words.push(if in_words || c == '\n' { c } else { ' ' });
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(false, false);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            let step = match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => 1,
                (Some('*'), Some('/')) => -1,
                _ => 0,
            };
            depth += step;
            self.take(false, false);
            if step != 0 {
                self.take(false, false);
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(true, true);
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.take(true, true),
                '\\' if self.peek(1).is_some() => {
                    self.take(false, true);
                    self.take(false, true);
                }
                _ => self.take(false, true),
            }
        }
    }

    /// `r"` or `r#"`, also after `b` or `c`, but neither `for"` nor the raw identifier `r#loop`.
    fn starts_raw_string(&self) -> bool {
        let before = self.at.checked_sub(1).map(|i| self.text[i]);
        let before = match before {
            Some('b' | 'c') => self.at.checked_sub(2).map(|i| self.text[i]),
            other => other,
        };
        let hashes = self.text[self.at + 1..].iter().take_while(|c| **c == '#').count();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && self.peek(1 + hashes) == Some('"')
    }

    fn raw_string(&mut self) {
        self.take(true, true);
        let mut hashes = 0;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.take(true, true);
        }
        self.take(true, true);
        while let Some(c) = self.peek(0) {
            let ends = c == '"' && (1..=hashes).all(|i| self.peek(i) == Some('#'));
            self.take(ends, true);
            if ends {
                return (0..hashes).for_each(|_| self.take(true, true));
            }
        }
    }

    /// A character literal, and no lifetime: `'a'` and `'\n'` end in a quote, `'a` does not.
    fn starts_character(&self) -> bool {
        self.peek(1) == Some('\\') || self.peek(2) == Some('\'')
    }

    fn character(&mut self) {
        self.take(true, true);
        if self.peek(0) == Some('\\') {
            self.take(false, true);
        }
        self.take(false, true);
        while self.peek(0).is_some_and(|c| c != '\'') {
            self.take(false, true);
        }
        if self.peek(0).is_some() {
            self.take(true, true);
        }
    }
}

/// The stretches of code under `#[cfg(test)]`, and the modules in other files declared there.
fn find_tests(code: &[char]) -> (Vec<std::ops::Range<usize>>, Vec<String>) {
    let marker: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut stretches = Vec::new();
    let mut modules = Vec::new();
    let mut at = 0;
    while at + marker.len() <= code.len() {
        if code[at..at + marker.len()] != marker[..] {
            at += 1;
            continue;
        }
        let body = at + marker.len();
        let end = end_of_item(code, body);
        modules.extend(declared_module(&code[body..end]));
        stretches.push(at..end);
        at = end;
    }
    (stretches, modules)
}

/// Just past the `;` or the closing brace of the item that starts at `from`.
fn end_of_item(code: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    for (i, c) in code.iter().enumerate().skip(from) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *c == '}' {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

fn declared_module(item: &[char]) -> Option<String> {
    let item: String = item.iter().collect();
    let (_, name) = item.trim().strip_suffix(';')?.rsplit_once("mod ")?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_vanish_and_lines_stay() {
        let source = Source::parse("a // tokio::\n/* x /* y */ z */ b\n");
        assert_eq!(source.code.split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(source.code.find('b'), Some("a // tokio::\n/* x /* y */ z */ ".len()));
        assert_eq!(source.code.lines().count(), 2);
    }

    #[test]
    fn literals_stay_in_words_alone() {
        let source = Source::parse(r#"let a = "msgpack // no comment"; let b = 1;"#);
        assert!(!source.code.contains("msgpack") && source.words.contains("msgpack"));
        assert!(source.code.contains("let b = 1;") && source.words.contains("let b = 1;"));
    }

    #[test]
    fn raw_strings_end_where_their_hashes_say() {
        let source = Source::parse("let a = r#\"one \" unsafe \"#; let b = br\"unsafe\"; c");
        assert!(!has_word(&source.code, "unsafe"));
        assert!(source.code.ends_with("; c"));
    }

    #[test]
    fn lifetimes_are_no_characters() {
        let source = Source::parse("fn f<'a>(x: &'a str) { '\"'; '\\''; '{'; y }");
        assert!(source.code.contains("&'a str"));
        assert!(source.code.ends_with("; y }"));
        assert!(!source.code.contains("'{'"));
    }

    #[test]
    fn test_modules_are_blank() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { sleep(); }\n}\nfn c() {}\n";
        let source = Source::parse(text);
        assert!(source.code.contains("fn a") && source.code.contains("fn c"));
        assert!(!source.code.contains("sleep"));
        assert_eq!(source.code.lines().count(), text.lines().count());
    }

    #[test]
    fn test_modules_of_other_files_are_named() {
        let source =
            Source::parse("#[cfg(test)]\nmod dialogue;\nmod real;\n#[cfg(test)] use a::b;\n");
        assert_eq!(source.test_modules, ["dialogue"]);
        assert!(source.code.contains("mod real;") && !source.code.contains("use a::b"));
    }

    #[test]
    fn a_word_is_not_part_of_another() {
        assert!(has_word("unsafe {", "unsafe") && has_word("(unsafe)", "unsafe"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
    }
}
