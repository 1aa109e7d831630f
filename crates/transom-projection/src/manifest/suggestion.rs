use crate::edit_distance::edit_distance;

/// The one of `known` that `written` was probably meant to be: at most two
/// letters added, dropped or changed, and not most of the word.
pub(super) fn closest(written: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        // A word much longer than any known one is far from all of them.
        .filter(|name| written.len() <= name.len() + 2)
        .map(|name| (edit_distance(written.as_bytes(), name.as_bytes()), *name))
        .filter(|(distance, name)| *distance <= 2 && distance * 2 < name.len())
        .min()
        .map(|(_, name)| name)
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
