"""The one exception that means "the input is at fault, and here is what to do about it"."""


class UserError(Exception):
    """Bad input or an impossible request; the message is all that a user sees.

    It names the file, line, key or source at fault, what was expected, and what to do next.
    """


class Retryable(UserError):
    """A UserError that another attempt may be spared: a full disk, another writer, too little time."""


class Stopped(Exception):
    """A job that was asked to stop has stopped, and what it had is kept; the message says how to go on."""
