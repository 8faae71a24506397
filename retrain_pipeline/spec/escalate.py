"""When a second validator judges a candidate, too, and on which rows."""

from pydantic import Field

from retrain_pipeline.strict import Strict


class Escalate(Strict):
    """What calls for the second validator, and the rows that are kept back for it."""

    share: float = Field(0.3, gt=0, lt=0.9)
    """Share of the evaluation rows, by entity, that the gates never see: they are the second validator's."""
    near: float = Field(0.25, ge=0)
    """It is called where quality lies nearer to its threshold than so many widths of its interval,"""
    far: float = Field(0.5, gt=0)
    """where the candidate's answers lie further from the champion's than so many standard deviations of the label (for
    several classes: differ on more than this share of the rows),"""
    in_a_row: int = Field(5, ge=1)
    """and for each release after so many in a row that it did not look at."""
