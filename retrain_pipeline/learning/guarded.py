"""Fits by other people's code: what they raise becomes a reason for the record."""

import warnings
from collections.abc import Callable
from typing import Any

from retrain_pipeline.errors import RetrainError
from retrain_pipeline.learning.errors import OUT_OF_MEMORY, AnswersNotFinite


class FitFailed(Exception):
    """A fit that came to nothing, and why."""


def converged(fit: Callable[[], Any]) -> Any:
    """Return what a fit returns; one that does not converge raises, other warnings are silent."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        return fit()


def guarded(work: Callable[[], Any]) -> Any:
    """Return the result of work inside an estimator, or raise FitFailed with the reason for the record.

    What we raise ourselves about a declaration is no failed trial and passes through.
    """
    try:
        return work()
    except AnswersNotFinite as error:
        raise FitFailed(str(error)) from error
    except (RetrainError, FitFailed):
        raise
    except MemoryError as error:
        raise FitFailed(OUT_OF_MEMORY) from error
    except Exception as error:  # the boundary to other people's code, which raises what it likes
        raise FitFailed(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
