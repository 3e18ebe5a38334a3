//! What docs/architecture.md promises of the source tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of rooms (files and folders directly in `src`, except `main.rs`) that a reader can remember.
const MAX_ROOMS: usize = 30;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Source files by their module path (`http::wire::tcp`), without tests and comments. A face has its room's name.
struct Tree {
    texts: BTreeMap<String, String>,
    faces: BTreeSet<String>,
}

impl Tree {
    fn read() -> Tree {
        let mut tree = Tree { texts: BTreeMap::new(), faces: BTreeSet::new() };
        tree.read_folder(&root().join("src"), "");
        tree
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() {
                self.read_folder(&path, &format!("{prefix}{name}::"));
            } else if name == "mod" {
                let room = prefix.trim_end_matches("::").to_owned();
                self.faces.insert(room.clone());
                self.texts.insert(room, code(&path));
            } else if name != "lib" {
                self.texts.insert(format!("{prefix}{name}"), code(&path));
            }
        }
    }

    /// The files that `text` names by absolute paths; items that a face re-exports count as their own file.
    fn uses(&self, text: &str) -> BTreeSet<String> {
        paths(text).iter().filter_map(|path| self.file_of(path)).collect()
    }

    fn file_of(&self, path: &str) -> Option<String> {
        let parts: Vec<&str> = path.split("::").collect();
        let file = (1..=parts.len()).rev().map(|n| parts[..n].join("::"));
        let file = file.into_iter().find(|file| self.texts.contains_key(file))?;
        let item = path.strip_prefix(&file)?.trim_start_matches("::").split("::").next()?;
        if !self.faces.contains(&file) || item.is_empty() {
            return Some(file);
        }
        let face = &self.texts[&file];
        let exported = face.split("pub use ").chain(face.split("pub(crate) use ")).skip(1);
        for statement in exported.filter_map(|rest| rest.split(';').next()) {
            let (from, items) = statement.rsplit_once("::").unwrap_or((statement, ""));
            let (from, items) = statement.split_once("::{").unwrap_or((from, items));
            let is_it = |name: &str| name.trim().trim_end_matches('}') == item || name == "*";
            if items.split(',').any(is_it) {
                let from = from.trim_start_matches("crate::");
                return self.file_of(&format!("{file}::{from}")).or_else(|| self.file_of(from));
            }
        }
        Some(file)
    }
}

/// A file's text without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// All paths after `crate::`, those in braces one by one.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").chain(text.split("sigv4_proxy::")).skip(1) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let path: String = rest.chars().take_while(|c| is_part(*c)).collect();
        match rest[path.len()..].strip_prefix('{') {
            Some(group) if path.ends_with("::") || path.is_empty() => {
                let group = group.split('}').next().unwrap();
                let names =
                    group.split([',', '{']).map(|name| name.split(" as ").next().unwrap().trim());
                found
                    .extend(names.map(|name| format!("{path}{}", name.trim_start_matches("self"))));
            }
            _ => found.push(path),
        }
    }
    found.iter().map(|path| path.trim_end_matches(':').to_owned()).collect()
}

fn room_of(file: &str) -> &str {
    file.split("::").next().unwrap()
}

/// The rooms in the order of docs/architecture.md: each may use those before it.
fn rooms_in_order() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table =
        page.split("<!-- rooms -->").nth(1).unwrap().split("<!-- /rooms -->").next().unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    rows.map(|room| room.trim_end_matches(".rs").trim_end_matches('/').to_owned()).collect()
}

#[test]
fn every_room_is_on_the_page_and_uses_only_those_before_it() {
    let (tree, order) = (Tree::read(), rooms_in_order());
    let rooms: BTreeSet<&str> = tree.texts.keys().map(|file| room_of(file)).collect();
    assert_eq!(
        rooms,
        order.iter().map(String::as_str).collect(),
        "the rooms of docs/architecture.md"
    );
    assert!(rooms.len() - 1 <= MAX_ROOMS, "{} rooms", rooms.len() - 1);
    let place = |room: &str| order.iter().position(|known| known == room).unwrap();
    for (file, text) in &tree.texts {
        for used in tree.uses(text) {
            let (from, to) = (room_of(file), room_of(&used));
            assert!(
                from == to || place(to) < place(from),
                "{file} uses {used}, which stands above it"
            );
        }
    }
}

/// The layers that a face lists, from the top down: the files of each.
fn layers_of(face: &Path) -> Vec<BTreeSet<String>> {
    let text = fs::read_to_string(face).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("//! |---")).skip(1);
    let rows = rows.map_while(|row| row.strip_prefix("//! |"));
    rows.map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect()).collect()
}

#[test]
fn every_file_that_exchanges_messages_has_a_layer_and_uses_none_above_it() {
    let (tree, room) = (Tree::read(), "streamable_http");
    let layers = layers_of(&root().join("src").join(room).join("mod.rs"));
    let layer_of = |file: &str| layers.iter().position(|layer| layer.contains(file));
    let name = |file: &str| file.strip_prefix(&format!("{room}::")).map(str::to_owned);
    let files: BTreeSet<String> = tree.texts.keys().filter_map(|file| name(file)).collect();
    assert_eq!(files, layers.iter().flatten().cloned().collect(), "the layers of {room}");
    assert_eq!(files.len(), layers.iter().map(BTreeSet::len).sum::<usize>(), "one layer each");
    for file in &files {
        for used in
            tree.uses(&tree.texts[&format!("{room}::{file}")]).iter().filter_map(|u| name(u))
        {
            assert!(layer_of(file) <= layer_of(&used), "{file} uses {used}, which is above it");
        }
    }
}

#[test]
fn no_file_uses_itself_by_way_of_others() {
    let tree = Tree::read();
    let files = tree.texts.iter().filter(|(file, _)| !tree.faces.contains(*file));
    let mut left: BTreeMap<&String, BTreeSet<String>> = files
        .map(|(file, text)| {
            (file, tree.uses(text).into_iter().filter(|used| used != file).collect())
        })
        .collect();
    // Without circles, repeatedly removing files that use no remaining file removes all.
    while !left.is_empty() {
        let names: BTreeSet<&String> = left.keys().copied().collect();
        let before = left.len();
        left.retain(|_, uses| uses.iter().any(|used| names.contains(used)));
        assert!(left.len() < before, "a circle among {left:#?}");
    }
}

#[test]
fn faces_explain_and_export_and_hold_nothing() {
    let tree = Tree::read();
    for face in &tree.faces {
        for word in ["fn ", "struct ", "enum ", "trait ", "impl ", "const ", "static "] {
            let found = tree.texts[face].lines().find(|line| line.contains(word));
            assert_eq!(found, None, "the face of {face} holds more than `mod` and `pub use`");
        }
    }
    for (file, text) in &tree.texts {
        assert!(!text.contains("super::"), "{file} names its parent's items instead of a file");
    }
}

#[test]
fn only_the_command_line_assembly_and_doctor_know_the_options() {
    let tree = Tree::read();
    for (file, text) in &tree.texts {
        let knows =
            paths(text).iter().any(|path| path.starts_with("cli::") && path.ends_with("::Options"));
        let may = ["cli", "assembly", "doctor", "main"].contains(&room_of(file));
        assert!(may || !knows, "{file} knows the options of the command line");
    }
}

/// An option that is only in the table would be accepted and documented, and do nothing.
#[test]
fn every_option_is_read_and_used() {
    let tree = Tree::read();
    let text_of = |is_wanted: &dyn Fn(&str) -> bool| -> String {
        tree.texts.iter().filter(|(file, _)| is_wanted(file)).map(|(_, text)| &**text).collect()
    };
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
    };
    let named_after = |text: &str, before: &str| -> Vec<String> {
        let found = text.split(before).skip(1);
        let names = found.filter_map(|rest| rest.split([',', ':']).next());
        names.filter(|name| !name.contains(' ')).map(str::to_owned).collect()
    };
    let read = words(&text_of(&|file| {
        room_of(file) == "cli" && !["cli::table", "cli::help"].contains(&file)
    }));
    let keys = named_after(&tree.texts["cli::table"], "key: Key::");
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys.iter().filter(|key| *key != "DisableTelemetry") {
        assert!(read.contains(key), "no file of cli reads Key::{key}");
    }
    let used = words(&text_of(&|file| ["assembly", "doctor", "main"].contains(&room_of(file))));
    let fields = named_after(&tree.texts["cli::options"], "\n    pub ");
    assert!(fields.len() > 50, "{fields:?}");
    for field in fields {
        assert!(used.contains(&field), "neither assembly nor doctor uses {field} of the options");
    }
}

#[test]
fn only_one_room_names_ureq_and_rustls() {
    for (file, text) in Tree::read().texts {
        let names = text.contains("ureq::") || text.contains("rustls::");
        assert!(room_of(&file) == "http" || !names, "{file} names them");
    }
}

/// All Rust text below a folder.
fn sources(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => fs::read_to_string(&path).unwrap(),
        _ => String::new(),
    };
    paths.map(text).collect()
}

#[test]
fn every_test_vector_file_is_read() {
    let tests: String =
        ["tests/it", "tests/support"].iter().map(|folder| sources(&root().join(folder))).collect();
    for entry in fs::read_dir(root().join("test-vectors/signing")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(tests.contains(name), "{name} is not read by any test");
        }
    }
}
