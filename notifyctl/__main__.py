"""The installed command, and `python -m notifyctl`."""

from __future__ import annotations

import os
import signal


def run() -> None:
    """Load the program and run it; Ctrl-C meanwhile ends the process as it ends any other, without a traceback."""
    if os.environ.get("_NOTIFYCTL_COMPLETE", "").startswith("complete_"):
        from notifyctl.cli.completer import answer

        answer(os.environ)
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, and stays so
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from notifyctl.cli.app import run as run_app

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_app()


if __name__ == "__main__":
    run()
