"""Files that people write in a model's folder, on record: entered when they are new or worded anew."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.records.record import Record, enter, newest_records

if TYPE_CHECKING:
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def register_written(
    stores: "Stores", declaration: "Declaration", file: str, kind: type[Record], actor: str, **fields: Any
) -> None:
    """Enter a record of a file's text, with what it says in `fields`, unless the newest one is of the same bytes."""
    model = declaration.spec.name
    text = stores.artifacts.put((declaration.folder / file).read_bytes())
    newest = newest_records(stores, model, kind.KIND, model, 1)
    if not newest or newest[0].document["text"] != text:
        enter(stores, kind.make(model=model, subject=model, text=text, **fields), actor=actor)
