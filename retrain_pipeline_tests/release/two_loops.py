"""A loop over given stores, as a program: told on stdin what to do, one JSON a line; each answer is one JSON line.

Two of it run at a time: the loop of an earlier release, which reads and writes deployments of format 1 only, and the
loop of this one. `Deployment1` is that release's own record, kept as it was.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from retrain_pipeline.errors import RetrainError
from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.monitoring.feedback import update_feedback
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.serving import score_period
from retrain_pipeline.release.state import Deployment, current
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline.strict import Strict
from retrain_pipeline_tests.e2e.model_side import Asked, candidate, evaluation, releasing, training_set
from retrain_pipeline_tests.gates.world import START

TO_STATE, FROM_STATE = Deployment.to_state, Deployment.from_state


class Deployment1(Strict):
    """What serves, as the release before stages wrote it."""

    schema_: Literal["deployment/1"] = Field("deployment/1", alias="schema", serialization_alias="schema")
    model: str
    champion: str
    previous: str | None
    manifest: Digest
    previous_manifest: Digest | None
    evidence: Digest
    feature_code: Digest
    spec: Digest
    effective_as_of: str
    released_at: str


def _old_state(deployment: Deployment) -> dict[str, Any]:
    known = {name: value for name, value in TO_STATE(deployment).items() if name in Deployment1.model_fields}
    return Deployment1.model_validate({**known, "schema": "deployment/1"}).model_dump(mode="json", by_alias=True)


def _old_reading(state: dict[str, Any]) -> Deployment:
    try:
        Deployment1.model_validate(state)
    except ValidationError as error:
        raise ReleaseRefused(f"cannot be read: {error.errors()[0]['msg']}; use a newer version") from error
    return FROM_STATE(state)


class Loop:
    """One loop: its own code and declaration, the stores of both."""

    def __init__(self, stores: Stores, models: Path) -> None:
        self.stores = stores
        self.declaration = read_declaration(models / "toy")

    def write_format_1(self) -> str:
        """Become the release before stages."""
        Deployment.to_state = _old_state  # type: ignore[method-assign]
        Deployment.from_state = staticmethod(_old_reading)  # type: ignore[assignment]
        return "format 1"

    def write_format_2(self) -> str:
        """Become this release."""
        Deployment.to_state, Deployment.from_state = TO_STATE, FROM_STATE  # type: ignore[method-assign]
        return "format 2"

    def period(self, week: int) -> str:
        """Run the data side of a period, as far as it needs a model; return who scored it."""
        spec, stores = self.declaration.spec, self.stores
        key = spec.data.time.calendar().key(START + timedelta(weeks=week))
        report = update_features(stores.lake, load_features(self.declaration.folder, spec.features), spec, key)
        assert report.write is not None, report.checks
        scored = score_period(stores, self.declaration, key)
        update_feedback(stores, spec, key)
        return f"{scored.version} {'wrote' if scored.changed else 'found'}"

    def build(self, run_id: str, week: int, mode: str) -> str:
        """Build and judge a version in a run; return it."""
        asked = Asked(run_id, week, "first_model" if mode == "first" else "performance", mode)
        for step in (training_set, candidate, evaluation):
            step(self.stores, self.declaration, asked)
        entry = self.stores.ledger.entries(run_id=run_id, action="judged")[-1]
        return f"{entry.subject} {entry.payload['verdict']}"

    def release(self, run_id: str, week: int) -> str:
        """Release what a run built; return who is champion."""
        releasing(self.stores, self.declaration, Asked(run_id, week, "", ""))
        return self.champion()

    def roll_back(self) -> str:
        """Go back to the champion before."""
        return rollback(self.stores, "toy", because="the new one is not wanted", actor="loop").champion

    def champion(self) -> str:
        """Return who serves, as this loop reads the record."""
        _, deployment = current(self.stores.ledger, "toy")
        return deployment.champion if deployment else "nobody"


def main() -> None:
    """Answer until stdin ends."""
    loop: Loop | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        what = asked.pop("do")
        try:
            if what == "open":
                stores = open_stores(asked["home"], ledger_url=asked["ledger_url"])
                loop, answer = Loop(stores, Path(asked["models"])), "open"
            else:
                answer = getattr(loop, what)(**asked)
            told = {"answer": answer}
        except RetrainError as error:
            told = {"refused": type(error).__name__, "words": str(error)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
