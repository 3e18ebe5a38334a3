# bash completion of sigv4-proxy
_sigv4_proxy() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
    COMPREPLY=()
    case "$before" in
        completions)
            COMPREPLY=($(compgen -W 'bash fish powershell zsh' -- "$word"))
            return ;;
        --target-url|--url|--runtime-arn|--endpoint|--endpoint-url) return ;;
        --qualifier) return ;;
        --ca-bundle)
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        --region|--aws-region) return ;;
        --service-name|--service|--aws-service) return ;;
        --sign-host|--signing-endpoint) return ;;
        --sig-version)
            COMPREPLY=($(compgen -W 'v4 v4a' -- "$word"))
            return ;;
        --profile|--aws-profile)
            COMPREPLY=($(compgen -W "$(sed -n 's|^\[ *\(profile \)\{0,1\} *\([[:alnum:]_.@:/+=,-]*\) *\]$|\2|p' ~/.aws/config ~/.aws/credentials 2>/dev/null | sort -u)" -- "$word"))
            return ;;
        --profile-tools) return ;;
        --role-arn) return ;;
        --external-id) return ;;
        --role-session-name) return ;;
        --login)
            COMPREPLY=($(compgen -W 'auto browser off' -- "$word"))
            return ;;
        --header) return ;;
        --headers) return ;;
        --header-file)
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        --metadata) return ;;
        --allow-tool) return ;;
        --deny-tool|--ignore-tool) return ;;
        --bridge)
            COMPREPLY=($(compgen -W 'auto always off' -- "$word"))
            return ;;
        --runtime-session)
            COMPREPLY=($(compgen -W 'auto off identity ID' -- "$word"))
            return ;;
        --max-message-bytes) return ;;
        --max-in-flight) return ;;
        --retries) return ;;
        --listen) return ;;
        --listen-path) return ;;
        --allow-origin) return ;;
        --allow-host) return ;;
        --listen-token-file)
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        --timeout) return ;;
        --tool-timeout) return ;;
        --connect-timeout) return ;;
        --read-timeout) return ;;
        --write-timeout) return ;;
        --drain-timeout) return ;;
        --log-level)
            COMPREPLY=($(compgen -W 'debug info warn error silent' -- "$word"))
            return ;;
        --log-file)
            COMPREPLY=($(compgen -f -- "$word"))
            return ;;
        --log-format)
            COMPREPLY=($(compgen -W 'text json' -- "$word"))
            return ;;
        --sso-session) return ;;
    esac
    if [[ $COMP_CWORD -eq 1 && $word != -* ]]; then
        COMPREPLY=($(compgen -W 'doctor login logout completions help version' -- "$word"))
    else
        COMPREPLY=($(compgen -W '--target-url --url --runtime-arn --endpoint --endpoint-url --qualifier --allow-http --ca-bundle --region --aws-region --service-name --service --aws-service --sign-host --signing-endpoint --sig-version --unsigned-payload --skip-auth --optional-auth --profile --aws-profile --profile-tools --role-arn --external-id --role-session-name --login --header --headers --header-file --metadata --read-only --allow-tool --deny-tool --ignore-tool --merge-lists --lazy --lazy-connect --bridge --sse --no-sse --server-stream --runtime-session --max-message-bytes --max-in-flight --retries --disable-telemetry --listen --listen-path --listen-anyone --allow-origin --allow-host --listen-token-file --no-listen-token --timeout --tool-timeout --connect-timeout --read-timeout --write-timeout --drain-timeout --log-level --verbose --debug --log-file --log-format --sso-session --use-device-code --remote --no-browser --if-needed --json --help --version' -- "$word"))
    fi
}
complete -F _sigv4_proxy sigv4-proxy
