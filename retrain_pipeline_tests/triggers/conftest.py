"""A ledger that tells the story of a model, for the tests of triggers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.triggers.policy import TriggerDecision, decide
from retrain_pipeline.triggers.retrain import Retrain, close_retrain, start_retrain
from retrain_pipeline.triggers.state import read_state

START = datetime(2024, 1, 1, tzinfo=UTC)


def declared(**trigger: Any) -> ModelSpec:
    """Return a weekly model; `trigger` are its bounds."""
    bounds = {"cooldown_periods": 2, "max_attempts": 2, "max_age_periods": 10, "min_new_labels": 50, **trigger}
    return ModelSpec.model_validate(
        {
            "name": "small",
            "problem": {
                "statement": "How much will be sold in an hour?",
                "business_metric": {"name": "waste", "direction": "down"},
                "success": {"metric": "mae", "at_most": 10.0},
            },
            "data": {
                "source": {"kind": "csv", "path": "small.csv"},
                "key": ["id"],
                "time": {"column": "at", "period": "week", "start": date(2024, 1, 1)},
                "label": {"column": "y", "task": "regression"},
                "columns": {"x": {"dtype": "float"}},
            },
            "training": {"min_periods": 3, "candidates": {"ridge": {"estimator": "sklearn.linear_model.Ridge"}}},
            "trigger": bounds,
        }
    )


@dataclass
class Story:
    """A ledger and a model: weeks are monitored, the trigger looks, retrains start and end."""

    ledger: Ledger
    spec: ModelSpec
    runs: int = 0

    def end(self, week: int) -> datetime:
        return START + timedelta(weeks=week + 1)

    @property
    def champion(self) -> str | None:
        row = self.ledger.deployment("small")
        return None if row is None else str(row.state["champion"])

    def monitored(self, week: int, performance: str = "PASS", drift: str = "PASS", **more: Any) -> None:
        """Enter what monitoring found in a week."""
        payload = {
            "period": f"{self.end(week - 1):%Y-%m-%d}",
            "as_of": self.end(week).isoformat(),
            "champion": self.champion,
            "verdict": "PASS",
            "drift": {"verdict": drift, "columns": [], "max_effect": 0.1, "words": "x moved"},
            "performance": {
                "verdict": performance,
                "mean": 1.0,
                "validated": 1.0,
                "n": 99,
                "words": "loss 1 against 1",
            },
            "labelled_periods": week + 1,
            "labels_total": 100 * week,
            "new_labels_since_champion": 100,
            **more,
        }
        self.ledger.append(NewEntry("monitoring", "monitored", "small", payload["period"], payload))

    def look(self, in_flight: bool = False) -> TriggerDecision:
        return decide(read_state(self.ledger, self.spec, in_flight=in_flight))

    def start(self, decision: TriggerDecision) -> str:
        """Start what was asked for and return the run."""
        self.runs += 1
        run = f"run-{self.runs}"
        start_retrain(
            self.ledger,
            Retrain(
                model="small",
                run_id=run,
                trigger_id=decision.trigger_id,
                kind=decision.kind,
                attempt=decision.attempt,
                as_of=decision.as_of,
                mode=decision.mode,
            ),
            "test",
        )
        return run

    def finish(self, run: str, decision: TriggerDecision, outcome: str) -> None:
        """End a run: a release changes the deployment, "died" leaves no trace."""
        if outcome == "released":
            row = self.ledger.deployment("small")
            version = f"v-{run}"
            self.ledger.change_deployment(
                "small",
                row.epoch if row else 0,
                {"champion": version, "effective_as_of": decision.as_of.isoformat()},
                NewEntry("test", "released", "small", version, {"as_of": decision.as_of.isoformat()}, run_id=run),
            )
        elif outcome == "retrain_failed":
            close_retrain(self.ledger, "small", run, "it crashed", "test")
        elif outcome != "died":
            self.ledger.append(NewEntry("test", outcome, "small", "v", {}, run_id=run))

    def answer(self, outcome: str) -> TriggerDecision:
        """Look, and when a retrain is asked for let it end so."""
        decision = self.look()
        if decision.action == "retrain":
            self.finish(self.start(decision), decision, outcome)
        return decision

    def with_champion(self) -> "Story":
        """Let three weeks pass and release a first model as of the end of the third."""
        for week in range(3):
            self.monitored(week)
        assert self.answer("released").kind == "first_model"
        return self


@pytest.fixture
def make_story(tmp_path: Path) -> Iterator[Callable[..., Story]]:
    """Return a function that begins a story; its arguments are the bounds of the trigger."""
    made: list[Story] = []

    def make(**trigger: Any) -> Story:
        made.append(Story(Ledger(f"sqlite:///{tmp_path / f'ledger{len(made)}.db'}"), declared(**trigger)))
        return made[-1]

    yield make
    for story in made:
        story.ledger.close()


@pytest.fixture
def story(make_story: Callable[..., Story]) -> Story:
    """An empty story with a cool-down of 2, 2 attempts, a maximum age of 10."""
    return make_story()
