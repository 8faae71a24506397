"""What a recorded run of the tests says for an item."""

from retrain_pipeline.records.audit.examined import Answer, Examined, of_record
from retrain_pipeline.records.kinds.test_run import TestRun


def by_tests(seen: Examined, word: str, what: str, *, without: str | None = None) -> Answer:
    """Answer 1 where the newest run had tests of a kind, none of it failed, and it was of the champion's very code.

    Of other code it is a half: what passed there may not pass here.

    Parameters
    ----------
    word
        What the ids of these tests hold; empty: any.
    without
        What they do not hold.
    """
    mend = f"enter a run: pytest --junit-xml=tests.xml, then retrain tests {seen.spec.name} tests.xml"
    runs = seen.records(TestRun.KIND)
    if not runs:
        return Answer(0, f"no run of the tests is on record; {mend}")
    newest = runs[-1].read(TestRun)
    ids = [one for one in newest.passed if word in one and (without is None or without not in one)]
    broken = [one for one in newest.failed if word in one and (without is None or without not in one)]
    where = of_record(f"{len(ids)} {what}, for example {ids[0] if ids else 'none'}", runs[-1])
    if broken or not ids:
        return Answer(0, f"{len(broken)} {what} failed, {len(ids)} passed; {mend}")
    code = seen.manifest.code if seen.manifest else None
    if code is None or code.commit is None or (newest.commit, newest.dirty) != (code.commit, code.dirty):
        return Answer(0.5, f"{len(ids)} {what} passed, on other code than the champion's; {mend}", (where,))
    return Answer(1, f"{len(ids)} {what} passed on commit {code.commit[:12]}", (where,))
