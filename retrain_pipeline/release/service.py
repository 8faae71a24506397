"""Answering rows as they come: by the deployment of now, routed as a batch of them would be.

What serves is one immutable value. It is made whole before it takes the place of the one before, so a reader sees the
old deployment or the new one and never half of each; what cannot be loaded takes nobody's place.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError, RetrainError
from retrain_pipeline.lanes import OPENED
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.router import FALLBACK, Route, Routing
from retrain_pipeline.release.state import current

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Serving:
    """A deployment with its models in memory. A canary or holdback that does not load is not among `pipelines`."""

    epoch: int
    routing: Routing
    pipelines: Mapping[str, Any]

    def route(self, entity: tuple[Any, ...]) -> Route:
        """Return who answers an entity; the champion, where the model of its arm is not there."""
        route = self.routing.route(entity)
        if route.version in self.pipelines:
            return route
        return Route(FALLBACK, self.routing.champion, route.propensity)


class Service:
    """Answers rows of features by the deployment of now.

    Parameters
    ----------
    refresh_seconds
        How old the record may be that it serves by: so long at most goes on serving what was rolled back.

    Raises
    ------
    ServingRefused
        From every method, while nothing was ever released, or the champion of the first look does not load.
    """

    def __init__(self, stores: "Stores", spec: "ModelSpec", *, refresh_seconds: float = 1.0) -> None:
        self._stores, self._spec, self._refresh_seconds = stores, spec, refresh_seconds
        self._lock = threading.Lock()
        self._serving: Serving | None = None
        self._looked_at = 0.0
        self.trouble: str | None = None
        """Why the newest deployment is not what serves; None when it is."""

    def answer(self, features: "pd.DataFrame") -> "pd.DataFrame":
        """Return the answers to rows, index as they have it.

        Parameters
        ----------
        features
            Features with the columns of the entity (`rollout.route_by`, or the key).

        Returns
        -------
        DataFrame
            `prediction` and `score` as `learning.prediction.predict` says, `model_version`, `arm`, `propensity` and the
            `epoch` of the deployment: what has to be logged with each answer.

        Raises
        ------
        PermanentError
            When a model cannot take the features.
        """
        import pandas as pd

        from retrain_pipeline.learning.prediction import predict

        serving = self.serving()
        names = list(self._spec.rollout.route_by or self._spec.data.key)
        if lacking := [name for name in names if name not in features]:
            raise ServingRefused(f"{self._spec.name}: rows need {', '.join(lacking)} to be routed (rollout.route_by)")
        rows = features.reset_index(drop=True)  # two rows may come under one name
        routes = [serving.route(entity) for entity in rows[names].itertuples(index=False, name=None)]
        told = pd.DataFrame(
            {
                "model_version": [route.version for route in routes],
                "arm": [route.arm for route in routes],
                "propensity": [route.propensity for route in routes],
                "epoch": serving.epoch,
            }
        )
        task = self._spec.data.label.task
        parts = [
            predict(serving.pipelines[version], task, rows[told["model_version"] == version]).frame
            for version in sorted(set(told["model_version"]) or {serving.routing.champion})
        ]
        return pd.concat(parts).join(told).sort_index().set_axis(features.index)

    def serving(self) -> Serving:
        """Return what serves now, after a look at the record where the last one is too old."""
        first = self._serving is None
        due = first or time.monotonic() - self._looked_at >= self._refresh_seconds
        # One thread looks. The others go on with what there is; at first there is nothing, and they wait.
        if due and self._lock.acquire(blocking=first):
            try:
                if not first or self._serving is None:
                    self._look()
            finally:
                self._lock.release()
        serving = self._serving
        if serving is None:
            raise ServingRefused(f"{self._spec.name}: {self.trouble}")
        return serving

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        try:
            ledger, model = self._stores.ledger, self._spec.name
            if self._serving is None and (lane := ledger.latest(model, OPENED)) is not None:
                raise ServingRefused(f"it is a lane beside {lane.payload['of']}, and a lane serves nobody")
            epoch, deployment = current(ledger, model)
            if deployment is None:
                self.trouble = "nothing was ever released, so nobody answers"
                return
            if self._serving is None or self._serving.epoch != epoch:
                self._serving = self._loaded(epoch, deployment.routing())
            self.trouble = None
        except RetrainError as error:  # what serves goes on: a store that is away is no reason to stop answering
            self.trouble = f"the newest deployment does not serve: {error}"

    def _loaded(self, epoch: int, routing: Routing) -> Serving:
        """Return a deployment with its models; those that the one before has already are taken over."""
        from retrain_pipeline.learning.versions import load_version

        known = self._serving.pipelines if self._serving is not None else {}
        others = {share.version for share in (routing.canary, routing.holdback) if share is not None}
        pipelines = dict[str, Any]()
        for version in sorted({routing.champion, *others}):
            try:
                pipelines[version] = known.get(version) or load_version(self._stores, self._spec.name, version).pipeline
            except PermanentError:
                if version == routing.champion:
                    raise
        return Serving(epoch, routing, pipelines)
