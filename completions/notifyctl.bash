_notifyctl_completion() {
    local IFS=$'\n' word="${COMP_WORDS[COMP_CWORD]}"
    [[ "$word" == "=" ]] && word=""
    COMPREPLY=( $(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _NOTIFYCTL_COMPLETE=complete_bash "$1") )
    if [[ "${COMPREPLY[*]}" == ":files:" ]]; then
        COMPREPLY=( $(compgen -f -- "$word") )
        compopt -o filenames 2>/dev/null
    elif [[ "${COMPREPLY[*]}" == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

complete -F _notifyctl_completion notifyctl
