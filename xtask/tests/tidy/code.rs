//! Rust sources without their comments and literals.

/// `source` with every comment and every string, byte and character literal
/// replaced by spaces. Lines stay where they are.
pub(crate) fn without_comments_and_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        // Identifiers as a whole, so that the `r` of `for"` begins no literal.
        let word = rest.len() - rest.trim_start_matches(is_word).len();
        let prefix = &rest[..word];
        let blank = if word == 0 || matches!(prefix, "r" | "b" | "br" | "c" | "cr") {
            comment_or_literal(prefix, &rest[word..]).map(|length| word + length)
        } else {
            None
        };
        let length = blank.unwrap_or(word.max(first.len_utf8()));
        let (piece, after) = rest.split_at(length);
        if blank.is_some() {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push_str(piece);
        }
        rest = after;
    }
    code
}

/// Whether `code` contains `word` between characters that are not part of one.
pub(crate) fn contains_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How long the comment or literal is that `text` begins with, if it does.
/// `prefix` is what stands before the quote.
fn comment_or_literal(prefix: &str, text: &str) -> Option<usize> {
    if prefix.is_empty() && text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if prefix.is_empty() && text.starts_with("/*") {
        return Some(block_comment(text));
    }
    if prefix.contains('r') {
        return raw_string(text);
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    // A lifetime or a label is not a literal: no quote follows its name.
    let inside = text.strip_prefix('\'')?;
    let one = inside.chars().next()?;
    let is_literal = one == '\\' || inside[one.len_utf8()..].starts_with('\'');
    is_literal.then(|| quoted(text, '\''))
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut end = 0;
    while end < text.len() {
        if text[end..].starts_with("/*") {
            depth += 1;
            end += 2;
        } else if text[end..].starts_with("*/") {
            depth -= 1;
            end += 2;
            if depth == 0 {
                break;
            }
        } else {
            end += text[end..].chars().next().map_or(1, char::len_utf8);
        }
    }
    end
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let inside = text[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", &text[..hashes]);
    let end = inside
        .find(&close)
        .map_or(inside.len(), |at| at + close.len());
    Some(hashes + 1 + end)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return index + 1;
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else() {
    // Sources, with the words that remain.
    let cases = [
        ("a // b\nc", "a c"),
        ("a /* b /* c */ d */ e", "a e"),
        (r#"f("x \" y", z)"#, "f( , z)"),
        (r##"r#"a " b"# c"##, "c"),
        (r#"br"a\" b"c" d"#, "d"),
        (r"'a' '\'' '\u{7d}' 'static <'a>", "'static <'a>"),
        ("r#type in \"s\"", "r#type in"),
        ("\"a\nb\" c", "c"),
    ];
    for (source, expected) in cases {
        let code = without_comments_and_literals(source);
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words.join(" "), expected, "{source}");
        assert_eq!(code.lines().count(), source.lines().count(), "{source}");
    }
}

#[test]
fn words_are_whole() {
    assert!(contains_word("unsafe {", "unsafe"));
    assert!(!contains_word("unsafe_code", "unsafe"));
    assert!(!contains_word("reprintln!()", "println!"));
}
