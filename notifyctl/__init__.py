"""notifyctl: administer and dispatch a notification system from one command line.

For applications: `submit` in a transaction of their own, on SQLite within `locked`.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # as type checkers see it; `typing` takes longer to load than all of this
if TYPE_CHECKING:
    from notifyctl.core.application import Accepted, Submission
    from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
    from notifyctl.services.embedding import locked, submit

__all__ = ["Accepted", "Conflict", "NotFound", "NotifyctlError", "Submission", "UsageError", "locked", "submit"]


def __getattr__(name: str) -> object:
    """Load what applications use when they ask for it: the command line does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from notifyctl.services import embedding

    return getattr(embedding, name)
