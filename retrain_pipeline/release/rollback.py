"""Back to a champion that was: one transaction, at once, whatever else is running."""

from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.governance.roles import check
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.errors import RollbackRefused
from retrain_pipeline.release.lineage import Reign, newest_place, reigns, standing
from retrain_pipeline.release.state import Deployment, current, utc_now

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

MIN_REASON = 10
# Each lost race is somebody else's completed change: ten in a row are no accident but a loop that somebody must stop.
_ATTEMPTS = 10


def rollback(
    stores: "Stores", model: str, *, to: str | None = None, because: str, actor: str, at_epoch: int | None = None
) -> Deployment:
    """Make an earlier champion serve again and return the deployment.

    Parameters
    ----------
    to
        A version that has been champion. Default: the champion before the present one, walking back over the champions
        that no rollback has undone; so a second rollback without `to` goes back one further. Repeating a rollback
        changes nothing: neither with the same `to`, nor without `to` and with the same `because` (a retry of the same
        command; a second incident has a second reason).
    because
        The reason, for the record; at least 10 characters.
    at_epoch
        Only while the deployment is at this epoch: what a machine saw of one champion says nothing of the next.

    A challenger on trial goes with the champion: it was judged against that. The target is chosen once. When a release
    overtakes the rollback, it is tried again on top of it with the same target: a person who takes a model back must
    not lose to a retrain that happens to finish now (P13).

    Raises
    ------
    NotAllowed
        When `roles.yaml` does not let the actor roll back.
    RollbackRefused
        Without a reason, without an earlier champion, or when the target was never champion or cannot serve: then with
        an alternative that can (P14).
    StaleEpoch
        When `at_epoch` is over.
    """
    check(stores.ledger, actor, "rollback", model, to)
    because = " ".join(because.split())
    if len(because) < MIN_REASON:
        raise RollbackRefused(f"{model}: give a reason of at least {MIN_REASON} characters (because)")
    epoch, deployment = current(stores.ledger, model)
    if at_epoch not in (None, epoch):
        raise StaleEpoch(model, at_epoch or 0, epoch)
    # What was released since the epoch was read is not what somebody wants back from: the change would be stale.
    history = [one for one in reigns(stores.ledger, model) if (one.entry.epoch or 0) <= epoch]
    if deployment is None or not history:
        raise RollbackRefused(f"{model}: nothing was ever released, so there is nothing to go back to")
    if to is None and _is_retry(history[-1], because):
        return deployment
    target = _target(history, model, to)
    if target.version == deployment.champion:
        return deployment
    _check_can_serve(stores, model, target, history)
    if at_epoch is not None:
        return _change(stores, deployment, epoch, target, history, because, actor)
    return _until_it_stands(stores, epoch, deployment, target, history, to, because, actor)


def _until_it_stands(
    stores: "Stores",
    epoch: int,
    deployment: Deployment,
    target: Reign,
    history: list[Reign],
    to: str | None,
    because: str,
    actor: str,
) -> Deployment:
    """Change the deployment; when something was faster, do it again on top of that."""
    model = deployment.model
    for _ in range(_ATTEMPTS):
        try:
            return _change(stores, deployment, epoch, target, history, because, actor)
        except StaleEpoch:
            decided, (epoch, found) = epoch, current(stores.ledger, model)
            history = reigns(stores.ledger, model)
            newest = history[-1].entry
            undone = to is None and newest.action == "rolled_back" and (newest.epoch or 0) > decided
            if found is None or undone or found.champion == target.version:
                return found or deployment  # another rollback did it
            deployment = found
    words = f"{_ATTEMPTS} changes overtook the rollback to {target.version}; stop them and try again"
    raise RollbackRefused(f"{model}: {words}")


def _is_retry(newest: Reign, because: str) -> bool:
    return newest.entry.action == "rolled_back" and newest.entry.payload.get("because") == because


def _target(history: list[Reign], model: str, to: str | None) -> Reign:
    if to is None:
        stack = standing(history)
        if len(stack) < 2:
            raise RollbackRefused(
                f"{model}: {stack[-1].version} has no champion before it to go back to; name one with to"
            )
        return stack[-2]
    found = [reign for reign in history if reign.version == to]
    if not found:
        known = ", ".join(sorted({reign.version for reign in history}))
        raise RollbackRefused(
            f"{model}: {to!r:.80} has never been champion, so nothing proves that it can serve; there were {known}"
        )
    return found[-1]


def _check_can_serve(stores: "Stores", model: str, target: Reign, history: list[Reign]) -> None:
    """Refuse a target whose bytes, fingerprint or columns are not what they were, and name one that is sound."""
    why = cannot_serve(stores, model, target.version)
    if why is None:
        return
    serving = history[-1].version
    others = dict.fromkeys(
        reign.version for reign in reversed(history) if reign.version not in (target.version, serving)
    )
    sound = next((version for version in others if cannot_serve(stores, model, version) is None), None)
    instead = (
        f"{sound} can serve: roll back to it (to={sound!r})" if sound else "no other earlier champion can serve either"
    )
    raise RollbackRefused(f"{model}: {target.version} cannot serve: {why}; {instead}")


def cannot_serve(stores: "Stores", model: str, version: str) -> str | None:
    """Return why a version cannot serve now, or None: it is loaded, and asked for the newest features there are."""
    from retrain_pipeline.learning.prediction import predict
    from retrain_pipeline.learning.versions import load_version

    try:
        loaded = load_version(stores, model, version)
        periods = stores.lake.periods(model, "features")
        if periods:
            features = stores.lake.read(model, "features", periods=periods[-1:])
            if len(features):
                predict(loaded.pipeline, loaded.manifest.task, features.head(1))
    except PermanentError as error:
        return str(error)
    return None


def _change(
    stores: "Stores",
    deployment: Deployment,
    epoch: int,
    target: Reign,
    history: list[Reign],
    because: str,
    actor: str,
) -> Deployment:
    """Change the deployment, decided on the reigns up to `epoch`: they are read once, since each is hashed again."""
    before = _previous(history, target)
    state = target.deployment.model_copy(
        update={
            "previous": before.version if before else None,
            "previous_manifest": before.deployment.manifest if before else None,
            "released_at": utc_now(),
        }
    )
    payload = {
        "version": target.version,
        "from": deployment.champion,
        "because": because,
        "previous": state.previous,
        "as_of": state.effective_as_of,
        "manifest": state.manifest,
        "evidence": state.evidence,
        "withdraws": deployment.challenger.version if deployment.challenger else None,
        "serving": state.serving_digest,
    }
    entry = stores.ledger.change_deployment(
        deployment.model,
        epoch,
        state.to_state(),
        NewEntry(actor=actor, action="rolled_back", model=deployment.model, subject=target.version, payload=payload),
    )
    _check_restored(stores, state, entry.epoch, target)
    return state


def _check_restored(stores: "Stores", state: Deployment, epoch: int | None, target: Reign) -> None:
    """Assert that the record of the target is back whole: nothing that serves users is other than it was.

    What others have changed since is theirs: a version may be on trial beside the restored champion already.
    """
    found, now = current(stores.ledger, state.model)
    wanted = target.deployment.serving_digest
    if state.serving_digest != wanted or (found == epoch and now != state):
        raise RollbackRefused(
            f"{state.model}: {target.version} serves again, but its record is not what it was "
            f"({wanted[:12]}): run `retrain ledger verify`"
        )


def _previous(history: list[Reign], target: Reign) -> Reign | None:
    """Return the champion below the target, so that another rollback goes back one further."""
    stack = standing(history)
    at = newest_place(stack, target.version)
    if at is None:
        return stack[-1]
    return stack[at - 1] if at else None
