"""What all assets of a model share: keys, settings, how a check and a number look in Dagster."""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from retrain_pipeline.lanes import Lane, acting
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.lake.checks import Check

MODEL_TAG = "retrain/model"
LANE_TAG = "retrain/lane_of"
SIDE_TAG = "retrain/side"
TRIGGER_TAG = "retrain/trigger"
ATTEMPT_TAG = "retrain/attempt"
WHY_TAG = "retrain/why"
OOM_TAG = "retrain/oom_kills"
"""How often the kernel had killed for want of memory when a retrain began (`learning.kernel`)."""

DATA_SIDE = ("raw", "features", "predictions", "feedback", "monitoring", "rollout")
FROM_THE_MODEL = ("raw",)
"""What a lane has none of: it reads its model's."""
MODEL_SIDE = ("training_set", "candidate", "evaluation", "release", "insight", "model_card", "records")

ALIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


Body = Callable[..., Any]
ConfigT = TypeVar("ConfigT", bound=dg.Config)
_SIGNATURES: dict[CodeType, inspect.Signature] = {}


def asset_key(model: str, asset: str) -> dg.AssetKey:
    """Return ``<model>/<asset>``."""
    return dg.AssetKey([model, asset])


def asset_keys(model: str, assets: Iterable[str]) -> list[dg.AssetKey]:
    """Return the keys of several assets of a model."""
    return [asset_key(model, asset) for asset in assets]


def data_side(declaration: Declaration) -> list[dg.AssetKey]:
    """Return the keys of the data side, in the order of the picture; of a lane without what it takes of its model."""
    own = [asset for asset in DATA_SIDE if declaration.lane is None or asset not in FROM_THE_MODEL]
    return asset_keys(declaration.spec.name, own)


def upstream(declaration: Declaration, asset: str) -> dg.AssetKey:
    """Return the key of an asset that another one is made from: the model's own, or that of the model of a lane."""
    lane = declaration.lane
    return asset_key(lane.of if lane and asset in FROM_THE_MODEL else declaration.spec.name, asset)


def in_lane(lane: Lane | None, body: Body) -> Body:
    """Return the body of an asset as a lane runs it: whatever opens the stores in it gets the lane's."""
    if lane is None:
        return body
    if inspect.isgeneratorfunction(body):

        @wraps(body)
        def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with acting(lane):
                yield from body(*args, **kwargs)

        return steps

    @wraps(body)
    def step(*args: Any, **kwargs: Any) -> Any:
        with acting(lane):
            return body(*args, **kwargs)

    return step


def with_signature(body: Body) -> Body:
    """Return the body of an asset with its signature at hand, which Dagster else works out 18 times an asset.

    Bodies of the same code have the same signature: no default of theirs comes from the declaration.
    """
    if body.__code__ not in _SIGNATURES:
        _SIGNATURES[body.__code__] = inspect.signature(body, eval_str=True)
    body.__signature__ = _SIGNATURES[body.__code__]  # type: ignore[attr-defined]
    return body


@cache
def schema_of(config: type[dg.Config]) -> Any:
    """Return the schema of typed config. Of an argument of that type Dagster works it out anew for each asset."""
    return config.to_fields_dict()


def config_of(context: dg.AssetExecutionContext, config: type[ConfigT]) -> ConfigT:
    """Return what a run was given of typed config, in the body of an asset with its `schema_of`."""
    return config(**context.op_execution_context.op_config)


def data_root() -> Path:
    """Return the folder that relative source paths start from: RETRAIN_ROOT, or where the process runs."""
    return Path(os.environ.get("RETRAIN_ROOT", "."))


def partitions_of(spec: ModelSpec) -> dg.TimeWindowPartitionsDefinition:
    """Return the model's periods as Dagster partitions, in UTC."""
    calendar = spec.data.time.calendar()
    return dg.TimeWindowPartitionsDefinition(
        start=calendar.origin.strftime(calendar.key_format),
        fmt=calendar.key_format,
        cron_schedule=calendar.cron,
        timezone="UTC",
    )


def model_asset(
    declaration: Declaration,
    asset: str,
    kinds: set[str],
    deps: Sequence[str | dg.AssetKey],
    description: str,
    checks: Sequence[dg.AssetCheckSpec] = (),
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    **more: Any,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Return the decorator of an asset of the model side: one materialization is a version."""
    spec, lane = declaration.spec, declaration.lane
    key = asset_key(spec.name, asset)
    words = f"{description} In a lane beside {lane.of}: serves nobody." if lane else description
    # The specification is made here, once: `dg.asset` makes it three times over, a fifth of the time of an asset.
    made: Callable[[Body], dg.AssetsDefinition] = dg.multi_asset(
        name=key.to_python_identifier(),
        description=words,
        specs=[
            dg.AssetSpec(
                key,
                group_name=spec.name,
                owners=list(spec.owners),
                kinds=kinds,
                deps=[dep if isinstance(dep, dg.AssetKey) else upstream(declaration, dep) for dep in deps],
                description=words,
                tags={MODEL_TAG: spec.name} | ({LANE_TAG: lane.of} if lane else {}),
                partitions_def=partitions_def,
            )
        ],
        check_specs=list(checks) or None,
        **more,
    )
    return lambda body: made(in_lane(lane, with_signature(body)))


def data_asset(
    declaration: Declaration,
    asset: str,
    kinds: set[str],
    deps: Sequence[str | dg.AssetKey],
    description: str,
    checks: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Body], dg.AssetsDefinition]:
    """Return the decorator of an asset of the data side: a period each, and a back-fill is one run."""
    partitions, policy = partitions_of(declaration.spec), dg.BackfillPolicy.single_run()
    return model_asset(
        declaration, asset, kinds, deps, description, checks, partitions_def=partitions, backfill_policy=policy
    )


def check_specs(spec: ModelSpec, asset: str, names: Mapping[str, str], blocking: bool) -> list[dg.AssetCheckSpec]:
    """Return the check specifications of an asset, from check name to what it looks at."""
    key = asset_key(spec.name, asset)
    return [dg.AssetCheckSpec(name, asset=key, description=words, blocking=blocking) for name, words in names.items()]


def check_result(
    model: str, asset: str, name: str, checks: "Sequence[tuple[str, Check]]", *, stops: bool
) -> dg.AssetCheckResult:
    """Show the verdicts of one check over the periods of a run.

    Dagster knows two answers, so the third is told by severity: INCONCLUSIVE is not passed, and a warning.
    Only a failure that must stop what follows (`stops`) is an error.
    """
    verdict = worst(check.verdict for _, check in checks)
    bad = [(period, check) for period, check in checks if check.verdict is not Verdict.PASS]
    words = "; ".join(f"{period}: {check.words}" for period, check in (bad or checks)[:10])
    numbers = checks[0][1].numbers if len(checks) == 1 else {"periods": len(checks), "periods_not_passed": len(bad)}
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=asset_key(model, asset),
        passed=verdict is Verdict.PASS,
        severity=dg.AssetCheckSeverity.ERROR if stops and verdict is Verdict.FAIL else dg.AssetCheckSeverity.WARN,
        description=words,
        metadata={"verdict": verdict.value, **metadata(numbers)},
    )


def markdown(text: str) -> dg.MarkdownMetadataValue:
    """Return a document as metadata, its headings as small as the rest of the page that it is shown on."""
    return dg.MetadataValue.md(re.sub(r"(?m)^#{1,3} ", "#### ", text))


def metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return scalars as Dagster metadata; None is left out, since it is no number to plot."""
    return {name: value for name, value in values.items() if value is not None}


def run_actor(context: dg.AssetExecutionContext) -> str:
    """Return who is behind a run, for the ledger: a sensor, a schedule, a person's launch."""
    tags = context.run.tags
    for tag, kind in (("dagster/sensor_name", "sensor"), ("dagster/schedule_name", "schedule"), ("user", "user")):
        if tag in tags:
            return f"{kind}:{tags[tag]}"
    return "dagster"


def is_in_flight(instance: dg.DagsterInstance, model: str, side: str) -> bool:
    """Return whether a run of one side of a model, ``data`` or ``model``, is queued or running."""
    tags = {MODEL_TAG: model, SIDE_TAG: side}
    return instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=ALIVE)) > 0
