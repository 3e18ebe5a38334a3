//! Shell completions and the manual page, generated from the table.

use crate::cli::help::CLOSING;
use crate::cli::row::{Arity, Group, Key, Row};
use crate::cli::table::{COMMANDS, TABLE};
use std::fmt::Write as _;

/// The names of the shells that there are completions for.
pub(crate) const SHELLS: [&str; 4] = ["bash", "fish", "powershell", "zsh"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "it is called that")]
pub(crate) enum Shell {
    Bash,
    Fish,
    PowerShell,
    Zsh,
}

impl Shell {
    pub(crate) fn of(name: &str) -> Option<Shell> {
        match name {
            "bash" => Some(Shell::Bash),
            "fish" => Some(Shell::Fish),
            "powershell" => Some(Shell::PowerShell),
            "zsh" => Some(Shell::Zsh),
            _ => None,
        }
    }

    /// The completion script of this shell.
    pub(crate) fn completions(self) -> String {
        match self {
            Shell::Bash => bash(),
            Shell::Fish => fish(),
            Shell::PowerShell => powershell(),
            Shell::Zsh => zsh(),
        }
    }
}

/// What may follow a flag.
enum Completed {
    /// One of these words.
    Words(Vec<&'static str>),
    Files,
    /// The name of an AWS profile.
    Profiles,
    Anything,
}

impl Completed {
    /// `None` for a switch.
    fn of(row: &Row) -> Option<Completed> {
        let (Arity::Value(name) | Arity::Words(name) | Arity::OptionalWords(name)) = row.takes
        else {
            return None;
        };
        Some(match name {
            "FILE" => Completed::Files,
            "PROFILE" => Completed::Profiles,
            name if name.contains('|') => Completed::Words(name.split('|').collect()),
            _ => Completed::Anything,
        })
    }
}

/// Shell command that prints the profile names, one a line. Names with other characters are left out: bash expands the words that it
/// offers, so a name with `$(…)` would be run.
const PROFILES: &str = r"sed -n 's|^\[ *\(profile \)\{0,1\} *\([[:alnum:]_.@:/+=,-]*\) *\]$|\2|p' ~/.aws/config ~/.aws/credentials 2>/dev/null | sort -u";

fn long_flags(row: &Row) -> impl Iterator<Item = String> {
    row.flags.iter().filter(|flag| flag.len() > 1).map(|flag| format!("--{flag}"))
}

fn bash() -> String {
    let mut cases = String::new();
    for row in TABLE {
        let flags: Vec<String> = long_flags(row).collect();
        let reply = match Completed::of(row) {
            None => continue,
            Some(Completed::Words(words)) => format!("-W '{}'", words.join(" ")),
            Some(Completed::Files) => "-f".to_owned(),
            Some(Completed::Profiles) => format!("-W \"$({PROFILES})\""),
            Some(Completed::Anything) => {
                let _ = writeln!(cases, "        {}) return ;;", flags.join("|"));
                continue;
            }
        };
        let _ = writeln!(
            cases,
            "        {})\n            COMPREPLY=($(compgen {reply} -- \"$word\"))\n            return ;;",
            flags.join("|")
        );
    }
    let all: Vec<String> = TABLE.iter().flat_map(long_flags).collect();
    format!(
        "# bash completion of sigv4-proxy\n\
         _sigv4_proxy() {{\n\
         \x20   local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         \x20   COMPREPLY=()\n\
         \x20   case \"$before\" in\n\
         \x20       completions)\n            COMPREPLY=($(compgen -W '{shells}' -- \"$word\"))\n            return ;;\n\
         {cases}\
         \x20   esac\n\
         \x20   if [[ $COMP_CWORD -eq 1 && $word != -* ]]; then\n\
         \x20       COMPREPLY=($(compgen -W '{commands}' -- \"$word\"))\n\
         \x20   else\n\
         \x20       COMPREPLY=($(compgen -W '{}' -- \"$word\"))\n\
         \x20   fi\n\
         }}\n\
         complete -F _sigv4_proxy sigv4-proxy\n",
        all.join(" "),
        shells = SHELLS.join(" "),
        commands = COMMANDS.join(" ")
    )
}

fn zsh() -> String {
    let mut lines = String::new();
    for row in TABLE {
        let help = brief(row).replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]");
        let help = help.replace(':', "\\:");
        let repeatable = if matches!(row.takes, Arity::Words(_)) { "*" } else { "" };
        for flag in long_flags(row) {
            let value = match Completed::of(row) {
                None => String::new(),
                Some(Completed::Words(words)) => format!(":value:({})", words.join(" ")),
                Some(Completed::Files) => ":file:_files".to_owned(),
                Some(Completed::Profiles) => ":profile:_sigv4_proxy_profiles".to_owned(),
                Some(Completed::Anything) => ":value: ".to_owned(),
            };
            let _ = writeln!(lines, "    '{repeatable}{flag}[{help}]{value}' \\");
        }
    }
    format!(
        "#compdef sigv4-proxy\n\
         _sigv4_proxy_profiles() {{\n    compadd -- ${{(f)\"$({PROFILES})\"}}\n}}\n\
         _arguments \\\n{lines}    '1:URL or ARN:({commands})' \\\n    '2:URL or ARN:({shells})'\n",
        shells = SHELLS.join(" "),
        commands = COMMANDS.join(" ")
    )
}

fn fish() -> String {
    let mut text = format!(
        "# fish completion of sigv4-proxy\n\
         complete -c sigv4-proxy -f\n\
         complete -c sigv4-proxy -n __fish_use_subcommand -a doctor -d 'Check everything and report'\n\
         complete -c sigv4-proxy -n __fish_use_subcommand -a login -d 'Sign in: SSO, MFA, aws login'\n\
         complete -c sigv4-proxy -n __fish_use_subcommand -a logout -d 'Sign out'\n\
         complete -c sigv4-proxy -n __fish_use_subcommand -a completions -d 'Print a completion script'\n\
         complete -c sigv4-proxy -n __fish_use_subcommand -a help -d 'List all options'\n\
         complete -c sigv4-proxy -n __fish_use_subcommand -a version -d 'Print the version'\n\
         complete -c sigv4-proxy -n '__fish_seen_subcommand_from completions' -a '{shells}'\n",
        shells = SHELLS.join(" ")
    );
    for row in TABLE {
        let value = match Completed::of(row) {
            None => String::new(),
            Some(Completed::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
            Some(Completed::Files) => " -r -F".to_owned(),
            Some(Completed::Profiles) => {
                format!(" -x -a '({})'", PROFILES.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            Some(Completed::Anything) => " -x".to_owned(),
        };
        let help = brief(row).replace('\\', "\\\\").replace('\'', "\\'");
        for flag in row.flags {
            let dash = if flag.len() > 1 { "-l" } else { "-s" };
            let _ = writeln!(text, "complete -c sigv4-proxy {dash} {flag}{value} -d '{help}'");
        }
    }
    text
}

fn powershell() -> String {
    let mut values = String::new();
    let quoted = |words: &[&str]| -> String {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        words.join(", ")
    };
    for row in TABLE {
        let after = match Completed::of(row) {
            None => continue,
            Some(Completed::Words(words)) => format!("{{ {} }}", quoted(&words)),
            // PowerShell completes files where a script has nothing to offer.
            Some(Completed::Files | Completed::Anything) => "{ }".to_owned(),
            Some(Completed::Profiles) => "$profiles".to_owned(),
        };
        for flag in long_flags(row) {
            let _ = writeln!(values, "        '{flag}' = {after}");
        }
    }
    let flags: Vec<String> = TABLE.iter().flat_map(long_flags).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    format!(
        r#"# PowerShell completion of sigv4-proxy
Register-ArgumentCompleter -Native -CommandName sigv4-proxy -ScriptBlock {{
    param($word, $command, $position)
    $profiles = {{
        Get-Content ~/.aws/config, ~/.aws/credentials -ErrorAction SilentlyContinue |
            ForEach-Object {{ if ($_ -match '^\[ *(profile +)?([\w.@:/+=,-]+) *\]') {{ $Matches[2] }} }} |
            Sort-Object -Unique
    }}
    $values = @{{
        'completions' = {{ {shells} }}
{values}    }}
    $words = @($command.CommandElements | ForEach-Object {{ "$_" }})
    $before = if ($word) {{ $words[-2] }} else {{ $words[-1] }}
    $candidates = if ($values.ContainsKey($before)) {{
        & $values[$before]
    }} elseif ($before -eq 'sigv4-proxy' -and $word -notlike '-*') {{
        {commands}
    }} else {{
        {flags}
    }}
    $candidates | Where-Object {{ $_ -like "$word*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }}
}}
"#,
        shells = quoted(&SHELLS),
        commands = quoted(&COMMANDS),
        flags = quoted(&flags),
    )
}

/// The first sentence of an option's help.
fn brief(row: &Row) -> &'static str {
    let first = row.help.split("; ").next().and_then(|text| text.split(". ").next());
    first.unwrap_or_default().trim_end_matches('.')
}

/// The manual page in roff.
pub(crate) fn man_page() -> String {
    let mut text = String::from(
        ".TH SIGV4-PROXY 1\n\
         .SH NAME\n\
         sigv4-proxy \\- sign the messages of an MCP client with AWS Signature Version 4 or 4A and relay them\n\
         .SH SYNOPSIS\n\
         .B sigv4-proxy\n[\\fIflags\\fR] \\fIURL\\fR|\\fIARN\\fR\n.br\n\
         .B sigv4-proxy doctor\n[\\fIflags\\fR] \\fIURL\\fR|\\fIARN\\fR\n.br\n\
         .B sigv4-proxy login\n[\\fIflags\\fR]\n.br\n\
         .B sigv4-proxy logout\n[\\fIflags\\fR]\n.br\n\
         .B sigv4-proxy completions\n\\fBbash\\fR|\\fBfish\\fR|\\fBpowershell\\fR|\\fBzsh\\fR\n\
         .SH DESCRIPTION\n\
         An MCP server on stdin and stdout: each message is signed with your AWS credentials and sent to a remote MCP\n\
         server protected by IAM; its responses are written to stdout. MCP clients start it themselves.\n.PP\n\
         .B doctor\n\
         checks configuration, credentials, network and server, and reports what is wrong and how to fix it.\n\
         It exits with 1 if a check fails.\n.PP\n\
         .B login\n\
         signs in for what the other flags configure: to IAM Identity Center, with an MFA code, or to the console.\n\
         .B logout\n\
         signs out.\n\
         .SH OPTIONS\n",
    );
    for group in Group::ALL {
        let _ = writeln!(text, ".SS {}", group.title());
        for row in TABLE.iter().filter(|row| row.group == group) {
            let _ = writeln!(text, ".TP\n{}", spelling(row));
            let mut facts = vec![roff(row.help)];
            if !row.default.is_empty() {
                facts.push(format!("Default: {}.", roff(row.default)));
            }
            if !row.environment.is_empty() {
                facts.push(format!("Environment: {}.", row.environment.join(", ")));
            }
            let _ = writeln!(text, "{}", facts.join(" "));
        }
    }
    let notes = CLOSING.split("\nExamples:\n").next().unwrap_or_default().trim();
    let _ = write!(
        text,
        ".PP\n{}\n\
         .SH EXIT STATUS\n\
         0 after the end of stdin or a signal; 2 for an error in flags or environment; 130 if Ctrl-C ends \
         a login; 1 for other errors.\n\
         .SH SEE ALSO\n\
         docs/configuration.md, docs/aws-credentials.md and docs/troubleshooting.md of the project.\n",
        roff(notes)
    );
    text
}

fn spelling(row: &Row) -> String {
    let dashed = |flag: &&str| {
        let dashes = if flag.len() == 1 { "-" } else { "--" };
        format!("\\fB{}\\fR", roff(&format!("{dashes}{flag}")))
    };
    let mut names: Vec<String> = row.flags.iter().map(dashed).collect();
    if row.key == Key::TargetUrl {
        names.insert(0, "\\fIURL\\fR|\\fIARN\\fR".to_owned());
    }
    let names = names.join(", ");
    match row.takes {
        Arity::Switch => names,
        Arity::Value(name) => format!("{names} \\fI{}\\fR", roff(name)),
        Arity::Words(name) => format!("{names} \\fI{}\\fR...", roff(name)),
        Arity::OptionalWords(name) => format!("{names} [\\fI{}\\fR...]", roff(name)),
    }
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
