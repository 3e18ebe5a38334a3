//! What docs/architecture.md promises of the source tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The non-test text of each module at the top of `src`, by name.
fn modules() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "main" && name != "lib" {
            modules.insert(name, sources(&path));
        }
    }
    modules
}

fn sources(path: &Path) -> String {
    let files: Vec<PathBuf> = if path.is_dir() {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![path.to_owned()]
    };
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.map(|text| text.split("#[cfg(test)]").next().unwrap().to_owned()).collect()
}

fn uses(text: &str, own: &str) -> BTreeSet<String> {
    let names = text.split("crate::").skip(1).map(|rest| {
        rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>()
    });
    names.filter(|name| name != own && !name.is_empty()).collect()
}

#[test]
fn the_arrows_are_those_of_the_architecture_page() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table =
        page.split("<!-- arrows -->").nth(1).unwrap().split("<!-- /arrows -->").next().unwrap();
    let promised: BTreeMap<String, BTreeSet<String>> = table
        .lines()
        .skip(3)
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let name = cells.next().unwrap().to_owned();
            (name, cells.next().unwrap_or("").split_whitespace().map(str::to_owned).collect())
        })
        .collect();
    let found: BTreeMap<String, BTreeSet<String>> =
        modules().into_iter().map(|(name, text)| (name.clone(), uses(&text, &name))).collect();
    assert_eq!(found, promised);

    // Acyclic: taking away, again and again, what uses nothing that is left takes everything away.
    let mut left = found;
    while !left.is_empty() {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        left.retain(|_, uses| uses.iter().any(|used| names.contains(used)));
        assert!(left.len() < names.len(), "a circle among {names:?}");
    }
}

#[test]
fn only_one_place_names_ureq_and_rustls() {
    for (name, text) in modules() {
        let names = text.contains("ureq::") || text.contains("rustls::");
        assert!(name == "http" || !names, "{name} names them");
    }
}

#[test]
fn every_test_vector_file_is_read() {
    let tests: String =
        ["tests/it", "tests/support"].iter().map(|folder| sources(&root().join(folder))).collect();
    for entry in fs::read_dir(root().join("test-vectors/signing")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(tests.contains(&name), "{name} is not read by any test");
    }
}
