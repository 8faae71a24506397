"""What learning refuses. Each error names the thing, the place and the mend."""

from retrain_pipeline.errors import PermanentError

OUT_OF_MEMORY = "out of memory"
"""How the reason of every trial begins that came to nothing for want of memory."""


class FeatureCodeRefused(PermanentError):
    """A team's feature module that cannot be loaded, or that has no such function."""


class FeatureContractBroken(PermanentError):
    """A feature function whose result is not what it promised."""


class TooFewToProbe(PermanentError):
    """Not enough labelled rows to tell whether a feature knows the label: that is not a pass."""


class NothingToLearn(PermanentError):
    """A moment at which no training can start; `reason` is what the records say."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"model {model!r}: {reason}")
        self.model = model
        self.reason = reason


class RowsOverlap(PermanentError):
    """Rows of training and evaluation that are the same, or frozen rows that are no longer the frozen ones."""


class LabelsRefused(PermanentError):
    """Labels that do not fit the declared task."""


class EstimatorRefused(PermanentError):
    """An estimator path, class or parameter that cannot be used for the task."""


class AllCandidatesFailed(PermanentError):
    """Every trial of every candidate failed; `reasons` says why, per candidate."""

    def __init__(self, model: str, reasons: dict[str, str]) -> None:
        told = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items()))
        super().__init__(f"model {model!r}: no candidate could be fitted ({told}); the champion stays")
        self.model = model
        self.reasons = reasons

    @property
    def out_of_memory(self) -> bool:
        """Whether memory was short for a candidate."""
        return any(OUT_OF_MEMORY in reason for reason in self.reasons.values())


class LossNotComputable(PermanentError):
    """A metric that the predictions do not carry enough for."""


class FeaturesMissing(PermanentError):
    """Features that a model needs and the frame does not have, or has in another type."""


class AnswersNotFinite(PermanentError):
    """A model that answers NaN or infinity: an answer that nobody may compare or serve."""


class ModelDamaged(PermanentError):
    """Bytes that are no model, or a model whose trees point outside themselves."""


class UntrustedModel(PermanentError):
    """Model bytes that name types nobody has reviewed; `types` lists them."""

    def __init__(self, types: list[str], mend: str) -> None:
        super().__init__(f"model bytes name unreviewed types {', '.join(types)}: {mend}")
        self.types = types


class ModelOfOtherVersion(PermanentError):
    """A model that another minor version of scikit-learn wrote, and that does not behave the same here."""


class FingerprintChanged(PermanentError):
    """A model that no longer predicts what its manifest says."""


class VersionNotLoadable(PermanentError):
    """A version without a ledger entry, a manifest or model bytes: half a version is none."""


class VersionRetired(VersionNotLoadable):
    """A version that was retired: it serves no more, and its tombstone says why."""


class NotReproducible(PermanentError):
    """The same inputs in the same environment gave another model; `differences` says where."""

    def __init__(self, model: str, version: str, differences: list[str]) -> None:
        super().__init__(
            f"model {model!r}: the same inputs as version {version} gave another model ({'; '.join(differences)}): "
            "look for an unseeded random draw or for threads"
        )
        self.model = model
        self.version = version
        self.differences = differences


class TwinNotMade(PermanentError):
    """A model that is only to be compared with could not be fitted."""
