//! The words of commands that start other programs: launchers, their flags, packages and images.

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
const FLAGS: [(&str, Follows); 61] = [
    ("add-host", Follows::Word),
    ("c", Follows::Nothing),
    ("cap-drop", Follows::Word),
    ("d", Follows::Nothing),
    ("default-index", Follows::Url),
    ("detach", Follows::Nothing),
    ("directory", Follows::Word),
    ("e", Follows::Word),
    ("entrypoint", Follows::Word),
    ("env", Follows::Word),
    ("env-file", Follows::Word),
    ("extra-index-url", Follows::Url),
    ("from", Follows::Url),
    ("group-add", Follows::Word),
    ("i", Follows::Nothing),
    ("ignore-existing", Follows::Nothing),
    ("index", Follows::Url),
    ("index-url", Follows::Url),
    ("init", Follows::Nothing),
    ("interactive", Follows::Nothing),
    ("isolated", Follows::Nothing),
    ("it", Follows::Nothing),
    ("m", Follows::Word),
    ("mount", Follows::Word),
    ("name", Follows::Word),
    ("native-tls", Follows::Nothing),
    ("network", Follows::Word),
    ("no-cache", Follows::Nothing),
    ("no-config", Follows::Nothing),
    ("no-install", Follows::Nothing),
    ("no-progress", Follows::Nothing),
    ("offline", Follows::Nothing),
    ("p", Follows::Word),
    ("package", Follows::Url),
    ("platform", Follows::Word),
    ("prefer-offline", Follows::Nothing),
    ("prerelease", Follows::Word),
    ("project", Follows::Word),
    ("publish", Follows::Word),
    ("pull", Follows::Word),
    ("python", Follows::Word),
    ("python-preference", Follows::Word),
    ("q", Follows::Nothing),
    ("quiet", Follows::Nothing),
    ("refresh", Follows::Nothing),
    ("refresh-package", Follows::Word),
    ("rm", Follows::Nothing),
    ("security-opt", Follows::Word),
    ("spec", Follows::Url),
    ("u", Follows::Word),
    ("upgrade", Follows::Nothing),
    ("user", Follows::Word),
    ("v", Follows::Word),
    ("volume", Follows::Word),
    ("w", Follows::Word),
    ("with", Follows::Url),
    ("with-editable", Follows::Word),
    ("with-requirements", Follows::Word),
    ("workdir", Follows::Word),
    ("y", Follows::Nothing),
    ("yes", Follows::Nothing),
];

/// Flags that belong to nothing but a launcher.
const CERTAIN_FLAGS: [&str; 3] = ["from", "y", "yes"];

/// Whether nothing but a launcher has this flag (without dashes).
pub(crate) fn is_certain_flag(name: &str) -> bool {
    CERTAIN_FLAGS.contains(&name)
}

/// What follows a launcher's flag (without dashes). `None`: no launcher has it.
pub(crate) fn follows_flag(name: &str) -> Option<Follows> {
    FLAGS.iter().find(|(flag, _)| *flag == name).map(|(_, follows)| *follows)
}

/// Whether a word is the package of a proxy.
pub(crate) fn is_proxy_package(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let name = name.split(['@', '=', '<', '>', '~', '[']).next().unwrap_or(name);
    is_package(word) && is_proxy(name)
}

/// Whether a word can only be a launcher, a package or an image.
pub(crate) fn is_leftover(word: &str) -> bool {
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
}
