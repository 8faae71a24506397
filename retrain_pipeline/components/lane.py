"""`Lane`: an experiment beside a model, declared by what differs; it gives the same graph in a group of its own."""

from typing import Any

import dagster as dg

from retrain_pipeline.components.retrained_model import DeclaredAttributes, RetrainedModel
from retrain_pipeline.spec.lanes import KEYS, SECTIONS


class LaneAttributes(DeclaredAttributes):
    """What stands under the `attributes` of a lane."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the schema of a lane: the sections that may differ, nothing in them required."""
        model = super().model_json_schema(*args, **kwargs)
        sections = {name: model["properties"][name] for name in SECTIONS}
        texts = {name: {"type": "string", "description": words} for name, words in KEYS.items()}
        # a section's keys stand for themselves: those that a lane leaves out are its model's
        kinds = ("Training", "Trigger", "Gates", "Report")
        partial = {kind: {**model["$defs"][kind], "required": []} for kind in kinds}
        return {
            "type": "object",
            "title": "Lane",
            "additionalProperties": False,
            "properties": texts | sections,
            "required": list(KEYS),
            "$defs": model["$defs"] | partial,
        }


class LaneScaffolder(dg.Scaffolder):
    """Writes a lane's folder."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write `defs.yaml` into the folder that `dg scaffold defs` was given, named `<model>__<lane>`."""
        from retrain_pipeline.spec.template import scaffold_lane

        model, _, lane = request.target_path.name.replace("-", "_").partition("__")
        scaffold_lane(request.target_path, model, lane or "lane")


@dg.scaffold_with(LaneScaffolder)
class Lane(RetrainedModel):
    """An experiment with another recipe beside a model: the same graph, in assets, tables and entries of its own.

    It reads the model's rows and labels, and can write nothing that is the model's (docs/lanes.md).
    """

    @classmethod
    def get_model_cls(cls) -> type[DeclaredAttributes]:
        """Return the type of the attributes."""
        return LaneAttributes
