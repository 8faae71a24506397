"""The deployment: who serves a model's users, and the evidence and digests that go with it, as one value.

It is changed as a whole, by compare-and-swap on its epoch, in the ledger's transaction that also says why.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.gates.evidence import Digest
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.router import Routing, Share
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


Stage = Literal["shadow", "canary"]


class Challenger(Strict):
    """A version that passed its gates and is not champion yet: it answers beside it, or serves a share."""

    version: str
    manifest: Digest
    evidence: Digest
    feature_code: Digest
    spec: Digest
    effective_as_of: str
    """As of the deployment: it answers periods from there on."""
    stage: Stage
    share: float = Field(ge=0, lt=1)
    """Of the entities; 0 in shadow."""
    salt: str
    """Of this rollout alone: who is in the canary says nothing of who was in another."""
    stage_from: str
    """Start of the first period of this stage."""


class Holdback(Strict):
    """An earlier champion that a share of the entities stays with: the measure of all updates together."""

    version: str
    manifest: Digest
    effective_as_of: str
    share: float = Field(gt=0, lt=1)
    salt: str


class Deployment(Strict):
    """What serves: the champion, the one before it, who else answers, and the digests that restore it all."""

    schema_: Literal["deployment/1", "deployment/2"] = Field(
        "deployment/2", alias="schema", serialization_alias="schema"
    )
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
    serves_from: str | None = None
    """Start of the first period that the champion serves; None: `effective_as_of`. A staged one serves later."""
    challenger: Challenger | None = None
    holdback: Holdback | None = None
    collection: Digest | None = None
    """Digest of what is collected and how (the declaration's data and signals); None in records of format 1."""

    @property
    def serving_digest(self) -> str:
        """Digest of everything that decides what users get: equal after a rollback to what it was before."""
        return digest_of(
            self.model_dump(mode="json", exclude={"schema_", "released_at", "previous", "previous_manifest"})
        )

    def routing(self) -> Routing:
        """Return who answers whom."""
        canary, held = self.challenger, self.holdback
        return Routing(
            self.champion,
            Share(canary.version, canary.share, canary.salt) if canary is not None and canary.share else None,
            Share(held.version, held.share, held.salt) if held is not None else None,
        )

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

    @property
    def since(self) -> datetime:
        """Start of the first period that the champion serves, in UTC."""
        return datetime.fromisoformat(self.serves_from or self.effective_as_of).astimezone(UTC)


def current(ledger: "Ledger", model: str) -> tuple[int, Deployment | None]:
    """Return the epoch and the deployment of a model; 0 and None before its first release."""
    row = ledger.deployment(model)
    return (0, None) if row is None else (row.epoch, Deployment.from_state(row.state))


def utc_now() -> str:
    """Return this moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
