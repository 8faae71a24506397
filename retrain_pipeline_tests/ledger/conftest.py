"""Hands that reach under the ledger: a tamperer with full rights on its database, and children that die."""

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import pytest


class Tamperer:
    """Somebody with the right to write the database, who knows the format and leaves no trace elsewhere."""

    def __init__(self, url: str) -> None:
        from sqlalchemy import NullPool, create_engine

        self._engine = create_engine(url, poolclass=NullPool)

    def do(self, *statements: str, **values: Any) -> None:
        """Run SQL statements in one transaction."""
        from sqlalchemy import text

        with self._engine.begin() as conn:
            for statement in statements:
                wanted = {name: value for name, value in values.items() if f":{name}" in statement}
                conn.execute(text(statement), wanted)

    def row(self, seq: int) -> dict[str, Any]:
        """Return the stored columns of an entry."""
        from sqlalchemy import text

        with self._engine.connect() as conn:
            return dict(
                conn.execute(text("SELECT * FROM retrain_entry WHERE seq = :seq"), {"seq": seq}).mappings().one()
            )

    def rewrite(self, seq: int, **changes: Any) -> str:
        """Change an entry and give it the digest that fits."""
        from retrain_pipeline.ledger.entries import chain_digest

        row = {**self.row(seq), **changes}
        row["sha256"] = chain_digest(row)
        columns = ", ".join(f"{name} = :{name}" for name in row)
        self.do(f"UPDATE retrain_entry SET {columns} WHERE seq = :seq", **row)
        return str(row["sha256"])


@pytest.fixture
def tamperer(ledger_url: str) -> Tamperer:
    """A tamperer at the ledger of the test."""
    return Tamperer(ledger_url)


@pytest.fixture
def fork() -> Iterator[Callable[..., multiprocessing.Process]]:
    """Start a function in a forked child; children do not outlive the test."""
    context = multiprocessing.get_context("fork")
    children: list[Any] = []

    def start(function: Callable[..., None], *arguments: Any) -> Any:
        children.append(context.Process(target=function, args=arguments))
        children[-1].start()
        return children[-1]

    yield start
    for child in children:
        if child.is_alive():
            child.kill()
        child.join()


@pytest.fixture
def queue() -> Any:
    """A queue that also children reach."""
    return multiprocessing.get_context("fork").SimpleQueue()
