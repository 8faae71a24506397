"""Is a bundle what it says? Looked at from the file alone: no store, no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from retrain_pipeline.canonical import NotCanonical, parse_json
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult, read_evidence
from retrain_pipeline.gates.replay import disagrees_with_itself
from retrain_pipeline.learning.errors import ModelOfOtherVersion, VersionRetired
from retrain_pipeline.learning.versions import load_version
from retrain_pipeline.ledger.entries import Entry, as_entry, write_json
from retrain_pipeline.ledger.keyring import Keyring
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.records.audit.references import references_of
from retrain_pipeline.records.bundle.archive import Packed, Reader, opened
from retrain_pipeline.records.bundle.manifest import ENTRIES, FILE, SIGNATURE, SIGNS, Bundle, BundleRefused
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.ledger.store import Ledger

_MOST_ENTRIES_BYTES = 2**28
_SHOWN = 5


@dataclass(frozen=True)
class Verified:
    """What was found, a result a check; `bundle` is None where its inventory does not read."""

    bundle: Bundle | None
    checks: tuple[GateResult, ...]

    @property
    def whole(self) -> bool:
        """Whether every file is what the inventory says, so that bytes may be taken out of it."""
        return all(one.verdict is Verdict.PASS for one in self.checks if one.gate in ("inventory", "digests"))


def verify(file: Path, keyring: Keyring) -> Verified:
    """Look at a bundle: inventory, digests, entries, what they name, the signature, the model's answers, the verdict.

    Parameters
    ----------
    keyring
        The public keys that are believed; with none of them a signature is INCONCLUSIVE.

    Raises
    ------
    BundleRefused
        When the file is no archive.
    """
    with opened(file) as reader:
        bundle, first = _inventory(reader)
        if bundle is None:
            return Verified(None, (first,))
        digests = _result("digests", _wrong_digests(reader, bundle), len(bundle.inventory), "files")
        found, told = _entries(reader)
        checks = [first, digests, told, _signature(reader, bundle, keyring)]
        stores = _as_stores(reader, bundle, found)
        checks.append(_result("references", _unnamed(stores, bundle, found), len(found), "entries"))
        checks.append(_answers(stores, bundle))
        checks.append(_verdict(stores, bundle))
        return Verified(bundle, tuple(checks))


def restore(file: Path, keyring: Keyring, artifacts: "Artifacts") -> tuple[Verified, list[str]]:
    """Put the artifacts of a bundle into a store that lost them; return what was found and the digests put back.

    Raises
    ------
    BundleRefused
        When the file is no bundle, or one of its files is not what its inventory says.
    """
    verified = verify(file, keyring)
    if verified.bundle is None or not verified.whole:
        words = "; ".join(f"{one.gate}: {one.words}" for one in verified.checks if one.verdict is Verdict.FAIL)
        raise BundleRefused(f"{file}: nothing is taken from a bundle that is not whole: {words}")
    back = []
    with opened(file) as reader:
        for item in verified.bundle.inventory:
            if item.role == "artifact" and not _there(artifacts, item.sha256):
                artifacts.put(reader.read(item.path, item.bytes))
                back.append(item.sha256)
    return verified, back


def _there(artifacts: "Artifacts", digest: str) -> bool:
    try:
        artifacts.get(digest)
    except PermanentError:
        return False
    return True


def _result(check: str, problems: Iterator[str], n: int, what: str) -> GateResult:
    found = list(problems)
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    bad = "; ".join(found[:_SHOWN]) + more
    verdict = Verdict.FAIL if found else Verdict.PASS if n else Verdict.INCONCLUSIVE
    return GateResult(
        gate=check, verdict=verdict, words=bad or f"{n} {what}", statistic=float(len(found)), threshold=0.0, n=n
    )


def _inventory(reader: Reader) -> tuple[Bundle | None, GateResult]:
    """Read the inventory, and compare it with the names in the archive: none more, none less, none twice, no link."""
    try:
        bundle = Bundle.model_validate(parse_json(reader.read(FILE)), strict=False)
    except (BundleRefused, NotCanonical, UnicodeDecodeError) as error:
        return None, GateResult(gate="inventory", verdict=Verdict.FAIL, words=f"{FILE}: {error}"[:2000])
    except ValidationError as error:
        first = error.errors()[0]
        words = f"{FILE}: at /{'/'.join(map(str, first['loc']))}: {first['msg']}"
        return None, GateResult(gate="inventory", verdict=Verdict.FAIL, words=words[:2000])

    def problems() -> Iterator[str]:
        listed = {one.path for one in bundle.inventory} | {FILE}
        yield from (f"{name!r:.120} is in the archive twice" for name in sorted(_twice(reader.names)))
        yield from (f"{name!r:.120} is a link" for name in reader.links)
        yield from (f"{name!r:.120} is not listed" for name in sorted({*reader.names} - listed - {SIGNATURE}))
        yield from (f"{name} is listed and not there" for name in sorted(listed - {*reader.names}))
        if ENTRIES not in listed:
            yield f"{ENTRIES} is not listed"

    return bundle, _result("inventory", problems(), len(bundle.inventory), f"files, bundle {bundle.bundle_id}")


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1} if len({*names}) < len(names) else set()


def _wrong_digests(reader: Reader, bundle: Bundle) -> Iterator[str]:
    for one in bundle.inventory:
        try:
            if reader.digest(one.path, one.bytes) != one.sha256:
                yield f"{one.path}: other bytes than the inventory says"
        except BundleRefused as error:
            yield str(error)


def _entries(reader: Reader) -> tuple[list[Entry], GateResult]:
    """Read the entries, each hashed again, and see that they are in order."""
    found, problems = list[Entry](), list[str]()
    try:
        lines = reader.read(ENTRIES, _MOST_ENTRIES_BYTES).splitlines()
    except BundleRefused as error:
        return [], GateResult(gate="entries", verdict=Verdict.FAIL, words=str(error)[:2000])
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line)
            row |= {"payload": write_json(row["payload"], f"line {number}"), "mono_ns": int(row["mono_ns"])}
            entry = as_entry(row)
        except (PermanentError, KeyError, TypeError, ValueError) as error:
            problems.append(f"line {number}: no entry that this project wrote: {error}")
            continue
        before = found[-1] if found else None
        if before is not None and entry.seq <= before.seq:
            problems.append(f"line {number}: entry {entry.seq} stands after entry {before.seq}")
        if before is not None and entry.seq == before.seq + 1 and entry.prev_sha256 != before.sha256:
            problems.append(f"line {number}: entry {entry.seq} does not continue entry {before.seq}")
        found.append(entry)
    return found, _result("entries", iter(problems), len(lines), "entries hash to what they say")


def _signature(reader: Reader, bundle: Bundle, keyring: Keyring) -> GateResult:
    if SIGNATURE not in reader.names:
        return _said("signature", Verdict.INCONCLUSIVE, "it is not signed: who made it cannot be told")
    try:
        document = parse_json(reader.read(SIGNATURE))
        named, signature = str(document["key"]), str(document["signature"])
    except (BundleRefused, NotCanonical, KeyError, TypeError) as error:
        return _said("signature", Verdict.FAIL, f"{SIGNATURE} does not read: {error}")
    key = keyring.find(named)
    if key is None:
        return _said("signature", Verdict.INCONCLUSIVE, f"key {named:.64} is not in the keyring")
    if not key.signed(SIGNS, {"bundle_id": bundle.bundle_id}, signature):
        return _said("signature", Verdict.FAIL, f"the signature is not that of key {key.name}")
    return _said("signature", Verdict.PASS, f"signed by key {key.name} of {key.owner}")


def _as_stores(reader: Reader, bundle: Bundle, entries: list[Entry]) -> Stores:
    """Return the bundle as stores, so that the same code reads it that reads the real ones. There is no lake."""
    items = {one.sha256: one for one in bundle.inventory if one.role == "artifact"}
    ledger = PastLedger(entries, bundle.until_seq)
    return Stores(cast("Any", None), cast("Artifacts", Packed(reader, items)), cast("Ledger", ledger))


def _unnamed(stores: Stores, bundle: Bundle, entries: list[Entry]) -> Iterator[str]:
    """Yield what an entry names that is neither in the bundle nor said to be absent."""
    absent, told = {one.what.removeprefix("artifact ") for one in bundle.absent}, set[str]()
    for entry in entries:
        if entry.model != bundle.model:
            yield f"entry {entry.seq} is about {entry.model}"
        for one in references_of(stores, entry):
            if one.digest not in absent | told and not stores.artifacts.exists(one.digest):
                told.add(one.digest)
                yield f"{one.place} names {one.digest[:12]}, which is not in the bundle"
    if stores.ledger.latest(bundle.model, "candidate_registered", bundle.version) is None:
        yield f"no entry registers {bundle.version}"


def _answers(stores: Stores, bundle: Bundle) -> GateResult:
    """Load the model from the bundle alone and ask it the questions of its fingerprint."""
    try:
        loaded = load_version(stores, bundle.model, bundle.version)
    except (ModelOfOtherVersion, VersionRetired) as error:
        return _said("answers", Verdict.INCONCLUSIVE, str(error))
    except PermanentError as error:
        return _said("answers", Verdict.FAIL, str(error))
    words = f"{loaded.manifest.probe.rows} answers, {loaded.fidelity} as on record"
    return _said("answers", Verdict.PASS, words)


def _verdict(stores: Stores, bundle: Bundle) -> GateResult:
    """Take every judgement of the version again from its evidence and the policy of then."""
    judged = stores.ledger.entries(model=bundle.model, action="judged", subject=bundle.version)
    problems: list[str] = []
    for entry in judged:
        try:
            evidence = read_evidence(stores.artifacts, str(entry.payload["evidence"]))
            problems += [f"entry {entry.seq}: {words}" for words in disagrees_with_itself(stores, entry, evidence)]
        except PermanentError as error:
            problems.append(f"entry {entry.seq}: {error}")
    return _result("verdict", iter(problems), len(judged), "judgements follow from their evidence")


def _said(check: str, verdict: Verdict, words: str) -> GateResult:
    return GateResult(gate=check, verdict=verdict, words=words[:2000])
