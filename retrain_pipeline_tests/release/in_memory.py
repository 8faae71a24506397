"""A ledger and a lake in memory, which say what the real ones say: for tests that would wait for disks, or fork."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd

from retrain_pipeline.lake.digests import frame_digest
from retrain_pipeline.lake.partitions import Partition, PartitionWrite
from retrain_pipeline.lake.tables import Snapshot
from retrain_pipeline.ledger.entries import FIRST_PREV, Head, as_entry, chain_digest, check_entry, write_json
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.ledger.keyring import FILE, policy_folder, read_keyring
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.ledger.writing import Change, payload_of


class HandLedger(PastLedger):
    """A ledger in memory, in which something may happen once, next to a look at the deployment or to its change."""

    place = "memory"
    signer = None
    before_change = after_change = after_look = None

    def __init__(self):
        super().__init__((), 0)

    def append(self, new):
        return self._record(new, None)

    def change_deployment(self, model, expected_epoch, state, new, *, just_before=None):
        self._happens("before_change")
        entry = self._record(new, Change(model, expected_epoch, write_json(state, "state"), just_before))
        self._happens("after_change")
        return entry

    def deployment(self, model):
        found = super().deployment(model)
        self._happens("after_look")
        return found

    def head(self):
        return Head(self._known[-1].seq, self._known[-1].sha256) if self._known else Head(0, FIRST_PREV)

    @staticmethod
    def keyring():
        return read_keyring(policy_folder() / FILE)

    def close(self):
        pass

    def forget(self, entry):
        """Take an entry out, as no real ledger does: it did not happen."""
        self._known.remove(entry)

    def amend(self, entry, **changed):
        """Change an entry, as nobody can unseen."""
        self._known[self._known.index(entry)] = replace(entry, **changed)

    def _record(self, new, change):
        check_entry(new)
        payload = payload_of(new, change)
        earlier = next((one for one in self._known if new.key is not None and one.key == new.key), None)
        if earlier is not None:
            return earlier
        model = new.model if change is None else change.model
        if change is not None:
            held = super().deployment(model)
            if (epoch := held.epoch if held else 0) != change.expected_epoch:
                raise StaleEpoch(model, change.expected_epoch, epoch)
            if change.just_before is not None:
                change.just_before()
        seq, before = self.head()
        row = {
            "seq": seq + 1, "prev_sha256": before, "at_utc": datetime.now(UTC).isoformat(timespec="microseconds"),
            "mono_ns": time.monotonic_ns(), "actor": new.actor, "action": new.action, "model": model,
            "subject": new.subject, "payload": payload, "run_id": new.run_id,
            "epoch": new.epoch if change is None else change.epoch, "key": new.key or f"entry-{seq + 1}",
        }  # fmt: skip
        self._known.append(as_entry({**row, "sha256": chain_digest(row)}))
        return self._known[-1]

    def _happens(self, when):
        what = getattr(self, when)
        setattr(self, when, None)
        if what is not None:
            what()


class HandLake:
    """The tables of a lake in memory."""

    url = "memory"

    def __init__(self):
        self.tables = {}

    def replace_partition(self, model, table, period, frame):
        held = self.tables.setdefault((model, table), {})
        digest = frame_digest(frame)
        changed = period not in held or frame_digest(held[period]) != digest
        held[period] = frame.copy() if changed else held[period]
        return PartitionWrite(table, 0, period, len(frame), digest, changed)

    def partitions(self, model, table, version=None):
        held = self.tables.get((model, table), {})
        return {period: Partition(len(held[period]), frame_digest(held[period])) for period in sorted(held)}

    def periods(self, model, table, version=None):
        return sorted(self.tables.get((model, table), {}))

    def version(self, model, table):
        return 0 if (model, table) in self.tables else None

    def snapshot(self, model, table, *, periods, known_by=None, version=None):
        rows = self.read(model, table, periods=periods, known_by=known_by)
        moment = known_by and known_by.isoformat()
        return Snapshot(model, table, 0, "true", tuple(periods), moment, len(rows), frame_digest(rows))

    def read_snapshot(self, of):
        moment = of.known_by and datetime.fromisoformat(of.known_by)
        return self.read(of.model, of.table, periods=of.periods, known_by=moment)

    def read(self, model, table, *, periods=None, known_by=None, version=None, columns=None):
        held = self.tables.get((model, table), {})
        if not held:
            return pd.DataFrame()
        parts = [held[one].assign(_period=one) for one in sorted(held)]
        rows = pd.concat(parts).sort_values(["_event_time", "_period"], kind="stable")
        if periods is not None:
            rows = rows[rows["_period"].isin(list(periods))]
        first = ["_event_time", "_known_time", "_period"]
        rows = rows[[*first, *(name for name in rows.columns if name not in first)]].reset_index(drop=True)
        if known_by is not None:
            rows = rows[rows["_known_time"] <= known_by].reset_index(drop=True)
        return rows if columns is None else rows[list(columns)]
