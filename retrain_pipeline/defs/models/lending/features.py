"""Features of loan applications."""

import numpy as np
import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the lender knows about an applicant, and how heavy the loan weighs on the income.

    `burden` is the logarithm of the amount over a fifth of the yearly income: 0 is a loan that is usual for its income.
    """
    return rows.drop(columns=["application_id", "applied_at"]).assign(
        burden=np.log(5 * rows["amount"] / rows["income"]),
        works_since_age=rows["age"] - rows["employment_years"],
    )
