/// The one of `known` that `written` was probably meant to be: at most two
/// letters added, dropped or changed, and not most of the word.
pub(super) fn closest(written: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|name| (edit_distance(written, name), *name))
        .filter(|(distance, name)| *distance <= 2 && distance * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance in bytes. A word much longer than any known one is cut:
/// it is far from all of them anyway.
fn edit_distance(written: &str, known: &str) -> usize {
    let written = &written.as_bytes()[..written.len().min(known.len() + 3)];
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, left) in written.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in known.bytes().enumerate() {
            let changed = diagonal + usize::from(*left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[known.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised() {
        let known = ["inputs", "outputs", "dev", "tmp"];
        let cases = [
            ("input", Some("inputs")),
            ("ouptuts", Some("outputs")),
            ("devs", Some("dev")),
            ("proc", None),
            ("", None),
            ("inputsinputsinputsinputs", None),
        ];
        for (written, expected) in cases {
            assert_eq!(closest(written, &known), expected, "{written}");
        }
    }
}
