"""The card of a version, on record: which document it was, and as of when it was written."""

from typing import Annotated, ClassVar

from pydantic import Field

from retrain_pipeline.records.record import Record

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelCard(Record):
    """One card of a version. The subject is the version; a card that tells more, or otherwise, is a newer record."""

    KIND: ClassVar[str] = "model_card"

    card_json: Digest
    card_markdown: Digest
    manifest: Digest
    until_seq: int = Field(ge=0)
    """The newest entry of the model when it was written: with the ledger as of it the same card comes out."""
    generator: str
    """What wrote it: the release of this project and a digest of the code that decides how a card reads."""
