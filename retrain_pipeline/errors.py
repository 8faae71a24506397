"""The roots of every error the project raises: can it be tried again, or must somebody act?"""


class RetrainError(Exception):
    """Something the project refuses or cannot do; the message names the thing, the place and the mend."""


class PermanentError(RetrainError):
    """Trying again gives the same answer: bad input, a refused action, a broken promise."""


class TransientError(RetrainError):
    """Trying again may help: a lock, a network, a database that restarts."""
