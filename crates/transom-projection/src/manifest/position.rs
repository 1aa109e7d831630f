//! Where things are in a text: bytes counted from 0, lines and columns from 1.

/// Line and column of an offset, both from 1, the column in bytes.
pub(super) fn line_and_column(text: &[u8], offset: usize) -> (u32, u32) {
    let before = &text[..offset];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let column = u32::try_from(1 + offset - line_start).unwrap_or(u32::MAX);
    (1 + count_newlines(before), column)
}

/// Counts in bytes, a chunk at a time that cannot overflow one, because that
/// is what compilers make fast code of.
pub(super) fn count_newlines(bytes: &[u8]) -> u32 {
    let count_short = |chunk: &[u8]| -> u8 { chunk.iter().map(|b| u8::from(*b == b'\n')).sum() };
    bytes
        .chunks(usize::from(u8::MAX))
        .map(|chunk| u32::from(count_short(chunk)))
        .sum()
}

/// The offset that serde_json means by a line and a column; it points at the
/// byte it had just read.
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    (line_start + column.saturating_sub(1)).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "ab\ncd\n";
        let expected = [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (3, 1))];
        for (offset, position) in expected {
            assert_eq!(
                line_and_column(text.as_bytes(), offset),
                position,
                "{offset}"
            );
        }
    }
}
