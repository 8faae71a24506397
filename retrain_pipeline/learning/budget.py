"""What a fit costs: wall seconds and the highest resident memory, watched while it runs, and memory bounded."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from retrain_pipeline.learning.errors import OUT_OF_MEMORY
from retrain_pipeline.spec.model import Budget

_EVERY_SECONDS = 0.02
_LEAST_ROOM_MB = 512
"""What libraries reserve and never touch (buffers of threads, arenas); less would fail fits that keep their budget."""


def rss_mb() -> float:
    """Return the resident memory of this process in megabytes (10**6 bytes)."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def peak_rss_mb() -> float:
    """Return the highest resident memory of this process so far in megabytes (10**6 bytes).

    Of the program that runs now: what `getrusage` tells begins, on Linux, at what the process that started it held.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


@contextmanager
def memory_limit(budget: Budget) -> Iterator[None]:
    """Refuse this process more new memory than the whole budget: a runaway fit gets a MemoryError, not the machine.

    The kernel counts what is reserved (RLIMIT_DATA), and the budget is of what is resident, so this is the far bound;
    `Purse` holds the near one after each fit. Only Linux says what is reserved; elsewhere there is no bound.
    """
    import psutil

    reserved = getattr(psutil.Process().memory_info(), "data", None)
    if reserved is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(reserved + max(budget.peak_rss_mb, _LEAST_ROOM_MB) * 1e6)
    present = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *present]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class Meter:
    """Measures the block it guards: `wall_seconds`, and `peak_rss_mb` sampled every 20 ms."""

    def __init__(self) -> None:
        self.wall_seconds = 0.0
        self.peak_rss_mb = 0.0
        self._started = 0.0
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Meter":
        self._started = time.monotonic()
        self.peak_rss_mb = rss_mb()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._watcher.join()
        self.wall_seconds = time.monotonic() - self._started
        self.peak_rss_mb = max(self.peak_rss_mb, rss_mb())

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_SECONDS):
            self.peak_rss_mb = max(self.peak_rss_mb, rss_mb())


class Purse:
    """The budget of one training, counted from now."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._started = time.monotonic()

    def spent(self) -> str | None:
        """Return why no further fit may start, or None."""
        elapsed, used = time.monotonic() - self._started, rss_mb()
        if elapsed >= self._budget.wall_seconds:
            return f"{elapsed:.1f} s of training.budget.wall_seconds {self._budget.wall_seconds:g} are used"
        if used >= self._budget.peak_rss_mb:
            return (
                f"{OUT_OF_MEMORY}: {used:.0f} MB of training.budget.peak_rss_mb {self._budget.peak_rss_mb:g} are used"
            )
        return None

    def crossed_by(self, fit: Meter) -> str | None:
        """Return why a fit alone crosses the budget, or None."""
        if fit.wall_seconds > self._budget.wall_seconds:
            return f"the fit alone took {fit.wall_seconds:.1f} s of {self._budget.wall_seconds:g}"
        if fit.peak_rss_mb > self._budget.peak_rss_mb:
            return f"{OUT_OF_MEMORY}: the fit reached {fit.peak_rss_mb:.0f} MB of {self._budget.peak_rss_mb:g}"
        return None
