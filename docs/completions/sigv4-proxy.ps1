# PowerShell completion of sigv4-proxy
Register-ArgumentCompleter -Native -CommandName sigv4-proxy -ScriptBlock {
    param($word, $command, $position)
    $profiles = {
        Get-Content ~/.aws/config, ~/.aws/credentials -ErrorAction SilentlyContinue |
            ForEach-Object { if ($_ -match '^\[ *(profile +)?([\w.@:/+=,-]+) *\]') { $Matches[2] } } |
            Sort-Object -Unique
    }
    $values = @{
        'completions' = { 'bash', 'fish', 'powershell', 'zsh' }
        '--target-url' = { }
        '--url' = { }
        '--runtime-arn' = { }
        '--endpoint' = { }
        '--endpoint-url' = { }
        '--qualifier' = { }
        '--ca-bundle' = { }
        '--region' = { }
        '--aws-region' = { }
        '--service-name' = { }
        '--service' = { }
        '--aws-service' = { }
        '--sign-host' = { }
        '--signing-endpoint' = { }
        '--sig-version' = { 'v4', 'v4a' }
        '--profile' = $profiles
        '--aws-profile' = $profiles
        '--profile-tools' = { }
        '--role-arn' = { }
        '--external-id' = { }
        '--role-session-name' = { }
        '--login' = { 'auto', 'browser', 'off' }
        '--header' = { }
        '--headers' = { }
        '--header-file' = { }
        '--metadata' = { }
        '--allow-tool' = { }
        '--deny-tool' = { }
        '--ignore-tool' = { }
        '--bridge' = { 'auto', 'always', 'off' }
        '--runtime-session' = { 'auto', 'off', 'identity', 'ID' }
        '--max-message-bytes' = { }
        '--max-in-flight' = { }
        '--retries' = { }
        '--listen' = { }
        '--listen-path' = { }
        '--allow-origin' = { }
        '--allow-host' = { }
        '--listen-token-file' = { }
        '--timeout' = { }
        '--tool-timeout' = { }
        '--connect-timeout' = { }
        '--read-timeout' = { }
        '--write-timeout' = { }
        '--drain-timeout' = { }
        '--log-level' = { 'debug', 'info', 'warn', 'error', 'silent' }
        '--log-file' = { }
        '--log-format' = { 'text', 'json' }
        '--sso-session' = { }
    }
    $words = @($command.CommandElements | ForEach-Object { "$_" })
    $before = if ($word) { $words[-2] } else { $words[-1] }
    $candidates = if ($values.ContainsKey($before)) {
        & $values[$before]
    } elseif ($before -eq 'sigv4-proxy' -and $word -notlike '-*') {
        'doctor', 'login', 'logout', 'completions', 'help', 'version'
    } else {
        '--target-url', '--url', '--runtime-arn', '--endpoint', '--endpoint-url', '--qualifier', '--allow-http', '--ca-bundle', '--region', '--aws-region', '--service-name', '--service', '--aws-service', '--sign-host', '--signing-endpoint', '--sig-version', '--unsigned-payload', '--skip-auth', '--optional-auth', '--profile', '--aws-profile', '--profile-tools', '--role-arn', '--external-id', '--role-session-name', '--login', '--header', '--headers', '--header-file', '--metadata', '--read-only', '--allow-tool', '--deny-tool', '--ignore-tool', '--merge-lists', '--lazy', '--lazy-connect', '--bridge', '--sse', '--no-sse', '--server-stream', '--runtime-session', '--max-message-bytes', '--max-in-flight', '--retries', '--disable-telemetry', '--listen', '--listen-path', '--listen-anyone', '--allow-origin', '--allow-host', '--listen-token-file', '--no-listen-token', '--timeout', '--tool-timeout', '--connect-timeout', '--read-timeout', '--write-timeout', '--drain-timeout', '--log-level', '--verbose', '--debug', '--log-file', '--log-format', '--sso-session', '--use-device-code', '--remote', '--no-browser', '--if-needed', '--json', '--help', '--version'
    }
    $candidates | Where-Object { $_ -like "$word*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
