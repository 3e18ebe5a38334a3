//! The image that is built from source: its Dockerfile copies all that cargo reads.

use std::fs;
use std::path::Path;

#[test]
fn the_dockerfile_copies_every_file_that_the_manifest_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    let dockerfile = read(".github/release/container/source.Dockerfile");
    let ignored = read(".github/release/container/source.Dockerfile.dockerignore");
    let (stage, _) = dockerfile.split_once("FROM scratch").expect("two stages");
    let lines = stage.lines().filter_map(|line| line.strip_prefix("COPY "));
    let copied: Vec<&str> =
        lines.flat_map(|words| words.rsplit_once(' ').unwrap().0.split(' ')).collect();
    for source in &copied {
        assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is ignored");
    }

    let manifest = read("Cargo.toml");
    let of_manifest = manifest.lines().filter_map(|line| {
        let (_, value) = line.split_once("build = ").or_else(|| line.split_once("path = "))?;
        value.strip_prefix('"')?.split('"').next()
    });
    let mut needed: Vec<&str> = of_manifest.collect();
    assert!(needed.len() > 5, "{needed:?}");
    // `lib.rs` includes the page.
    needed.extend(["Cargo.toml", "Cargo.lock", "src/main.rs", "docs/library.md"]);
    for file in needed {
        let is_copied = copied.iter().any(|source| Path::new(file).starts_with(source));
        assert!(is_copied, "{file} is not copied");
    }
}
