function __notifyctl_complete
    set -l lines (env _NOTIFYCTL_COMPLETE=complete_fish _TYPER_COMPLETE_ARGS=(commandline -cp) notifyctl)
    if test "$lines" = ":files:"
        __fish_complete_path (commandline -ct)
    else if test (count $lines) -gt 0
        printf '%s\n' $lines
    end
end

complete --command notifyctl --no-files --arguments '(__notifyctl_complete)'
