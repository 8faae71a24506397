"""From what a run was asked for to the retrain that it performs: defaults filled in, nonsense refused, on record."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast, get_args

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.triggers.policy import Kind, Mode
from retrain_pipeline.triggers.retrain import Retrain, start_retrain

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


class RequestRefused(PermanentError):
    """A request for a retrain that makes no sense."""


def _moment(ledger: "Ledger", spec: ModelSpec, as_of: str) -> datetime:
    if not as_of:
        monitored = ledger.latest(spec.name, "monitored")
        if monitored is None:
            raise RequestRefused(
                f"{spec.name}: as_of is empty and no period was monitored yet; materialize the data side first, "
                "or give as_of"
            )
        as_of = monitored.payload["as_of"]
    try:
        moment = as_utc(datetime.fromisoformat(as_of))
    except ValueError as error:
        raise RequestRefused(f"{spec.name}: as_of {as_of!r:.60} is no ISO 8601 time") from error
    calendar = spec.data.time.calendar()
    if calendar.floor(moment) != moment:
        raise RequestRefused(
            f"{spec.name}: as_of {as_of} is not the end of a {calendar.cadence}; the nearest before is "
            f"{calendar.floor(moment).isoformat()}"
        )
    return moment


def _kind(value: str) -> Kind:
    for kind in get_args(Kind):
        if kind == value:
            return cast("Kind", kind)
    raise RequestRefused(f"kind {value!r:.60}: allowed are {', '.join(get_args(Kind))}")


def _mode(value: str) -> Mode:
    for mode in get_args(Mode):
        if mode == value:
            return cast("Mode", mode)
    raise RequestRefused(f"mode {value!r:.60}: allowed are {', '.join(get_args(Mode))}")


def retrain_requested(
    ledger: "Ledger",
    spec: ModelSpec,
    *,
    run_id: str,
    as_of: str,
    kind: str,
    mode: str,
    trigger_id: str,
    attempt: int,
    actor: str,
    reasons: Sequence[str] = (),
) -> Retrain:
    """Start the retrain that a run was asked for.

    Empty `as_of` means the end of the newest monitored period; empty `mode` what the state asks for (`first` without
    a champion, else `superiority`: nothing was wrong, so the candidate must be better); empty `trigger_id` a person.

    Raises
    ------
    RequestRefused
        When the moment is no period's end, or a word is not one of those allowed.
    """
    moment = _moment(ledger, spec, as_of)
    if not mode:
        mode = "superiority" if ledger.deployment(spec.name) else "first"
    return start_retrain(
        ledger,
        Retrain(
            model=spec.name,
            run_id=run_id,
            trigger_id=trigger_id or f"manual-{moment:%Y%m%dT%H}",
            kind=_kind(kind),
            attempt=attempt,
            as_of=moment,
            mode=_mode(mode),
            reasons=tuple(reason[:1000] for reason in reasons[:10]),
            policy="manual" if kind == "manual" else spec.trigger.policy,
        ),
        actor,
    )
