"""One retrain over prepared stores, of which each death gets a copy."""

import contextlib
import importlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from retrain_pipeline.spec.declaration import Declaration, read_declaration
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline_tests.e2e.doors import must
from retrain_pipeline_tests.e2e.model_side import STEPS, Asked
from retrain_pipeline_tests.gates.world import make_world

WEEK = {"first": 6, "second": 8}
TERMS = {"first": ("first_model", "first"), "second": ("performance", "non_inferiority")}


@dataclass
class Case:
    """One retrain over prepared stores: the first release, or the second over a champion."""

    folder: Path
    name: str

    @property
    def prepared(self) -> Path:
        return self.folder / "prepared" / "home"

    @property
    def asked(self) -> Asked:
        return Asked("dying", WEEK[self.name], *TERMS[self.name])

    def declaration(self) -> Declaration:
        return read_declaration(self.folder / "prepared" / "toy")

    def open(self, home: Path) -> Stores:
        """Open stores over the one prepared lake: the model side only reads it."""
        return open_stores(home, lake_url=str(self.prepared / "lake"))

    def fresh(self, name: str) -> Path:
        """Copy the prepared stores."""
        home = self.folder / name
        copy_home(self.prepared, home)
        return home

    def prepare(self) -> None:
        world = make_world(self.folder / "prepared")
        if self.name == "first":  # nothing may be in its ledger; another one makes the imports
            copy_home(self.prepared, self.folder / "rehearsal")
        home = self.prepared if self.name == "second" else self.folder / "rehearsal"
        stores = open_stores(home, lake_url=str(self.prepared / "lake"))
        asked = Asked("founder", WEEK["first"], *TERMS["first"])
        for work in STEPS.values():
            work(stores, world.declaration, asked)
        stores.close()
        world.stores.close()
        (self.folder / "modules.json").write_text(json.dumps(sorted(sys.modules)))

    def warm(self) -> None:
        """Import what the preparing child had imported, so that the children of this process need not."""
        must(self.prepare)
        for name in json.loads((self.folder / "modules.json").read_text()):
            if name != "__main__":
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)


def copy_home(source: Path, target: Path) -> None:
    """Copy stores without their lake. Whole artifacts never change, so a second name for them is a copy."""

    def copy(one: str, other: str) -> None:
        if len(Path(one).name) == 64:
            os.link(one, other)
        else:
            shutil.copyfile(one, other)

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("lake"), copy_function=copy)


def artifact_names(home: Path) -> set[str]:
    return {path.name for path in (home / "artifacts").glob("??/*") if not path.name.startswith(".tmp-")}


def temporaries(home: Path) -> list[Path]:
    return sorted((home / "artifacts").glob("??/.tmp-*"))
