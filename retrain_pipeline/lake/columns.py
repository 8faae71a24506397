"""Values of a source turned into declared types, strictly: what is not spelled as the type is refused, never bent.

Each reader returns the typed values (missing where missing or refused) and, by rule, the rows that it refuses. A column
whose very type is wrong raises `WrongType`: no row of it can be trusted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Dtype
from retrain_pipeline.lake.errors import SourceRefused
from retrain_pipeline.lake.times import TimeReader

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# A float64 holds every whole number below this; from here on, neighbouring ids become one.
EXACT = 2**53
_FLOAT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?$"
_NOT_FINITE = r"(?i)^[+-]?(inf|infinity|nan)$"
_WHOLE = r"^[+-]?\d{1,19}$"


class WrongType(Exception):
    """The column is of another type than declared."""


@dataclass
class Typed:
    """Typed values, and the rows refused by rule: (rule, mask over rows, what was expected)."""

    values: "pa.ChunkedArray"
    refused: "list[tuple[str, np.ndarray[Any, Any], str]]" = field(default_factory=list)

    def refuse(self, rule: str, mask: Any, words: str) -> None:
        """Refuse the rows of an Arrow mask (missing counts as not refused) and blank their values."""
        import pyarrow as pa
        import pyarrow.compute as pc

        mask = pc.fill_null(mask, False)
        if pc.any(mask).as_py():
            self.refused.append(
                (rule, mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy(), words)
            )
            self.values = pc.if_else(mask, pa.scalar(None, self.values.type), self.values)


def read_column(
    values: "pa.ChunkedArray", dtype: Dtype, *, text: bool, missing: Sequence[str | float] = (), name: str = "",
    timezone: str | None = "UTC", finite: bool = True,
) -> Typed:  # fmt: skip
    """Return a column in its declared type.

    Parameters
    ----------
    values
        As they came.
    text
        The source is text (CSV): cells are parsed. Otherwise numbers in strings are a wrong type.
    missing
        Sentinels that mean "missing", compared before anything else.
    finite
        Refuse infinities; a label keeps them for `ingest_labels` to judge.

    Raises
    ------
    WrongType
        When the source's type cannot carry the declared one.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_null(values.type):
        return Typed(values.cast(_arrow(dtype)))
    values = _without_sentinels(values, missing)
    if dtype == "timestamp":
        return _timestamps(values, name, timezone)
    readers: dict[str, Callable[[Any, bool], Typed]] = (
        {"int": _int_text, "float": _float_text, "bool": _bool_text, "string": _text, "category": _text}
        if text
        else {"int": _int, "float": _float, "bool": _bool, "string": _string, "category": _category}
    )
    return readers[dtype](values, finite)


def _arrow(dtype: Dtype) -> Any:
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "timestamp": pa.timestamp("us", tz="UTC")}
    return types.get(dtype, pa.string())


def _without_sentinels(values: Any, missing: Sequence[str | float]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    for sentinel in missing:
        number = not isinstance(sentinel, str)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            if number:
                parsed = _float_text(values, True).values
                hit = pc.equal(parsed, float(sentinel))
            else:
                hit = pc.equal(values, sentinel)
        elif number and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            hit = pc.equal(pc.cast(values, pa.float64(), safe=False), float(sentinel))
        else:
            continue
        values = pc.if_else(pc.fill_null(hit, False), pa.scalar(None, values.type), values)
    return values


def _float_text(values: Any, finite: bool) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:  # Arrow's parser is as strict as the pattern, and five times as fast
        typed = Typed(pc.cast(values, pa.float64()))
    except pa.ArrowInvalid:
        number = pc.or_(pc.match_substring_regex(values, _FLOAT), pc.match_substring_regex(values, _NOT_FINITE))
        typed = Typed(pc.cast(pc.if_else(number, values, pa.scalar(None, values.type)), pa.float64()))
        typed.refuse("dtype", pc.invert(number), "a number like 1234.5")
    if finite:
        typed.refuse("not_finite", pc.invert(pc.is_finite(typed.values)), "a finite number")
    large = pc.greater_equal(pc.abs(typed.values), float(EXACT))
    if pc.any(large).as_py():
        whole = pc.match_substring_regex(values, r"^[+-]?\d{16,}$")
        typed.refuse("precision", pc.and_(whole, large), _PRECISION)
    return typed


_PRECISION = f"a whole number below 2**53 = {EXACT}: beyond it a float mixes up neighbours, so declare int or string"


def _int_text(values: Any, finite: bool) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.match_substring_regex(values, _WHOLE)
    digits = pc.utf8_ltrim(pc.utf8_ltrim(values, "+-"), "0")
    longest = pc.equal(pc.utf8_length(digits), 19)
    too_large = pc.and_(whole, pc.and_(longest, pc.greater(digits, str(2**63 - 1))))
    fits = pc.and_(whole, pc.invert(too_large))
    plain = pc.utf8_ltrim(pc.if_else(fits, values, pa.scalar(None, values.type)), "+")
    typed = Typed(pc.cast(plain, pa.int64()))
    typed.refuse("overflow", too_large, "a whole number below 2**63: declare string for longer ids")
    typed.refuse("dtype", pc.invert(whole), "a whole number like 1234")
    return typed


def _bool_text(values: Any, finite: bool) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

    lower = pc.utf8_lower(values)
    yes = pc.is_in(lower, pa.array(["true", "1"], lower.type))
    no = pc.is_in(lower, pa.array(["false", "0"], lower.type))
    typed = Typed(pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_())))
    typed.refuse("dtype", pc.and_(pc.is_valid(values), pc.invert(pc.or_(yes, no))), "true, false, 1 or 0")
    return typed


def _text(values: Any, finite: bool) -> Typed:
    import pyarrow as pa

    return Typed(values.cast(pa.string()))


def _float(values: Any, finite: bool) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_integer(kind):
        typed = Typed(pc.cast(values, pa.float64(), safe=False))
        typed.refuse("precision", pc.greater_equal(pc.abs(typed.values), float(EXACT)), _PRECISION)
        return typed
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise WrongType(f"is {kind}, declared float")
    typed = Typed(_nan_is_missing(pc.cast(values, pa.float64(), safe=False)))
    if finite:
        typed.refuse("not_finite", pc.is_inf(typed.values), "a finite number")
    return typed


def _int(values: Any, finite: bool) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_uint64(kind):
        large = pc.greater(values, pa.scalar(2**63 - 1, pa.uint64()))
        typed = Typed(pc.cast(values, pa.int64(), safe=False))
        typed.refuse("overflow", large, "a whole number below 2**63: declare string for longer ids")
        return typed
    if pa.types.is_integer(kind):
        return Typed(pc.cast(values, pa.int64()))
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise WrongType(f"is {kind}, declared int")
    numbers = _nan_is_missing(pc.cast(values, pa.float64(), safe=False))
    large = pc.fill_null(pc.greater_equal(pc.abs(numbers), float(EXACT)), False)
    broken = pc.fill_null(pc.not_equal(pc.floor(numbers), numbers), False)
    sound = pc.if_else(pc.or_(large, broken), pa.scalar(None, pa.float64()), numbers)
    typed = Typed(pc.cast(sound, pa.int64()))
    typed.refuse("precision", large, _PRECISION)
    typed.refuse("dtype", pc.and_(broken, pc.invert(large)), "a whole number")
    return typed


def _bool(values: Any, finite: bool) -> Typed:
    import pyarrow as pa

    if not pa.types.is_boolean(values.type):
        raise WrongType(f"is {values.type}, declared bool")
    return Typed(values)


def _string(values: Any, finite: bool) -> Typed:
    import pyarrow as pa

    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise WrongType(f"is {values.type}, declared string")
    return Typed(values.cast(pa.string()))


def _category(values: Any, finite: bool) -> Typed:
    """As text; whole numbers and bools have one spelling, so codes like 1, 2, 3 are categories too."""
    import pyarrow as pa

    kind = values.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
    ):
        raise WrongType(f"is {kind}, declared category")
    return Typed(values.cast(pa.string()))


def _timestamps(values: Any, name: str, timezone: str | None) -> Typed:
    import pyarrow.compute as pc

    try:
        moments = TimeReader(name, "text", timezone).read(values)
    except SourceRefused as error:
        raise WrongType(f"is no timestamp: {error.reason}") from error
    typed = Typed(moments)
    typed.refuse("dtype", pc.and_(pc.is_valid(values), pc.is_null(moments)), "an ISO 8601 time")
    return typed


def _nan_is_missing(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    nan = pc.fill_null(pc.is_nan(values), False)
    return pc.if_else(nan, pa.scalar(None, pa.float64()), values) if pc.any(nan).as_py() else values
