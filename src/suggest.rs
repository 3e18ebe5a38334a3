//! The name that was probably meant, for a name that is not there.

/// The nearest of `names`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(word, name), name));
    near.filter(|(distance, name)| is_near(*distance, word, name)).min().map(|(_, name)| name)
}

/// Letters that changed places count as two; a beginning will do. Of a name of one letter nothing is near.
fn is_near(distance: usize, word: &str, name: &str) -> bool {
    let is_spelt_so = distance <= 1 + name.len() / 4 && distance < name.len();
    is_spelt_so || (word.len() > 2 && name.starts_with(word))
}

/// How many letters must be put in, taken out or exchanged to turn one word into the other.
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
