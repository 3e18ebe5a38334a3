//! Suggests a known name for an unknown one.

/// The most similar of `names`, if one is similar enough.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(word, name), name));
    near.filter(|(distance, name)| is_near(*distance, word, name)).min().map(|(_, name)| name)
}

/// Swapped characters count as two edits; a prefix is similar. Nothing is similar to a single character.
fn is_near(distance: usize, word: &str, name: &str) -> bool {
    let is_spelt_so = distance <= 1 + name.len() / 4 && distance < name.len();
    is_spelt_so || (word.len() > 2 && name.starts_with(word))
}

/// Levenshtein distance in characters.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        for (word, expected) in [
            ("wrok", Some("work")),
            ("worl", Some("work")),
            ("defualt", Some("default")),
            ("defa", Some("default")),
            ("dev2", Some("dev")),
            ("zzz", None),
            ("y", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, ["default", "dev", "work", "x"]), expected, "{word}");
        }
    }
}
