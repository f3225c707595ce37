"""`completion`: scripts for shells; the same files are kept in `completions/`."""

from __future__ import annotations

from typing import Annotated

import typer

from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun, TextLeaf
from notifyctl.core.errors import UsageError
from notifyctl.core.scope import OPEN

app = Noun("Completion scripts for shells.")

SHELLS = {"bash": "notifyctl.bash", "zsh": "_notifyctl", "fish": "notifyctl.fish", "powershell": "notifyctl.ps1"}


_SCRIPTS = {
    "bash": """\
_notifyctl_completion() {
    local IFS=$'\\n' word="${COMP_WORDS[COMP_CWORD]}"
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

complete -F _notifyctl_completion notifyctl""",
    "zsh": """\
#compdef notifyctl

_notifyctl_completion() {
  local -a lines described
  local line
  lines=("${(@f)$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _NOTIFYCTL_COMPLETE=complete_zsh notifyctl)}")
  if [[ "$lines" == ":files:" ]]; then
    _files
    return
  fi
  for line in $lines; do
    described+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
  done
  _describe -V notifyctl described
}

compdef _notifyctl_completion notifyctl""",
    "fish": """\
function __notifyctl_complete
    set -l lines (env _NOTIFYCTL_COMPLETE=complete_fish _TYPER_COMPLETE_ARGS=(commandline -cp) notifyctl)
    if test "$lines" = ":files:"
        __fish_complete_path (commandline -ct)
    else if test (count $lines) -gt 0
        printf '%s\\n' $lines
    end
end

complete --command notifyctl --no-files --arguments '(__notifyctl_complete)'""",
    "powershell": """\
$scriptblock = {
    param($wordToComplete, $commandAst, $cursorPosition)
    $Env:_NOTIFYCTL_COMPLETE = "complete_powershell"
    $Env:_TYPER_COMPLETE_ARGS = $commandAst.ToString()
    $Env:_TYPER_COMPLETE_WORD_TO_COMPLETE = $wordToComplete
    notifyctl | Where-Object { $_ -ne ":files:" } | ForEach-Object {
        $value, $help = $_ -Split ":::"
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
    $Env:_NOTIFYCTL_COMPLETE = ""
    $Env:_TYPER_COMPLETE_ARGS = ""
    $Env:_TYPER_COMPLETE_WORD_TO_COMPLETE = ""
}
Register-ArgumentCompleter -Native -CommandName notifyctl -ScriptBlock $scriptblock""",
}


def script(shell: str) -> str:
    """Return the completion script for a shell of `SHELLS`."""
    return _SCRIPTS[shell]


@app.command(scope=OPEN, cls=TextLeaf)
def show(ctx: typer.Context, shell: Annotated[str, typer.Argument(help=f"One of {', '.join(SHELLS)}.")]) -> None:
    """Print the completion script for a shell."""
    with invocation(ctx) as run:
        if shell not in SHELLS:
            raise UsageError(f"there is no completion for {shell!r}", f"one of {', '.join(SHELLS)}")
        run.out.write(script(shell))
