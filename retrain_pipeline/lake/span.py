"""How far a source reaches: what a history that is played has to know before it starts."""

import os
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import TYPE_CHECKING

from retrain_pipeline.lake.declared import CsvSource, Data, DeltaSource, ParquetSource, SqlSource, TimeColumn
from retrain_pipeline.lake.errors import SourceMissing, SourceRefused
from retrain_pipeline.lake.files import no_time_column
from retrain_pipeline.lake.inbox import Inbox

if TYPE_CHECKING:
    from retrain_pipeline.lake.tables import Lake


def newest_event_time(lake: "Lake", data: Data, model: str, *, root: Path) -> datetime | None:
    """Return the event time of the newest row that the source has now, or None when it has none.

    Raises
    ------
    SourceMissing
        When what was declared is not there.
    SourceRefused
        When it does not have the declared time column.
    """
    source = data.source
    if isinstance(source, CsvSource | ParquetSource):
        taken = Inbox(lake, model, "data", source, data.time, root, wall_clock).take("")
        return max((one.last for one in taken.deliveries if one.last is not None), default=None)
    found = _delta(source, data.time, root) if isinstance(source, DeltaSource) else _sql(source, data.time)
    return _moment(found, data.time)


def _delta(source: DeltaSource, time: TimeColumn, root: Path) -> object:
    import pyarrow.compute as pc
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    place = source.path if "://" in source.path else str(root / source.path)
    try:
        table = DeltaTable(place)
    except TableNotFoundError as error:
        raise SourceMissing(f"data source: there is no Delta table at {source.path}: correct the path") from error
    dataset = table.to_pyarrow_dataset()
    if time.column not in dataset.schema.names:
        raise SourceRefused("time_missing", no_time_column(time.column, dataset.schema.names))
    column = dataset.to_table(columns=[time.column])[time.column]
    return pc.max(column).as_py()


def _sql(source: SqlSource, time: TimeColumn) -> object:
    import sqlalchemy as sa

    url = source.url if source.url is not None else os.environ.get(source.url_env or "")
    if not url:
        raise SourceMissing(f"environment variable {source.url_env} is not set: it holds the URL of the data source")
    schema, _, name = source.table.rpartition(".")
    engine = sa.create_engine(url, hide_parameters=True)
    try:
        table = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=engine)
        if time.column not in table.c:
            raise SourceRefused("time_missing", no_time_column(time.column, table.c.keys()))
        with engine.connect() as connection:
            return connection.execute(sa.select(sa.func.max(table.c[time.column]))).scalar()
    except sa.exc.NoSuchTableError as error:
        raise SourceMissing(f"data source: there is no table {source.table!r} in the database: correct it") from error
    finally:
        engine.dispose()


def _moment(value: object, time: TimeColumn) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / (1000 if time.unit == "ms" else 1), UTC)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
