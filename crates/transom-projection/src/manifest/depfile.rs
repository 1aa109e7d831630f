//! Depfiles: what a compiler read, written as Makefile rules (`gcc -MD`).
//!
//! ```text
//! main.o: src/main.c include/with\ space.h \
//!  include/b.h
//! include/b.h:
//! ```
//!
//! The prerequisites of all rules are inputs; targets are not, so the rules
//! without prerequisites that `-MP` adds add nothing. Names are escaped the way
//! make, gcc and clang agree on:
//!
//! * a space, tab, `#` or `:` that belongs to a name has a `\` before it;
//! * directly before a space or tab, a `\` that belongs to the name is doubled;
//!   elsewhere a `\` is itself;
//! * `$$` is `$`; a `$` before anything else would be a variable of make and is
//!   refused;
//! * a `\` at the end of a line continues the rule on the next one.
//!
//! The targets of a rule end with a `:` followed by white space; any other `:`
//! belongs to a name. A `#` at the beginning of a word starts a comment.

use std::sync::Arc;

use super::Document;
use super::error::{ManifestError, Problem};
use super::file_list::declare;
use crate::{Declaration, ViewPath};

/// Reads a depfile: every prerequisite of every rule is an input named after
/// its path, like those of a file list. A prerequisite named twice is declared
/// twice.
///
/// The number of declarations is not limited here; the iterator is lazy, and
/// ends with the first error.
pub fn parse_depfile<'a>(
    depfile: &Document<'a>,
    under: &'a ViewPath,
) -> impl Iterator<Item = Result<Declaration, ManifestError>> + use<'a> {
    let label = Arc::clone(&depfile.label);
    let base = depfile.base;
    Prerequisites::new(depfile.bytes).map(move |found| match found {
        Ok((name, line)) => declare(&name, &label, line, base, under),
        Err((problem, line)) => Err(ManifestError::new(
            &label,
            Some(line),
            Problem::Depfile(problem),
        )),
    })
}

type Located<T> = (T, u32);

/// The prerequisites in some bytes, with their lines.
struct Prerequisites<'a> {
    words: Words<'a>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first rule.
    Start,
    /// Between rules.
    BetweenRules,
    /// After a target.
    Targets,
    /// After the colon.
    Prerequisites,
    /// After the last rule or an error.
    End,
}

impl<'a> Prerequisites<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            words: Words {
                rest: bytes,
                line: 1,
                next_line: 1,
            },
            state: State::Start,
        }
    }

    fn step(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        loop {
            self.state = match (self.state, self.words.next()?) {
                (State::Start, Word::EndOfFile) => {
                    return Err("this depfile has no rule; did the compiler fail to write it?");
                }
                (State::Targets, Word::EndOfLine | Word::EndOfFile) => {
                    return Err(
                        "a rule of a depfile looks like `main.o: main.c`, and here is no `:`; was the file cut short?",
                    );
                }
                (State::Start | State::BetweenRules, Word::Colon) => {
                    return Err("a rule of a depfile has a target before the `:`");
                }
                (State::Prerequisites, Word::Colon) => {
                    return Err("a second `:` in one rule; write `\\:` if it belongs to a name");
                }
                (State::Prerequisites, Word::Name(name)) => return Ok(Some(name)),
                (State::Start | State::BetweenRules | State::Targets, Word::Name(_)) => {
                    State::Targets
                }
                (State::Targets, Word::Colon) => State::Prerequisites,
                (State::Prerequisites, Word::EndOfLine) => State::BetweenRules,
                (state @ (State::Start | State::BetweenRules), Word::EndOfLine) => state,
                (State::End, _) | (_, Word::EndOfFile) => return Ok(None),
            };
        }
    }
}

impl Iterator for Prerequisites<'_> {
    type Item = Result<Located<Vec<u8>>, Located<&'static str>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::End {
            return None;
        }
        let step = self.step();
        if !matches!(step, Ok(Some(_))) {
            self.state = State::End;
        }
        let line = self.words.line;
        match step {
            Ok(name) => name.map(|name| Ok((name, line))),
            Err(problem) => Some(Err((problem, line))),
        }
    }
}

/// What a depfile consists of.
enum Word {
    Name(Vec<u8>),
    /// The `:` after the targets.
    Colon,
    /// The end of a rule.
    EndOfLine,
    EndOfFile,
}

/// Splits a depfile into words.
struct Words<'a> {
    rest: &'a [u8],
    /// The line of the word returned last.
    line: u32,
    /// The line that `rest` begins on.
    next_line: u32,
}

impl Words<'_> {
    fn next(&mut self) -> Result<Word, &'static str> {
        loop {
            self.line = self.next_line;
            match self.rest {
                [] => return Ok(Word::EndOfFile),
                [b'\n', ..] => {
                    self.skip(1);
                    self.next_line += 1;
                    return Ok(Word::EndOfLine);
                }
                [b'\\', b'\n', ..] => {
                    self.skip(2);
                    self.next_line += 1;
                }
                [b'\\', b'\r', b'\n', ..] => {
                    self.skip(3);
                    self.next_line += 1;
                }
                [b'\\'] => {
                    return Err("the depfile ends in the middle of a rule; was it cut short?");
                }
                [b' ' | b'\t', ..] | [b'\r', b'\n', ..] => self.skip(1),
                [b':', ..] if ends_targets(self.rest) => {
                    self.skip(1);
                    return Ok(Word::Colon);
                }
                [b'#', ..] => {
                    let end = self.rest.iter().position(|byte| *byte == b'\n');
                    self.skip(end.unwrap_or(self.rest.len()));
                }
                _ => return self.name().map(Word::Name),
            }
        }
    }

    /// Reads a name, which begins here.
    fn name(&mut self) -> Result<Vec<u8>, &'static str> {
        let mut name = Vec::new();
        loop {
            match self.rest {
                [] | [b' ' | b'\t' | b'\n', ..] | [b'\r', b'\n', ..] => return Ok(name),
                [b':', ..] if ends_targets(self.rest) => return Ok(name),
                [b'\\', ..] => {
                    if self.backslashes(&mut name) {
                        return Ok(name);
                    }
                }
                [b'$', b'$', ..] => {
                    name.push(b'$');
                    self.skip(2);
                }
                [b'$', ..] => {
                    return Err("a depfile names files, not variables of make; write `$$` for `$`");
                }
                [byte, ..] => {
                    name.push(*byte);
                    self.skip(1);
                }
            }
        }
    }

    /// Reads a run of backslashes and the character they escape, if they do.
    /// Returns whether the name ends here.
    fn backslashes(&mut self, name: &mut Vec<u8>) -> bool {
        let count = self
            .rest
            .iter()
            .position(|byte| *byte != b'\\')
            .unwrap_or(self.rest.len());
        let after = &self.rest[count..];
        match after {
            [space @ (b' ' | b'\t'), ..] => {
                name.extend(std::iter::repeat_n(b'\\', count / 2));
                if count.is_multiple_of(2) {
                    self.skip(count);
                    return true;
                }
                name.push(*space);
                self.skip(count + 1);
            }
            // The last backslash continues the line: it is not of the name.
            [] | [b'\n', ..] | [b'\r', b'\n', ..] => {
                name.extend(std::iter::repeat_n(b'\\', count - 1));
                self.skip(count - 1);
                return true;
            }
            [special @ (b'#' | b':'), ..] => {
                name.extend(std::iter::repeat_n(b'\\', count - 1));
                name.push(*special);
                self.skip(count + 1);
            }
            _ => {
                name.extend(std::iter::repeat_n(b'\\', count));
                self.skip(count);
            }
        }
        false
    }

    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }
}

/// Whether the `:` at the start of `rest` is the one after the targets.
fn ends_targets(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b':'] | [b':', b' ' | b'\t' | b'\n', ..] | [b':', b'\\' | b'\r', b'\n', ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, u32)>, (String, u32)> {
        Prerequisites::new(text.as_bytes())
            .map(|found| match found {
                Ok((name, line)) => Ok((String::from_utf8(name).unwrap(), line)),
                Err((problem, line)) => Err((problem.to_owned(), line)),
            })
            .collect()
    }

    #[test]
    fn prerequisites_of_all_rules() {
        let cases: &[(&str, &[(&str, u32)])] = &[
            ("a.o: a.c", &[("a.c", 1)]),
            ("a.o: a.c b.h\n", &[("a.c", 1), ("b.h", 1)]),
            (
                "a.o: a.c \\\n b.h \\\n  c.h\n",
                &[("a.c", 1), ("b.h", 2), ("c.h", 3)],
            ),
            ("a.o: a.c\\\nb.h\n", &[("a.c", 1), ("b.h", 2)]),
            ("a.o:\\\n a.c\n", &[("a.c", 2)]),
            ("a.o b.o : a.c\n", &[("a.c", 1)]),
            ("a.o: a.c\n\nb.h:\n\nc.h:", &[("a.c", 1)]),
            (
                "a.o: a.c\r\nb.o: b.c \\\r\n b.h\r\n",
                &[("a.c", 1), ("b.c", 2), ("b.h", 3)],
            ),
            ("# made by hand\na.o: a.c # why\n", &[("a.c", 2)]),
            ("a.o: x#y", &[("x#y", 1)]),
            (
                "a.o: with\\ space.h \\#.h \\:x c:d",
                &[("with space.h", 1), ("#.h", 1), (":x", 1), ("c:d", 1)],
            ),
            ("a.o: x\\: y", &[("x:", 1), ("y", 1)]),
            (
                "a.o: back\\slash \\\\\\ x y\\\\ z",
                &[("back\\slash", 1), ("\\ x", 1), ("y\\", 1), ("z", 1)],
            ),
            ("a.o: $$HOME/x$$", &[("$HOME/x$", 1)]),
            ("c:/x.o: a.c", &[("a.c", 1)]),
            ("a\\ b.o: a.c", &[("a.c", 1)]),
            ("a.o: a.c\tb.c", &[("a.c", 1), ("b.c", 1)]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, line)| ((*name).to_owned(), *line))
                .collect();
            assert_eq!(parse(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_depfile() {
        let cases = [
            ("", "no rule", 1),
            ("\n\n", "no rule", 3),
            ("a.o", "no `:`", 1),
            ("a.o: a.c\nb.o\n\n", "no `:`", 2),
            ("a.o: a.c \\", "cut short", 1),
            (": a.c", "target before", 1),
            ("a.o: a.c\n\n : b.c", "target before", 3),
            ("a.o: b.o: c", "second `:`", 1),
            ("a.o: $(SOURCES)", "variables", 1),
            ("a.o: $", "variables", 1),
        ];
        for (text, message, line) in cases {
            let (problem, found) = parse(text).unwrap_err();
            assert!(problem.contains(message), "{text:?}: {problem}");
            assert_eq!(found, line, "{text:?}");
        }
    }
}
