//! Files named by users and variables. Only regular files are opened, and opening never blocks: a pipe would wait for a
//! writer, `/dev/stdin` belongs to the client, and a device may be endless. Files are replaced in one step.

use crate::random;
use crate::suggest::shell_word;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Reads a file of at most `limit` bytes; a larger one is `io::ErrorKind::FileTooLarge`.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path, OpenOptions::new().read(true), Metadata::is_file)?;
    let too_large = || {
        let message = format!("larger than {limit} bytes");
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    };
    if file.metadata()?.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may have grown, and files under /proc report size 0.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// The path from the root on, for messages: users do not know where their client starts programs.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// How to make a file readable that this process is not permitted to read. Only Unix's permissions are known.
pub(crate) fn how_to_permit(path: &Path) -> String {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        use std::os::unix::fs::MetadataExt as _;
        let own = rustix::process::geteuid().as_raw();
        let mut from_root: Vec<&Path> = path.ancestors().collect();
        from_root.reverse();
        for part in from_root {
            let Ok(metadata) = fs::metadata(part) else { break };
            let (needed, mode) = if metadata.is_dir() {
                (Access::EXEC_OK, "u+rx")
            } else {
                (Access::READ_OK, "u+r")
            };
            if access(part, needed).is_ok() {
                continue;
            }
            let part = shell_word(&part.to_string_lossy());
            return match metadata.uid() {
                owner if owner == own => format!("run chmod {mode} {part}"),
                owner => format!(
                    "run sigv4-proxy as user {owner}, the owner of {part} (in a container: --user {owner}), or give it to user {own} with chown, or set HOME to the home of user {own}"
                ),
            };
        }
    }
    format!(
        "allow your client to read {}: its sandbox or the system forbids it",
        shell_word(&path.to_string_lossy())
    )
}

/// Whether other users of the machine can read the file. Only Unix's permissions are known.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let own = rustix::process::geteuid().as_raw();
        fs::metadata(path).is_ok_and(|metadata| is_open(metadata.mode(), metadata.uid(), own))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Orchestrators give a secret to a process that is not root in a file of root's that its group can read.
#[cfg(unix)]
fn is_open(mode: u32, owner: u32, own: u32) -> bool {
    let is_given_by_root = owner == 0 && own != 0;
    mode & if is_given_by_root { 0o004 } else { 0o044 } != 0
}

/// Whether every user of the machine can write the file. Only Unix's permissions are known.
pub(crate) fn is_writable_by_everyone(path: &Path) -> bool {
    has_permission(path, 0o002)
}

/// Whether the file belongs to a user other than this process's and root. Only Unix's owners are known.
pub(crate) fn belongs_to_another(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let own = rustix::process::geteuid().as_raw();
        fs::metadata(path).is_ok_and(|metadata| metadata.uid() != 0 && metadata.uid() != own)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn has_permission(path: &Path, bits: u32) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & bits != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = (path, bits);
        false
    }
}

/// Opens a file for appending. A new file is readable by its owner only; the null device is accepted.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    open(path, &mut options, |metadata| metadata.is_file() || is_null_device(metadata))
}

/// Replaces the content of a file in one step, so that no other process reads half of it. A new file is readable by its
/// owner only.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_file_name(format!(".sigv4-proxy-{:016x}", random::number()));
    let replaced = create_private(&draft, content).and_then(|_| rename(&draft, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&draft);
    }
    replaced
}

/// Creates a folder and those above it that do not exist, for their owner only.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates a file that does not exist, readable by its owner only. No link is followed.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}

#[cfg(not(windows))]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// A file that another process has open cannot be replaced until it is closed.
#[cfg(windows)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    const ERROR_ACCESS_DENIED: i32 = 5;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let mut attempts = 1..=10;
    loop {
        attempts.next();
        match fs::rename(from, to) {
            Err(error)
                if !attempts.is_empty()
                    && matches!(
                        error.raw_os_error(),
                        Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION)
                    ) =>
            {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            renamed => return renamed,
        }
    }
}

/// Opens a file whose metadata `fits`. The check comes before opening, which affects some devices, and again after it, because
/// the file may have been replaced in between.
fn open(path: &Path, options: &mut OpenOptions, fits: fn(&Metadata) -> bool) -> io::Result<File> {
    let not_regular = || Err(io::Error::other("not a regular file"));
    match fs::metadata(path) {
        Ok(metadata) if !fits(&metadata) => return not_regular(),
        // Whether a missing file is an error depends on whether it may be created.
        Ok(_) | Err(_) => {}
    }
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    if fits(&file.metadata()?) { Ok(file) } else { not_regular() }
}

#[cfg(unix)]
fn is_null_device(metadata: &Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    metadata.file_type().is_char_device()
        && fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == metadata.rdev())
}

#[cfg(not(unix))]
fn is_null_device(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    /// An empty folder for one test.
    fn folder(test: &str) -> PathBuf {
        let name = format!("sigv4-proxy-{}-{test}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn reading() {
        let folder = folder("reading");
        let file = folder.join("file");
        fs::write(&file, "12345678").unwrap();
        assert_eq!(read(&file, 8).unwrap(), b"12345678");
        assert_eq!(read(&file, 7).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        for (mode, is_open) in [(0o600, false), (0o640, true), (0o604, true), (0o611, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_others(&file), is_open, "{mode:o}");
        }
        let link = folder.join("link");
        symlink("file", &link).unwrap();
        assert_eq!(read(&link, 8).unwrap(), b"12345678");
        let absent = read(&folder.join("absent"), 8).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());

        fs::File::create(folder.join("sparse")).unwrap().set_len(8 << 30).unwrap();
        let sparse = read(&folder.join("sparse"), 1 << 20).unwrap_err();
        assert_eq!(sparse.kind(), io::ErrorKind::FileTooLarge);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = folder("refused");
        let pipe = folder.join("pipe");
        fifo(&pipe);
        symlink("pipe", folder.join("link")).unwrap();
        for path in [&folder, &pipe, &folder.join("link"), Path::new("/dev/zero")] {
            for error in [read(path, 8).unwrap_err(), append(path).unwrap_err()] {
                assert_eq!(error.to_string(), "not a regular file", "{}", path.display());
            }
        }
        let looped = folder.join("loop");
        symlink("loop", &looped).unwrap();
        assert!(read(&looped, 8).is_err() && append(&looped).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_secret_that_root_gives_to_a_group_is_not_open_to_others() {
        for (mode, owner, own, expected) in [
            (0o600, 1000, 1000, false),
            (0o640, 1000, 1000, true),
            (0o604, 1000, 1000, true),
            (0o440, 0, 1000, false),
            (0o444, 0, 1000, true),
            (0o440, 0, 0, true),
        ] {
            assert_eq!(is_open(mode, owner, own), expected, "{mode:o} {owner} {own}");
        }
    }

    #[test]
    fn what_forbids_to_read_a_file_is_named_with_the_command_that_permits_it() {
        let folder = folder("forbidden");
        let (inner, file) = (folder.join("inner"), folder.join("inner/file"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "x").unwrap();
        let sandbox = format!("allow your client to read {}: its sandbox", file.display());
        assert!(how_to_permit(&file).starts_with(&sandbox));
        for (path, mode, fix) in [(&file, 0o200, "u+r"), (&inner, 0o600, "u+rx")] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            // Root may read everything.
            let expected = if rustix::process::geteuid().is_root() {
                sandbox.clone()
            } else {
                format!("run chmod {fix} {}", path.display())
            };
            assert!(how_to_permit(&file).starts_with(&expected), "{}", how_to_permit(&file));
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn appending() {
        let folder = folder("appending");
        let made = folder.join("made");
        for _ in 0..2 {
            append(&made).unwrap().write_all(b"line\n").unwrap();
        }
        assert_eq!(fs::read(&made).unwrap(), b"line\nline\n");
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o077, 0);

        let existing = folder.join("existing");
        fs::write(&existing, "").unwrap();
        fs::set_permissions(&existing, fs::Permissions::from_mode(0o644)).unwrap();
        append(&existing).unwrap();
        assert_eq!(fs::metadata(&existing).unwrap().mode() & 0o777, 0o644);
        assert!(append(Path::new("/dev/null")).is_ok());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn replacing() {
        let folder = folder("replacing");
        let file = folder.join("a/b/file");
        let parent = file.parent().unwrap();
        assert!(replace(&file, b"x").is_err(), "no folder");
        create_private_folder(parent).unwrap();
        create_private_folder(parent).unwrap();
        assert_eq!(fs::metadata(folder.join("a")).unwrap().mode() & 0o777, 0o700);
        for content in [&b"one"[..], b"two"] {
            replace(&file, content).unwrap();
            assert_eq!(fs::read(&file).unwrap(), content);
        }
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(replace(parent, b"x").is_err(), "a folder");
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1, "no draft is left");
        fs::remove_dir_all(folder).unwrap();
    }
}
