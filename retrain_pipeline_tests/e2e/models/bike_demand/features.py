"""Features of hourly bike rentals."""

import numpy as np
import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the declared columns, the hour as a point on a circle, and how it feels outside."""
    angle = 2 * np.pi * rows["hr"] / 24
    return rows.drop(columns=["instant", "dteday"]).assign(
        hour_sin=np.sin(angle),
        hour_cos=np.cos(angle),
        feels_like=rows["atemp"] - rows["windspeed"] * 0.1,
    )
