"""notifyctl: administer and dispatch a notification system from one command line."""

__version__ = "0.1.0"
