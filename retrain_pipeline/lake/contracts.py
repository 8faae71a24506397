"""The contract of a source: what was declared about its columns, checked row by row.

Two gates. Values are first read strictly into their declared types (`columns.py`); then a Pandera schema, generated
from the declaration, judges presence, range and allowed values. Rows that break a promise are quarantined; a column
that is not there, or not of its type, fails the contract as a whole.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.columns import Typed, WrongType, read_column
from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.digests import row_digests
from retrain_pipeline.lake.errors import SourceRefused
from retrain_pipeline.lake.files import ROW
from retrain_pipeline.lake.frames import EVENT_TIME, to_frame
from retrain_pipeline.lake.quarantine import Origin, Quarantine
from retrain_pipeline.lake.schemas import LABEL_DTYPES, Field, fields_of, key_dtype, pandera_schema
from retrain_pipeline.lake.sources import Part

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

DELIVERY = "_delivery"


@dataclass
class Contracted:
    """What the contract made of a source: accepted rows typed, the rest in quarantine, and what failed as a whole."""

    tables: "list[pa.Table]" = field(default_factory=list)
    received: int = 0
    problems: list[str] = field(default_factory=list)
    extra_columns: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def frame(self) -> "pd.DataFrame":
        """Return the accepted rows, and let go of them here."""
        import pandas as pd
        import pyarrow as pa

        if not self.tables:
            return pd.DataFrame()
        table = pa.concat_tables(self.tables)
        self.tables.clear()
        names, arrays = table.column_names, list(table.columns)
        del table
        return to_frame(names, arrays)


class Contract:
    """Reads parts of a source against a declaration."""

    def __init__(self, data: Data, now: datetime, quarantine: Quarantine) -> None:
        self.data = data
        self.now = now
        self.quarantine = quarantine
        self.fields = fields_of(data)
        self.result = Contracted()
        self._schema = pandera_schema(data)
        self._levels: dict[str, set[str]] = {
            name: set() for name, column in data.columns.items() if column.dtype == "category"
        }
        self._types: dict[str, Any] = {}
        self._parts = 0

    @property
    def columns(self) -> frozenset[str]:
        """The columns to read from a source."""
        return frozenset(one.name for one in self.fields)

    def read(self, parts: Sequence[Part]) -> Contracted:
        """Return what the contract makes of all parts, in their order."""
        self._parts = len(parts)
        for number, part in enumerate(parts):
            self.result.extra_columns.update(set(part.schema.names) - self.columns)
            if self._is_whole(part):
                try:
                    for chunk in part.chunks():
                        self._read_chunk(chunk, part, number)
                except SourceRefused as error:
                    self._fail(error.rule, "", f"{part.name}: {error.reason}", part)
                except _Stop:
                    continue
        return self.result

    def supersede(self, frame: "pd.DataFrame") -> None:
        """Let later deliveries correct rows that were rejected: of `frame`, the accepted ones, the keys count."""
        import numpy as np
        import pandas as pd

        if self._parts > 1:
            keys = row_digests(frame, self.data.key) if len(frame) else np.zeros(0, dtype=np.uint64)
            newest = pd.Series(frame[DELIVERY].to_numpy() if len(frame) else [], index=keys, dtype="int64")
            self.quarantine.supersede(newest.groupby(level=0).max())

    def _is_whole(self, part: Part) -> bool:
        present = set(part.schema.names)
        missing = sorted(self.columns - present)
        for name in missing:
            near = difflib.get_close_matches(name, sorted(present - self.columns), n=1, cutoff=0.4)
            hint = f"the nearest that is there is {near[0]!r}" if near else f"it has {', '.join(sorted(present)[:20])}"
            self._fail("column_missing", name, f"column {name!r} is not in {part.name}; {hint}", part)
        return not missing

    def _fail(self, rule: str, column: str, reason: str, part: Part) -> None:
        if part.superseded:
            self.result.notes.append(f"{reason}; it has been delivered again since")
        elif reason not in self.result.problems:
            self.result.problems.append(reason)
            self.quarantine.reject(
                rule, reason, key=(), row={}, event_time=None, column=column, delivery=part.name,
                source_digest=part.digest,
            )  # fmt: skip

    def _read_chunk(self, chunk: "pa.Table", part: Part, number: int) -> None:
        import numpy as np
        import pyarrow as pa

        self.result.received += chunk.num_rows
        refusals = _Refusals(chunk.num_rows)
        typed: dict[str, Any] = {}
        refusals.add("time", self.data.time.column, chunk[EVENT_TIME].is_null().to_numpy(), "a readable time")
        for one in self.fields:
            typed[one.name] = chunk[EVENT_TIME] if one.role == "time" else self._typed(one, chunk, part, refusals)
        self._judge(typed, refusals)
        late = pa.compute.fill_null(pa.compute.greater(chunk[EVENT_TIME], pa.scalar(self.now)), False).to_numpy()
        refusals.add("future", self.data.time.column, late, f"no later than now, {self.now.isoformat()}")
        table = pa.table({EVENT_TIME: chunk[EVENT_TIME], **typed, ROW: chunk[ROW]})
        table = table.append_column(DELIVERY, pa.array(np.full(chunk.num_rows, number), pa.int64()))
        rejected = refusals.rejected
        if rejected.any():
            self._quarantine(chunk, table.filter(pa.array(rejected)), refusals, part)
            table = table.filter(pa.array(~rejected))
        self.result.tables.append(table)

    def _typed(self, one: Field, chunk: "pa.Table", part: Part, refusals: "_Refusals") -> Any:
        values = chunk[one.name]
        try:
            read = self._read_values(one, values, part.text)
        except WrongType as error:
            self._fail("column_type", one.name, f"column {one.name!r} of {part.name} {error}", part)
            raise _Stop from error
        for rule, mask, words in read.refused:
            refusals.add("label_value" if one.role == "label" else rule, one.name, mask, words)
        if one.role == "key":
            refusals.add("key_missing", one.name, read.values.is_null().to_numpy(), "there: it is part of the key")
        if self._types.setdefault(one.name, read.values.type) != read.values.type:
            before = self._types[one.name]
            self._fail(
                "column_type",
                one.name,
                f"column {one.name!r} of {part.name} is {read.values.type}, before {before}",
                part,
            )
            raise _Stop
        if one.name in self._levels:
            self._count_levels(one, read.values, part)
        return read.values

    def _read_values(self, one: Field, values: Any, text: bool) -> Typed:
        import pyarrow as pa

        if one.column is not None:
            zone = self.data.time.timezone
            return read_column(
                values, one.column.dtype, text=text, missing=one.column.missing, name=one.name, timezone=zone
            )
        if one.role == "label":
            task = self.data.label.task
            if task == "binary" and pa.types.is_boolean(values.type):
                values = values.cast(pa.int64())
            return read_column(values, LABEL_DTYPES[task], text=text, finite=False)
        return read_column(values, "string" if text else key_dtype(values.type), text=text, name=one.name)

    def _count_levels(self, one: Field, values: Any, part: Part) -> None:
        levels, column = self._levels[one.name], self.data.columns[one.name]
        if len(levels) <= column.max_levels:
            levels.update(value for value in values.unique().to_pylist() if value is not None)
        if len(levels) > column.max_levels:
            words = f"column {one.name!r} has more than max_levels = {column.max_levels} distinct values: is it an id?"
            self._fail("levels", one.name, words, part)

    def _judge(self, typed: dict[str, Any], refusals: "_Refusals") -> None:
        """Let Pandera judge the typed values."""
        if not self._schema.columns:
            return
        import pandas as pd
        import pandera.errors
        import pyarrow as pa

        table = pa.table({name: typed[name] for name in self._schema.columns})
        mapper = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get
        frame = table.to_pandas(types_mapper=mapper, split_blocks=True)
        times = {
            name: "datetime64[us, UTC]" for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.DatetimeTZDtype)
        }
        try:
            self._schema.validate(frame.astype(times) if times else frame, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            for error in errors.schema_errors:
                self._refuse(error, frame, refusals)

    def _refuse(self, error: Any, frame: "pd.DataFrame", refusals: "_Refusals") -> None:
        import numpy as np

        name, column = str(error.schema.name), self.data.columns[str(error.schema.name)]
        reason = error.reason_code.name
        if reason == "SERIES_CONTAINS_NULLS":
            refusals.add("missing", name, frame[name].isna().to_numpy(), "there: the column is not nullable")
            return
        if reason != "DATAFRAME_CHECK" or error.check_output is None:
            raise error
        passed = error.check_output
        mask = np.zeros(len(frame), dtype=bool)
        mask[passed.index[~passed.to_numpy(dtype=bool)]] = True
        words = f"between {column.range[0]} and {column.range[1]}" if column.range else f"one of {column.values}"
        refusals.add(error.check.name, name, mask, words)

    def _quarantine(self, chunk: "pa.Table", typed: "pa.Table", refusals: "_Refusals", part: Part) -> None:
        """Count the rejected rows of a chunk, and keep them as they came; `typed` has only them."""
        import numpy as np

        key = list(self.data.key)
        keys, number = row_digests(to_frame(key, [typed[name] for name in key])), typed[DELIVERY][0].as_py()
        positions = np.flatnonzero(refusals.rejected)
        rules = refusals.first[positions]
        for index, (rule, _, _) in enumerate(refusals.rules):
            hit = rules == index
            # A row without its key cannot be corrected by one that has it.
            origin = None if rule == "key_missing" else Origin(number, keys[hit])
            self.quarantine.count(rule, int(hit.sum()), origin)
        positions = positions[: max(self.quarantine.room, 0)]
        for place, row in enumerate(chunk.take(positions).to_pylist()):
            rule, column, words = refusals.rules[rules[place]]
            moment, row_number = row.pop(EVENT_TIME), row.pop(ROW)
            self.quarantine.reject(
                rule, f"column {column!r}: {row[column]!r} is not {words}", key=[row[name] for name in self.data.key],
                row=row, event_time=moment, column=column, delivery=part.name, source_digest=part.digest,
                row_number=row_number, origin=None if rule == "key_missing" else (number, int(keys[place])),
            )  # fmt: skip


class _Stop(Exception):
    """The part cannot be read further."""


class _Refusals:
    """Which rule each row broke first: an index into `rules`, or -1."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self.first = np.full(rows, -1, dtype=np.int32)
        self.rules: list[tuple[str, str, str]] = []

    @property
    def rejected(self) -> "np.ndarray[Any, Any]":
        """The rows that broke any rule."""
        mask: np.ndarray[Any, Any] = self.first >= 0
        return mask

    def add(self, rule: str, column: str, mask: Any, words: str) -> None:
        """Note a rule, the column and what was expected, for the rows of a mask that broke none before."""
        hit = mask & (self.first < 0)
        if hit.any():
            self.first[hit] = len(self.rules)
            self.rules.append((rule, column, words))
