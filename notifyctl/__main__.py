"""The installed command, and `python -m notifyctl`."""

from __future__ import annotations

import gc
import os
import signal


def run() -> None:
    """Load the program and run it; Ctrl-C meanwhile ends the process as it ends any other, without a traceback."""
    if os.environ.get("_NOTIFYCTL_COMPLETE", "").startswith("complete_"):
        from notifyctl.cli.completer import answer

        answer(os.environ)
    if os.getpid() == 1:
        _heed_signals()
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, and stays so
    if ours and os.getpid() != 1:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # until the command is loaded: `cli.app.load`
    from notifyctl.cli.app import run as run_app

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_app()


def _heed_signals() -> None:
    """Let signals end the first process of a container, too, for which the kernel leaves the usual acts out.

    From here on, so that one counts that comes while the program is loaded, or while a command waits.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, _: os._exit(128 + number))


if __name__ == "__main__":
    run()
