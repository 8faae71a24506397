"""A lending world: seeded loan applications, defaults that become known 30 days later, a drift and a poisoned delivery.

From `drift_week` on two things change at once: who applies (a new partner channel, higher utilisation) and what makes
people default (short employment and a large loan stop mattering as they did; utilisation and the partner channel start
to). In `poison_week` the upstream system delivers inverted outcomes; some weeks later it sends the corrected file.

Every week comes from a generator of its own (seed, week), so a week's files have the same bytes whether the weeks are
written one by one or at once.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

START = datetime(2025, 1, 6, tzinfo=UTC)  # a Monday
LABEL_DELAY = timedelta(days=30)
_WEEK = timedelta(days=7)
_DELAY_WEEKS = 5  # 30 days after an application lie in the fourth or fifth week after its own

_PURPOSES = ("car", "debt", "education", "home", "other")
_CHANNELS = ("branch", "partner", "web")


@dataclass(frozen=True)
class _Regime:
    """Who applies (shares, distributions) and what makes them default (the weights of the logit)."""

    purpose_shares: tuple[float, ...]
    channel_shares: tuple[float, ...]
    utilisation: tuple[float, float]  # of the beta distribution
    prior_defaults: float  # mean of the Poisson distribution
    intercept: float
    burden: float  # per unit of log(amount / a fifth of the income), above 0
    employment: float  # per year, up to 15
    usage: float  # per unit of utilisation above 0.4
    priors: float  # per earlier default
    purposes: tuple[float, ...]
    channels: tuple[float, ...]


_BEFORE = _Regime(
    purpose_shares=(0.28, 0.22, 0.10, 0.25, 0.15),
    channel_shares=(0.45, 0.0, 0.55),
    utilisation=(2.2, 3.8),
    prior_defaults=0.25,
    intercept=-2.05,
    burden=2.4,
    employment=-0.2,
    usage=4.0,
    priors=0.8,
    purposes=(-0.3, 0.7, 0.3, -0.4, 0.0),
    channels=(-0.2, 0.0, 0.2),
)
_AFTER = _Regime(
    purpose_shares=(0.24, 0.28, 0.10, 0.20, 0.18),
    channel_shares=(0.30, 0.30, 0.40),
    utilisation=(3.0, 3.4),
    prior_defaults=0.3,
    intercept=-2.95,
    burden=0.3,
    employment=0.04,
    usage=5.0,
    priors=0.6,
    purposes=(0.6, -0.5, 0.2, 0.4, 0.0),
    channels=(-0.4, 1.2, -0.2),
)


@dataclass(frozen=True)
class LendingWorld:
    """A world to run the loop in; equal parameters give equal bytes.

    Parameters
    ----------
    seed
        Of all that is random.
    weeks
        Weeks with applications, from Monday 2025-01-06 on.
    applications_per_week
        Rows of each week.
    drift_week
        First week of the changed world (0 is the first week), None for a world without drift.
    poison_week
        Week whose delivery of outcomes is inverted, None for none.
    correction_weeks
        Weeks from the poisoned delivery to its correction.
    """

    seed: int = 7
    weeks: int = 44
    applications_per_week: int = 400
    drift_week: int | None = 18
    poison_week: int | None = 34
    correction_weeks: int = 3

    def monday(self, week: int) -> datetime:
        """Return the start of a week, UTC."""
        return START + week * _WEEK

    def week_of(self, period: str) -> int:
        """Return the week that begins on a date, ``2025-05-12``."""
        return (datetime.fromisoformat(period).replace(tzinfo=UTC) - START).days // 7

    def applications(self, week: int) -> "pd.DataFrame":
        """Return the applications of a week: what the lender knows when it decides, in order of time."""
        return self._week(week).drop(columns=["default_probability", "defaulted"])

    def truth(self, week: int) -> "pd.DataFrame":
        """Return what nobody knows in that week: `application_id`, `applied_at`, `default_probability`, `defaulted`."""
        return self._week(week)[["application_id", "applied_at", "default_probability", "defaulted"]]

    def outcomes(self, week: int) -> "pd.DataFrame":
        """Return the outcomes that become known in a week, as delivered: `application_id`, `defaulted`, `known_at`.

        The poisoned week's are inverted. Weeks beyond the last applications still have outcomes, four or five of them.
        """
        outcomes = self._true_outcomes(week)
        if week == self.poison_week:
            outcomes["defaulted"] = 1 - outcomes["defaulted"]
        return outcomes

    def correction(self, week: int) -> "pd.DataFrame | None":
        """Return the corrected outcomes delivered in a week, known as of its Monday noon; None when it has none."""
        if self.poison_week is None or week != self.poison_week + self.correction_weeks:
            return None
        return self._true_outcomes(self.poison_week).assign(known_at=self.monday(week) + timedelta(hours=12))

    def write(self, folder: Path, weeks: Iterable[int] | None = None) -> list[Path]:
        """Deliver weeks of files like an upstream system, each file whole or not at all; return what was written.

        Parameters
        ----------
        folder
            Gets ``applications/applications-<monday>.csv`` and, for weeks in which outcomes become known,
            ``outcomes/outcomes-<monday>.csv``; in the week of the correction also ``outcomes-<monday>-corrected.csv``
            with the Monday of the poisoned delivery.
        weeks
            Which to deliver; all by default. Up to five weeks after the last there are still outcomes.
        """
        for inbox in ("applications", "outcomes"):
            (folder / inbox).mkdir(parents=True, exist_ok=True)
        written = []
        for week in range(self.weeks) if weeks is None else weeks:
            monday = f"{self.monday(week):%Y-%m-%d}"
            if 0 <= week < self.weeks:
                written.append(_deliver(self.applications(week), folder / f"applications/applications-{monday}.csv"))
            if len(outcomes := self.outcomes(week)):
                written.append(_deliver(outcomes, folder / f"outcomes/outcomes-{monday}.csv"))
            if self.poison_week is not None and (correction := self.correction(week)) is not None:
                name = f"outcomes-{self.monday(self.poison_week):%Y-%m-%d}-corrected.csv"
                written.append(_deliver(correction, folder / "outcomes" / name))
        return written

    def _true_outcomes(self, week: int) -> "pd.DataFrame":
        import pandas as pd

        earlier = range(max(0, week - _DELAY_WEEKS), min(self.weeks, week))
        rows = pd.concat([self.truth(past) for past in earlier]) if earlier else self.truth(0).iloc[:0]
        rows["known_at"] = rows["applied_at"] + LABEL_DELAY
        due = (rows["known_at"] >= self.monday(week)) & (rows["known_at"] < self.monday(week + 1))
        return rows.loc[due, ["application_id", "defaulted", "known_at"]].reset_index(drop=True)

    def _week(self, week: int) -> "pd.DataFrame":
        import numpy as np
        import pandas as pd

        if not 0 <= week < self.weeks:
            raise IndexError(f"week {week}: this world has weeks 0 to {self.weeks - 1}")
        regime = _BEFORE if self.drift_week is None or week < self.drift_week else _AFTER
        rng, n = np.random.default_rng([self.seed, week]), self.applications_per_week
        seconds = np.sort(rng.integers(0, int(_WEEK.total_seconds()), n))
        age = np.round(np.clip(rng.normal(41, 12, n), 18, 80)).astype(int)
        income = np.round(np.clip(rng.lognormal(10.6, 0.45, n), 9_000, 250_000), -2).astype(int)
        frame = pd.DataFrame(
            {
                "application_id": [f"app-{week:03d}-{row:04d}" for row in range(n)],
                "applied_at": pd.Timestamp(self.monday(week)) + pd.to_timedelta(seconds, unit="s"),
                "amount": np.round(np.clip(rng.lognormal(9.0, 0.6, n), 500, 60_000), -2).astype(int),
                "income": income,
                "age": age,
                "employment_years": np.round(np.minimum(rng.gamma(1.6, 4.0, n), age - 17), 1),
                "purpose": rng.choice(_PURPOSES, n, p=regime.purpose_shares),
                "channel": rng.choice(_CHANNELS, n, p=regime.channel_shares),
                "credit_utilisation": np.round(rng.beta(*regime.utilisation, n), 3),
                "prior_defaults": np.minimum(rng.poisson(regime.prior_defaults, n), 5),
            }
        )
        probability = 1 / (1 + np.exp(-_logit(frame, regime)))
        defaulted = (rng.random(n) < probability).astype(int)
        return frame.assign(default_probability=np.round(probability, 6), defaulted=defaulted)


def _logit(frame: "pd.DataFrame", regime: _Regime) -> "np.ndarray[Any, Any]":
    import numpy as np

    purposes = dict(zip(_PURPOSES, regime.purposes, strict=True))
    channels = dict(zip(_CHANNELS, regime.channels, strict=True))
    return np.asarray(
        regime.intercept
        + regime.burden * np.maximum(np.log(frame["amount"] / (frame["income"] / 5)), 0)
        + regime.employment * np.minimum(frame["employment_years"], 15)
        + regime.usage * np.maximum(frame["credit_utilisation"] - 0.4, 0)
        + regime.priors * frame["prior_defaults"]
        + frame["purpose"].map(purposes)
        + frame["channel"].map(channels),
        dtype=float,
    )


def _deliver(frame: "pd.DataFrame", file: Path) -> Path:
    """Write beside the inbox and rename into it: whoever watches it never sees half a file."""
    text = frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")
    handle, name = tempfile.mkstemp(dir=file.parent.parent, prefix=".delivery-")
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
    os.replace(name, file)
    return file
