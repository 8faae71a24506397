"""What the record of a deployment must be: the release rules once more, small, pure, and written apart from the code.

A `Life` is a value; each function takes one and returns what must come of an operation. Times are numbers of weeks.
The declaration that it is written for is `lab.ROLLOUTS`, the one of stories.
"""

from dataclasses import dataclass, field, replace

STAGES = (("shadow", 0.0), ("canary", 0.25))
LONGEST, HOLDBACK_WEEKS, DRILL_WEEKS = 3, 3, 3
FAILS_AT_ONCE = ("mute", "worse")

Changes = dict[str, object]


@dataclass(frozen=True)
class Held:
    """The holdback: which version, and the week of its data."""

    version: str
    week: int


@dataclass(frozen=True)
class Trial:
    """A version on trial: by which evidence, in which of `STAGES`, since which week."""

    version: str
    evidence: str
    week: int
    stage: int
    since: int


@dataclass(frozen=True)
class Served:
    """Who serves."""

    champion: str
    previous: str | None
    evidence: str
    week: int
    since: int
    held: Held | None
    trial: Trial | None = None


@dataclass(frozen=True)
class Judged:
    """What a judgement found, and at which epoch."""

    version: str
    epoch: int
    verdict: str
    against: str | None


@dataclass(frozen=True)
class Word:
    """A person's statement: on which evidence, until which hour, and whether it let something through."""

    kind: str
    version: str
    evidence: str
    until: float
    used: bool = False


@dataclass(frozen=True)
class Life:
    """All that decides what an operation does."""

    epoch: int = 0
    served: Served | None = None
    stack: tuple[Served, ...] = ()
    """The champions that no rollback has undone; the last one serves."""
    reigns: tuple[tuple[str, Served], ...] = ()
    """Every champion there was, with how: ``released``, or the reason of the rollback."""
    weeks: dict[str, int] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    words: tuple[Word, ...] = ()
    looks: dict[tuple[int, str, int], str] = field(default_factory=dict)
    drilled: tuple[bool, int] | None = None
    """Whether the newest drill succeeded, and in which week."""
    done: frozenset[str] = frozenset()
    """Keys of changes that were made."""
    week: int = 0
    hour: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What must come of an operation: an answer, and the life after it. `key` names the change, where there is one."""

    answer: str
    life: Life
    key: str | None = None
    kind: str | None = None
    """The kind of statement that lets it through."""


def rehearsed(life: Life) -> bool:
    """The newest drill succeeded, not too long ago; without an earlier champion there is nothing to rehearse."""
    if life.drilled is not None and not life.drilled[0]:
        return False
    if life.served is None or life.served.previous is None:
        return True
    return life.drilled is not None and life.week - life.drilled[1] <= DRILL_WEEKS


def holding(life: Life, kind: str, version: str, evidence: str) -> list[int]:
    """Places of the statements that hold, newest first."""
    wanted = (kind, version, evidence, False)
    found = [at for at, one in enumerate(life.words) if (one.kind, one.version, one.evidence, one.used) == wanted]
    return [at for at in reversed(found) if life.hour < life.words[at].until]


def permitted(life: Life, version: str, evidence: str) -> str | None:
    """The kind of statement that lets a version through."""
    return next((kind for kind in ("release", "override") if holding(life, kind, version, evidence)), None)


def _changed(life: Life, served: Served, how: str | None = None, **more: object) -> Life:
    """The life with another record; `how` when somebody becomes champion."""
    reigns = life.reigns if how is None else (*life.reigns, (how, served))
    return replace(life, epoch=life.epoch + 1, served=served, reigns=reigns, **more)


def _used(life: Life, kind: str, version: str, evidence: str) -> tuple[Word, ...]:
    at = holding(life, kind, version, evidence)[0]
    return (*life.words[:at], replace(life.words[at], used=True), *life.words[at + 1 :])


def _held(life: Life, week: int) -> Held | None:
    now = life.served
    if now is None:
        return None
    if now.held is not None and week - now.held.week < HOLDBACK_WEEKS:
        return now.held
    return Held(now.champion, now.week)


def release(life: Life, version: str, evidence: str) -> Outcome:
    """A release: the first model serves at once, any other goes on trial."""
    judged, now = life.judged[evidence], life.served
    if not (judged.verdict == "PASS" or (judged.verdict == "OPEN" and judged.against is not None)):
        return Outcome("refused", life)
    if now is not None and (now.champion, now.evidence) == (version, evidence):
        return Outcome("already", life)
    if now is not None and now.trial is not None and (now.trial.version, now.trial.evidence) == (version, evidence):
        return Outcome("already", life)
    if judged.epoch != life.epoch:
        return Outcome("superseded", life)
    if not rehearsed(life):
        return Outcome("refused", life)
    kind = permitted(life, version, evidence)
    if kind is None:
        return Outcome("awaiting", life)
    words, week = _used(life, kind, version, evidence), life.weeks[version]
    key = f"staged:{life.epoch}:{evidence}"
    if now is None:
        served = Served(version, None, evidence, week, week, None)
        return Outcome("released", _changed(life, served, "released", words=words, stack=(served,)), key, kind)
    trial = Trial(version, evidence, week, 0, week)
    served = replace(now, trial=trial)
    stack = (*life.stack[:-1], replace(life.stack[-1], trial=None))
    return Outcome("staged", _changed(life, served, words=words, stack=stack), key, kind)


def step(life: Life, trial: Trial, found: str) -> str:
    """What follows from a look at the end of this week."""
    name, last = STAGES[trial.stage][0], trial.stage == len(STAGES) - 1
    if found in FAILS_AT_ONCE or (found == "broken" and name == "canary"):
        return "withdraw"
    known = found == "good" or (found in ("broken", "split") and name == "shadow") or (found == "early" and not last)
    if known and not (last and not rehearsed(life)):
        return "promote" if last else "advance"
    return "withdraw" if life.week + 1 - trial.week >= LONGEST else "hold"


def look(life: Life, found: str) -> Outcome:
    """The end of the present week: who is on trial is looked at, or else the champion that followed another."""
    now = life.served
    if now is None:
        return Outcome("none", life)
    if now.trial is None:
        return _watch(life, now, found)
    trial, end = now.trial, life.week + 1
    if trial.since >= end:
        return Outcome("none", life)
    place = (life.epoch, trial.version, life.week)
    move = life.looks.get(place) or step(life, trial, found)
    life = replace(life, looks={**life.looks, place: move})
    key = f"look:{life.epoch}:{life.week}"
    if move == "hold":
        return Outcome("hold", life)
    if move == "withdraw":
        return Outcome("withdraw", _changed(life, replace(now, trial=None)), key)
    if move == "advance":
        return Outcome("advance", _changed(life, replace(now, trial=replace(trial, stage=1, since=end))), key)
    served = Served(trial.version, now.champion, trial.evidence, trial.week, end, _held(life, trial.week))
    return Outcome("promote", _changed(life, served, "released", stack=(*life.stack, served)), key)


def _watch(life: Life, now: Served, found: str) -> Outcome:
    if now.previous is None or life.reigns[-1][0] != "released" or life.week < now.since:
        return Outcome("none", life)
    place = (life.epoch, f"{now.champion} watched", life.week)
    worse = found == "broken" or (found == "worse" and life.week == now.since)
    seen = life.looks.get(place) or ("back" if worse else "watched")
    life = replace(life, looks={**life.looks, place: seen})
    if seen == "back":
        back = rollback(life, None, "a guardrail")
        return replace(back, answer="rolled_back" if back.answer == "changed" else back.answer)
    return Outcome("watched", life)


def rollback(life: Life, to: str | None, because: str) -> Outcome:
    """Back to the champion before, or to one that is named."""
    if life.served is None:
        return Outcome("refused", life)
    if to is None:
        if life.reigns[-1][0] == because:
            return Outcome("same", life)
        if len(life.stack) < 2:
            return Outcome("refused", life)
        target = life.stack[-2]
    else:
        found = [one for _, one in life.reigns if one.champion == to]
        if not found:
            return Outcome("refused", life)
        target = found[-1]
    if target.champion == life.served.champion:
        return Outcome("same", life)
    below = list(life.stack)
    if any(one.champion == target.champion for one in below):
        while below[-1].champion != target.champion:
            below.pop()
        below.pop()
    served = replace(target, previous=below[-1].champion if below else None, trial=None)
    return Outcome("changed", _changed(life, served, because, stack=(*below, served)))


def drill(life: Life, works: bool) -> Outcome:
    """A rehearsal of the way back."""
    if len(life.stack) < 2:
        return Outcome("INCONCLUSIVE", life)
    return Outcome("PASS" if works else "FAIL", replace(life, drilled=(works, life.week)))
