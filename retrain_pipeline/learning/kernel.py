"""What the kernel says of memory: how often it killed for want of it. Linux only; elsewhere nobody says."""

from pathlib import Path

PROC = Path("/proc")


def oom_kills(proc: Path = PROC) -> str | None:
    """Return ``<boot>:<processes killed for want of memory since>``, or None where the kernel does not say.

    The count is of the whole machine, containers and memory limits of control groups included.
    """
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        counts = dict(line.split(maxsplit=1) for line in (proc / "vmstat").read_text().splitlines())
    except OSError:
        return None
    return f"{boot}:{int(counts['oom_kill'])}" if "oom_kill" in counts else None


def killed_for_memory(before: str | None, after: str | None) -> bool:
    """Return whether the kernel killed for want of memory between two answers of one machine, as far as they tell.

    Examples
    --------
    >>> killed_for_memory("boot:3", "boot:4"), killed_for_memory("old:3", "boot:4")
    (True, False)
    """
    if not before or not after:
        return False
    (boot, count), (boot_now, count_now) = before.rsplit(":", 1), after.rsplit(":", 1)
    return boot == boot_now and int(count_now) > int(count)
