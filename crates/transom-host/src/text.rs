/// The text, without what is beyond so many bytes.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        assert_eq!(cut("a\u{e9}b".into(), 2), "a");
        assert_eq!(cut("a\u{e9}b".into(), 3), "a\u{e9}");
        assert_eq!(cut("ab".into(), 3), "ab");
    }
}
