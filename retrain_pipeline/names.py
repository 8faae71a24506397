"""One grammar for every name that becomes a path, a key or a partition."""

import re

from retrain_pipeline.errors import PermanentError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# Windows reserves these as file names whatever the extension.
_DEVICES = frozenset({"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)})


class NameRefused(PermanentError):
    """A name that does not follow the grammar."""


def check_name(name: str, what: str) -> str:
    """Return `name` if it may be used as a path segment, key or partition.

    Parameters
    ----------
    name
        The text to check: 1 to 63 characters of ``a-z 0-9 _ -``, the first a letter or digit.
    what
        What it names, for the error ("model", "table", "version").

    Raises
    ------
    NameRefused
        When the name is anything else.

    Examples
    --------
    >>> check_name("bike_demand", "model")
    'bike_demand'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _DEVICES:
        raise NameRefused(
            f"{what} name {name!r:.120} is refused: use 1 to 63 of a-z, 0-9, '_' and '-', "
            "starting with a letter or digit, and none of the reserved device names"
        )
    return name
