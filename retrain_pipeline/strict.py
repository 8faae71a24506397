"""The base of everything that a person declares: frozen, and unknown keys are refused."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A declared value: immutable, no unknown keys, numbers finite, no silent coercion of text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())
