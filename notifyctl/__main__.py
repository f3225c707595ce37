"""`python -m notifyctl`."""

from notifyctl.cli.app import run

if __name__ == "__main__":
    run()
