"""Features of half-hourly electricity prices."""

import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the declared columns, the day of the week and the gap between the two states' demands."""
    return rows.drop(columns=["timestamp"]).assign(
        weekday=rows["timestamp"].dt.dayofweek,
        demand_gap=rows["nswdemand"] - rows["vicdemand"],
    )
