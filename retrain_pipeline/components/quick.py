"""Loading in less time: what Dagster does alike for every model, done in a cheaper way while a code location loads."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import yaml


@contextmanager
def quickly() -> Iterator[None]:
    """Load definitions without needless work; afterwards all is as it was.

    A load makes some thousand objects a model, and all of them stay: a garbage collector that walks them again and
    again finds nothing (a tenth of the load of 20 models). Dagster reads each `defs.yaml` by PyYAML's reader in Python;
    libyaml's, where PyYAML was built with it, gives the same values and places (a tenth too). Dagster asks PyYAML for
    the reader at every file, and has no setting for it.
    """
    reader, collects = yaml.SafeLoader, gc.isenabled()
    gc.disable()
    vars(yaml)["SafeLoader"] = getattr(yaml, "CSafeLoader", reader)
    try:
        yield
    finally:
        vars(yaml)["SafeLoader"] = reader
        if collects:
            gc.enable()
