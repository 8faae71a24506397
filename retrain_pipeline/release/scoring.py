"""Asking models: the rows of a period go to the versions that answer them, and what each said becomes a table."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.release.router import CANARY, CHAMPION, CONTROL, FALLBACK, HOLDBACK, Routing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.release.plan import Plan
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

# Rows are scored in batches, and a row's latency is its share of its batch: enough batches for a 95th percentile.
_BATCHES = 5


@dataclass
class Asked:
    """The versions of a period, loaded once each, and what they had not met in training."""

    stores: "Stores"
    spec: "ModelSpec"
    unseen: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """Why a version that is not the champion could not answer."""
    _pipelines: dict[str, Any] = field(default_factory=dict)

    def answers(self, version: str, features: "pd.DataFrame", *, counted: bool = True) -> "pd.DataFrame":
        """Return what a version says of rows, with `latency_ms`; index as the features.

        Raises
        ------
        PermanentError
            When it does not load, or cannot take the features.
        """
        import pandas as pd

        from retrain_pipeline.learning.prediction import predict

        pipeline = self._pipeline(version)
        parts = []
        unseen, missing = Counter[str](), Counter[str]()
        size = max(-(-len(features) // _BATCHES), 1)
        for at in range(0, len(features), size):
            batch = features.iloc[at : at + size]
            started = time.perf_counter_ns()
            told = predict(pipeline, self.spec.data.label.task, batch)
            milliseconds = (time.perf_counter_ns() - started) / 1e6 / len(batch)
            parts.append(told.frame.assign(latency_ms=milliseconds))
            unseen.update(told.unseen)
            missing.update(told.missing)
        if counted:  # once it answered all: what it could not answer is counted for who does
            self.unseen.update(unseen)
            self.missing.update(missing)
        return pd.concat(parts)

    def tried(self, version: str, features: "pd.DataFrame", *, counted: bool = True) -> "pd.DataFrame | None":
        """Return what a version says, or None where it cannot: users are served all the same."""
        if version in self.failures:
            return None
        try:
            return self.answers(version, features, counted=counted)
        except PermanentError as error:
            self.failures[version] = str(error)
            return None

    def _pipeline(self, version: str) -> Any:
        from retrain_pipeline.learning.versions import load_version

        if version not in self._pipelines:
            self._pipelines[version] = load_version(self.stores, self.spec.name, version).pipeline
        return self._pipelines[version]


def served(asked: Asked, plan: "Plan", routing: Routing, features: "pd.DataFrame") -> "pd.DataFrame":
    """Return the predictions that users get: who answered each row, in which arm, and how probable that was.

    A canary or holdback that cannot answer is stood in for by the champion (`fallback`).

    Raises
    ------
    PermanentError
        When the champion cannot answer.
    """
    import pandas as pd

    versions, arms, propensities = _assigned(asked, routing, features)
    parts = []
    for version in sorted(set(versions) - {routing.champion}):
        mine = versions == version
        if (told := asked.tried(version, features[mine])) is not None:
            parts.append(told)
        else:
            arms[mine], versions[mine] = FALLBACK, routing.champion
    if (rest := versions == routing.champion).any():  # the last, as it answers what the others could not
        parts.append(asked.answers(routing.champion, features if rest.all() else features[rest]))  # no copy of all
    head = features[[*asked.spec.data.key, "_event_time"]]
    table = head.assign(
        _known_time=features["_event_time"], model_version=versions, arm=arms, propensity=propensities, epoch=plan.epoch
    )
    return table.join(pd.concat(parts))


def unserved(asked: Asked, plan: "Plan", routing: Routing, features: "pd.DataFrame", table: Any) -> "pd.DataFrame":
    """Return what the other model of a comparison says of the rows that it did not serve; often there are none.

    In shadow, and while a new champion is watched, it is every row but those of the holdback. In a canary it is the
    rows of canary and control: of each, what the model of the other arm would have said.
    """
    import pandas as pd

    parts = []
    if plan.beside is not None:
        arms = table["arm"]
        if routing.canary is None:
            pairs = [(plan.beside, ~arms.isin([HOLDBACK, FALLBACK]))]
        else:
            pairs = [(plan.beside, arms == CONTROL), (routing.champion, arms == CANARY)]
        for version, rows in pairs:
            chosen = features[rows]
            told = asked.tried(version, chosen, counted=False) if len(chosen) else None
            if told is not None:
                head = chosen[[*asked.spec.data.key, "_event_time"]]
                named = head.assign(_known_time=chosen["_event_time"], model_version=version)
                parts.append(named.join(told.drop(columns="latency_ms")))
    return pd.concat(parts) if parts else pd.DataFrame()


def _assigned(
    asked: Asked, routing: Routing, features: "pd.DataFrame"
) -> "tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.float64]]":
    """Return version, arm and propensity of each row."""
    import numpy as np

    n = len(features)
    if routing.one_model:
        return np.full(n, routing.champion, dtype=object), np.full(n, CHAMPION, dtype=object), np.ones(n)
    columns = entities(asked.stores, asked.spec, features)
    # An entity often has many rows: each is placed once.
    known: dict[tuple[Any, ...], Any] = {}
    routes = [known.get(one) or known.setdefault(one, routing.route(one)) for one in columns]
    return (
        np.array([route.version for route in routes], dtype=object),
        np.array([route.arm for route in routes], dtype=object),
        np.array([route.propensity for route in routes], dtype=np.float64),
    )


def entities(stores: "Stores", spec: "ModelSpec", rows: "pd.DataFrame") -> list[tuple[Any, ...]]:
    """Return the entity of each row: the values of `rollout.route_by`, or of the key.

    Columns that the rows do not have are looked up in the raw table of their period.
    """
    names = list(spec.rollout.route_by or spec.data.key)
    if not set(names) <= set(rows.columns):
        identity = [*spec.data.key, "_event_time"]
        periods = sorted(set(rows["_period"])) if "_period" in rows else None
        columns = list(dict.fromkeys([*identity, *names]))
        raw = stores.lake.read(spec.name, "raw", periods=periods, columns=columns).drop_duplicates(identity)
        rows = rows[identity].merge(raw, on=identity, how="left", validate="many_to_one")
    return list(rows[names].itertuples(index=False, name=None))
