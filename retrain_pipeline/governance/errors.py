"""What the rules about people refuse. Each error names who, what and the mend."""

from retrain_pipeline.errors import PermanentError


class RolesRefused(PermanentError):
    """A `roles.yaml` that cannot be used; nobody may do anything by it until it is mended."""


class NotAllowed(PermanentError):
    """Somebody who may not do what they tried; the attempt is an entry of the ledger."""


class OwnersRefused(PermanentError):
    """An `OWNERS.yaml` that cannot be used; nobody is known to stand for anything until it is mended."""
