/// How many bytes have to be added, dropped or changed to turn one name into
/// the other (Levenshtein).
pub(crate) fn edit_distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, left) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in other.iter().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases: [(&[u8], &[u8], usize); 5] = [
            (b"", b"", 0),
            (b"", b"abc", 3),
            (b"main.c", b"main.h", 1),
            (b"stdoi.h", b"stdio.h", 2),
            (b"kitten", b"sitting", 3),
        ];
        for (one, other, expected) in cases {
            assert_eq!(edit_distance(one, other), expected);
            assert_eq!(edit_distance(other, one), expected);
        }
    }
}
