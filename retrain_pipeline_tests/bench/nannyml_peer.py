"""Runs in an environment of its own, where NannyML is: drift of ranges of rows, asked for line by line.

Given an .npy of columns; each line of standard input holds the rows of the reference and of a batch (``begin end begin
end``), each answer is 1 where any column's alert is on: univariate drift at its defaults, chunks of the batch's size.
"""

import logging
import os
import sys
import warnings
from typing import Any

import numpy as np

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"


def main() -> None:
    """Answer until there are no more questions; the calculator of a reference is kept until the next one."""
    import pandas as pd
    from nannyml import UnivariateDriftCalculator

    warnings.simplefilter("ignore")
    logging.disable()
    columns = np.load(sys.argv[1], allow_pickle=False)
    frame = pd.DataFrame(columns, columns=[f"x{index}" for index in range(columns.shape[1])])
    fitted: tuple[tuple[int, int, int], Any] | None = None
    for line in sys.stdin:
        begin, end, first, last = map(int, line.split())
        key = (begin, end, last - first)
        if fitted is None or fitted[0] != key:
            made = UnivariateDriftCalculator(column_names=list(frame.columns), chunk_size=last - first)
            fitted = key, made.fit(frame.iloc[begin:end].reset_index(drop=True))
        found = fitted[1].calculate(frame.iloc[first:last].reset_index(drop=True)).filter(period="analysis").to_df()
        alerts = found.xs("alert", axis=1, level=2).to_numpy(dtype=bool)
        print(int(alerts.any()), flush=True)


if __name__ == "__main__":
    main()
