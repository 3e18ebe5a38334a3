//! Patterns for names of tools.

/// Whether a pattern, in which `*` is any text and `?` any character, matches the whole name.
pub(crate) fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[of] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                // The last star takes one character more.
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    of = taken + 1;
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, name, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("aws___*", "aws___call_aws", true),
            ("*_aws", "aws___call_aws", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("**", "x", true),
            ("[a]", "a", false),
            ("é?", "éü", true),
        ] {
            assert_eq!(matches(glob, name), fits, "{glob} {name}");
        }
    }
}
