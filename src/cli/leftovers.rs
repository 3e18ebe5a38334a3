//! Words that are left over from a configuration that started another program: launchers, their flags, packages and images.
//! Only what is recognised is ever shown: any other word may be the rest of a secret.

use crate::cli::problem::usage_error;
use crate::error::Error;

/// Programs that start others, and their subcommands.
const LAUNCHERS: [&str; 28] = [
    "bash", "bun", "bunx", "cmd", "dlx", "docker", "env", "exec", "finch", "go", "nerdctl", "node",
    "npm", "npx", "pip", "pipx", "pnpm", "pnpx", "podman", "python", "python3", "run", "sh",
    "tool", "uv", "uvx", "wsl", "yarn",
];

/// Other proxies, by the names of their packages and programs, and this one.
const PROXIES: [&str; 14] = [
    "aws-mcp-proxy",
    "aws-sigv4-mcp-proxy",
    "aws-sigv4-proxy",
    "fastmcp-remote",
    "go-aws-mcp-proxy",
    "mcp-agentcore-proxy",
    "mcp-proxy-for-aws",
    "mcp-proxy-for-aws-cli",
    "mcp-proxy-for-aws-multi",
    "mcp-proxy-for-aws-with-signing-override",
    "mcp-proxy-sigv4",
    "mcp-remote",
    "mcp-sigv4-proxy",
    "sigv4-proxy",
];

/// What follows a launcher's flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    Nothing,
    Word,
    /// A word or a URL, which is not the server's.
    Url,
}

/// Flags of launchers.
const FLAGS: [(&str, Follows); 34] = [
    ("c", Follows::Nothing),
    ("default-index", Follows::Url),
    ("e", Follows::Word),
    ("entrypoint", Follows::Word),
    ("env", Follows::Word),
    ("env-file", Follows::Word),
    ("extra-index-url", Follows::Url),
    ("from", Follows::Url),
    ("i", Follows::Nothing),
    ("index-url", Follows::Url),
    ("init", Follows::Nothing),
    ("interactive", Follows::Nothing),
    ("isolated", Follows::Nothing),
    ("it", Follows::Nothing),
    ("m", Follows::Word),
    ("mount", Follows::Word),
    ("name", Follows::Word),
    ("network", Follows::Word),
    ("no-cache", Follows::Nothing),
    ("p", Follows::Word),
    ("package", Follows::Url),
    ("prefer-offline", Follows::Nothing),
    ("pull", Follows::Word),
    ("python", Follows::Word),
    ("q", Follows::Nothing),
    ("quiet", Follows::Nothing),
    ("refresh", Follows::Nothing),
    ("rm", Follows::Nothing),
    ("u", Follows::Word),
    ("v", Follows::Word),
    ("volume", Follows::Word),
    ("with", Follows::Url),
    ("y", Follows::Nothing),
    ("yes", Follows::Nothing),
];

/// Flags that belong to nothing but a launcher.
const CERTAIN_FLAGS: [&str; 3] = ["from", "y", "yes"];

/// Left-over words of one command line.
#[derive(Default)]
pub(crate) struct Leftovers {
    /// As far as they can be shown, in their order.
    words: Vec<String>,
    /// One of them can be nothing else.
    is_certain: bool,
}

impl Leftovers {
    /// Takes the names of launchers, packages and images out of an argument, which may hold a whole command. Returns the rest.
    pub(crate) fn take_words(&mut self, text: &str) -> String {
        let (leftovers, rest): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| is_leftover(word));
        if leftovers.is_empty() {
            return text.to_owned();
        }
        self.words.extend(leftovers.iter().map(|word| (*word).to_owned()));
        self.is_certain = true;
        rest.join(" ")
    }

    /// Takes a flag of launchers. Returns what follows it; `None`: not such a flag.
    pub(crate) fn take_flag(&mut self, dashes: &str, name: &str) -> Option<Follows> {
        let (_, follows) = FLAGS.iter().find(|(flag, _)| *flag == name)?;
        self.words.push(format!("{dashes}{name}"));
        self.is_certain |= CERTAIN_FLAGS.contains(&name);
        Some(*follows)
    }

    /// Takes the value of a flag that was taken.
    pub(crate) fn take_value(&mut self, value: &str) {
        if is_leftover(value) {
            self.words.push(value.to_owned());
            self.is_certain = true;
        }
    }

    /// Takes the package of a proxy, which follows a flag that is not known. Returns whether it is one. Any other package may be
    /// that flag's value, and a secret.
    pub(crate) fn take_proxy(&mut self, word: &str) -> bool {
        let name = word.rsplit('/').next().unwrap_or(word);
        let name = name.split(['@', '=', '<', '>', '~', '[']).next().unwrap_or(name);
        let is_one = is_package(word) && is_proxy(name);
        if is_one {
            self.words.push(word.to_owned());
            self.is_certain = true;
        }
        is_one
    }

    /// The error about all of them. `None`: there are none, or none for certain.
    pub(crate) fn problem(&self) -> Option<Error> {
        let fix = || format!("remove {}: it belongs to the old command", self.words.join(" "));
        let what = "the arguments contain the command of another program";
        self.is_certain.then(|| usage_error(what, &fix()))
    }

    /// The flags, if nothing proves that they belong to a launcher.
    pub(crate) fn unproved(self) -> Vec<String> {
        let flags = self.words.into_iter().filter(|word| word.starts_with('-'));
        flags.map(|flag| flag.trim_start_matches('-').to_owned()).collect()
    }
}

fn is_leftover(word: &str) -> bool {
    is_command(word) || is_package(word) || is_image(word)
}

/// `uvx`, `/usr/bin/npx`, `npx.cmd`, `mcp-proxy-for-aws`, `/opt/proxy/index.js`, `/c`.
fn is_command(word: &str) -> bool {
    if word.contains("://") {
        return false;
    }
    let ends_like_script = [".js", ".cjs", ".mjs", ".py"].iter().any(|end| word.ends_with(end));
    if ends_like_script || word.eq_ignore_ascii_case("/c") {
        return true;
    }
    let file = word.rsplit(['/', '\\']).next().unwrap_or(word).to_ascii_lowercase();
    let name = [".exe", ".cmd", ".bat", ".py", ".js"]
        .iter()
        .find_map(|ending| file.strip_suffix(ending))
        .unwrap_or(&file);
    let is_path = file.len() < word.len();
    // In a path the last segment may be anything, a path of a URL too.
    let is_absolute = word.starts_with(['/', '~', '.']) || word.get(1..2) == Some(":");
    // `python -m mcp_proxy_for_aws.server`
    let name = name.split('.').next().unwrap_or(name).replace('_', "-");
    (!is_path || is_absolute) && (LAUNCHERS.contains(&&*name) || PROXIES.contains(&&*name))
}

/// `name@latest`, `name==1.2`, `name[extra]`, `@scope/name`, `@scope/name@1`, `github.com/owner/name@v1`.
fn is_package(word: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_version = |version: &str| {
        let plain = version.trim_start_matches(['^', '~', '=', '<', '>', 'v']);
        matches!(version, "latest" | "next" | "beta" | "rc" | "canary" | "main")
            || plain.starts_with(|c: char| c.is_ascii_digit())
                && plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.+*".contains(&byte))
    };
    if let Some((scope, rest)) = word.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        let (name, version) = rest.split_once('@').unwrap_or((rest, "latest"));
        return is_name(scope) && is_name(name) && is_version(version);
    }
    let word =
        word.strip_prefix("github.com/").and_then(|path| path.rsplit('/').next()).unwrap_or(word);
    let at = word.find(['@', '=', '<', '>', '~', '[']).unwrap_or(word.len());
    let (name, rest) = word.split_at(at);
    let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((extras, rest)) if is_name(&extras.replace(',', "")) => rest,
        Some(_) => return false,
        None => rest,
    };
    match rest.strip_prefix('@').or_else(|| rest.strip_prefix("==")) {
        Some(version) => is_name(name) && is_version(version),
        None => is_proxy(name) && (rest.is_empty() || is_version(rest)),
    }
}

fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&&*name.replace('_', "-").to_ascii_lowercase())
}

/// `registry/name:tag`, `name@sha256:…`, an image in an account's own registry, or a known proxy with a registry or a tag. A
/// host with a port and a path is none.
fn is_image(word: &str) -> bool {
    let is_plain =
        word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte));
    if !is_plain || word.contains("://") || word.starts_with("arn:") {
        return false;
    }
    let (image, digest) =
        word.split_once('@').map_or((word, None), |(image, digest)| (image, Some(digest)));
    if digest.is_some() {
        return digest.is_some_and(|digest| digest.starts_with("sha256:"));
    }
    let (path, name) = image.rsplit_once('/').unwrap_or(("", image));
    let tagged = name.split_once(':');
    let registry = path.split('/').next().unwrap_or_default();
    let is_account = registry.contains(".dkr.ecr");
    match tagged {
        Some((name, _)) => is_account || PROXIES.contains(&name) || !path.is_empty(),
        // With two folders: a host and the path of an endpoint may end in such a name.
        None => is_account || (PROXIES.contains(&name) && path.contains('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_commands() {
        for word in [
            "uvx",
            "uv",
            "npx",
            "npx.cmd",
            "/opt/homebrew/bin/uvx",
            "C:\\Users\\ann\\uvx.exe",
            "docker",
            "run",
            "mcp-proxy-for-aws",
            "mcp_proxy_for_aws",
            "mcp-proxy-for-aws@latest",
            "mcp-proxy-for-aws@1.7.0",
            "mcp-proxy-for-aws==1.7.0",
            "mcp-proxy-for-aws>=1.7",
            "mcp-proxy-for-aws-cli@latest",
            "mcp-proxy-for-aws[all]@2.0.0",
            "anything@latest",
            "@deotio/mcp-sigv4-proxy",
            "@deotio/mcp-sigv4-proxy@0.4.4",
            "images.example/mcp-proxy-for-aws/mcp-proxy-for-aws:latest",
            "images.example/mcp-proxy-for-aws/mcp-proxy-for-aws",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/proxy:1",
            "images.example/a/b@sha256:0123abcd",
            "mcp-proxy-for-aws:1.7.0",
            "github.com/ajbeck/go-aws-mcp-proxy@v0.4.0",
            "fastmcp-remote",
            "localhost:5000/proxy:1",
        ] {
            assert!(is_leftover(word), "{word}");
        }
        for word in [
            "",
            "https://a.example/uvx",
            "https://user@1.example/",
            "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/a-1",
            "mcp.example.com/mcp",
            "mcp.example.com:8443/mcp",
            "localhost:8080",
            "example.com/sigv4-proxy",
            "work",
            "serve",
            "ann@example.com",
            "a@hush",
            "hush=1",
            "KEY=1.2",
            "Bearer",
            "x:hush",
        ] {
            assert!(!is_leftover(word), "{word}");
        }
    }

    #[test]
    fn a_flag_alone_may_be_a_mistake_of_another_kind() {
        let mut leftovers = Leftovers::default();
        assert_eq!(leftovers.take_flag("-", "p"), Some(Follows::Word));
        leftovers.take_value("work");
        assert!(leftovers.problem().is_none());
        assert_eq!(leftovers.take_words("uvx"), "");
        let problem = leftovers.problem().expect("a launcher is certain").to_string();
        assert!(problem.contains("(remove -p uvx: it belongs to the old command)"), "{problem}");
        assert_eq!(leftovers.take_flag("--", "region"), None);
    }
}
