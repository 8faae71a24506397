"""The deployment: who serves a model's users, and the evidence and digests that go with it, as one value.

It is changed as a whole, by compare-and-swap on its epoch, in the ledger's transaction that also says why.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


class Deployment(Strict):
    """What serves: the champion, the one before it, and the digests that restore model, features and declaration."""

    schema_: Literal["deployment/1"] = Field("deployment/1", alias="schema", serialization_alias="schema")
    model: str
    champion: str
    previous: str | None
    """Who a rollback goes back to."""
    manifest: Digest
    previous_manifest: Digest | None
    evidence: Digest
    feature_code: Digest
    spec: Digest
    effective_as_of: str
    """End of the data that the champion could know, ISO 8601: it serves periods from there on."""
    released_at: str

    def to_state(self) -> dict[str, Any]:
        """Return the JSON object that `Ledger.change_deployment` stores."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Deployment":
        """Return the deployment that a ledger row or entry holds.

        Raises
        ------
        ReleaseRefused
            When it is none, for example of a newer version of this project.
        """
        try:
            return cls.model_validate(state)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise ReleaseRefused(
                f"the stored deployment of {state.get('model')!r:.80} cannot be read: {where}: {problem['msg']}; "
                "use the version of this project that wrote it, or a newer one"
            ) from error

    @property
    def as_of(self) -> datetime:
        """`effective_as_of` as a moment in UTC."""
        return datetime.fromisoformat(self.effective_as_of).astimezone(UTC)


def current(ledger: "Ledger", model: str) -> tuple[int, Deployment | None]:
    """Return the epoch and the deployment of a model; 0 and None before its first release."""
    row = ledger.deployment(model)
    return (0, None) if row is None else (row.epoch, Deployment.from_state(row.state))


def utc_now() -> str:
    """Return this moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
