"""The portal's folder: the same bytes from the same stores, only what changed is written, nothing of yours is gone."""

import hashlib
import json
from pathlib import Path

import pytest

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.names import NameRefused
from retrain_pipeline.records.audit.fields import filled, record_kinds
from retrain_pipeline.records.history import UnknownVersion
from retrain_pipeline.records.portal import searching
from retrain_pipeline.records.portal.build import build_portal
from retrain_pipeline.records.portal.links import evidence_page, record_page, version_page
from retrain_pipeline.records.portal.site import PortalRefused
from retrain_pipeline.records.portal.terms import GATES, METRICS, stream_of
from retrain_pipeline.records.portal.tree import BY_PEOPLE, tree
from retrain_pipeline.records.portal.words import MOST_WORDS, markdown, shown, story_of
from retrain_pipeline.records.record import records
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.records.portal.conftest import GRAPH, HOSTILE
from retrain_pipeline_tests.records.portal.written import Written


def digests(folder: Path) -> dict[str, str]:
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return {one.relative_to(folder).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest() for one in files}


@pytest.fixture
def bikes(tmp_path):
    stores = open_stores(tmp_path / "home")
    bikes = Written(stores, "bikes")
    for week in range(4):
        bikes.monitor(week, 2.0)
        bikes.version()
    yield bikes
    stores.close()


@pytest.mark.requirement("A38", "A34")
def test_the_same_stores_give_the_same_bytes(made, tmp_path):
    stores, site = made
    built = build_portal(stores, tmp_path / "again", graph=GRAPH)
    assert digests(tmp_path / "again") == digests(site)
    assert built.pages == built.made
    assert build_portal(stores, tmp_path / "again", graph=GRAPH).made == 0


@pytest.mark.requirement("A39")
def test_an_added_version_writes_its_pages_and_no_other_versions(bikes, tmp_path):
    site = tmp_path / "site"
    build_portal(bikes.stores, site)
    before = digests(site)
    added = bikes.version()
    built = build_portal(bikes.stores, site)
    after = digests(site)
    build_portal(bikes.stores, tmp_path / "fresh")
    assert after == digests(tmp_path / "fresh"), "step by step or at once: the same site"
    changed = {name for name in after if before.get(name) != after[name]}
    assert version_page("bikes", added) in changed
    old = [one for one in changed if one.startswith("m/bikes/v/") and one in before]
    # the champion that it replaced, and nobody else
    assert len(old) == 1
    assert built.made < built.pages


def test_what_did_not_change_is_not_read_again(bikes, tmp_path, monkeypatch):
    build_portal(bikes.stores, tmp_path / "site")
    added = bikes.version()
    read: list[str] = []
    get = Artifacts.get

    def listening(self: Artifacts, digest: str) -> bytes:
        read.append(digest)
        return get(self, digest)

    monkeypatch.setattr(Artifacts, "get", listening)
    build_portal(bikes.stores, tmp_path / "site")
    judged = bikes.stores.ledger.entries(action="judged")[-2:]
    registered = bikes.stores.ledger.entries(subject=added, action="candidate_registered")
    # the new version's documents, and the evidence of the champion whose page now says that it was replaced
    assert set(read) == {str(registered[0].payload["manifest"]), *(str(one.payload["evidence"]) for one in judged)}


@pytest.mark.requirement("A39")
def test_a_full_part_of_what_is_searched_is_never_written_again(bikes, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "PART", 2)
    build_portal(bikes.stores, tmp_path / "site")
    before = digests(tmp_path / "site" / "m" / "bikes")
    bikes.fail("no rows")
    build_portal(bikes.stores, tmp_path / "site")
    after = digests(tmp_path / "site" / "m" / "bikes")
    parts = [name for name in after if name.startswith("search-")]
    assert len(parts) == 3
    assert [name for name in parts if after[name] != before.get(name)] == ["search-3.js"]


def test_pages_of_what_is_gone_are_removed_and_a_changed_page_is_mended(bikes, tmp_path):
    site = tmp_path / "site"
    other = Written(bikes.stores, "loans")
    other.version()
    build_portal(bikes.stores, site)
    whole = digests(site)
    page = site / "m" / "bikes" / "index.html"
    page.write_text("<p>edited by hand</p>")
    (site / "m" / "bikes" / ".tmp-left").write_text("of a build that died")
    (site / "m" / "bikes" / "old.html").write_text("of a build that died before it said so")
    built = build_portal(bikes.stores, site)
    assert (built.made, built.removed) == (1, 2)
    assert digests(site) == whole
    assert build_portal(bikes.stores, site, models=["bikes"]).removed > 5
    assert not (site / "m" / "loans").exists()


def test_a_folder_that_is_no_portal_is_left_alone(bikes, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(PortalRefused, match="holds something that is no portal"):
        build_portal(bikes.stores, folder)
    assert digests(folder).keys() == {"thesis.txt"}
    with pytest.raises(PortalRefused, match="is a file"):
        build_portal(bikes.stores, folder / "thesis.txt")
    (tmp_path / "empty").mkdir()
    assert build_portal(bikes.stores, tmp_path / "empty").index.is_file()


def test_a_build_that_dies_leaves_whole_pages_and_the_next_ends_it(bikes, tmp_path, monkeypatch):
    from retrain_pipeline.records.portal.site import Site

    site, put, told = tmp_path / "site", Site._put, []

    def dying(self, path, data):
        told.append(path)
        if len(told) == 9:
            raise OSError(28, "No space left on device")
        put(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Site, "_put", dying)
        with pytest.raises(OSError, match="No space"):
            build_portal(bikes.stores, site)
    assert not list(site.rglob(".tmp-*"))
    for page in site.rglob("*.html"):
        assert page.read_text().endswith("</html>\n")
    build_portal(bikes.stores, site)
    build_portal(bikes.stores, tmp_path / "fresh")
    assert digests(site) == digests(tmp_path / "fresh")


@pytest.mark.requirement("A22")
def test_as_of_an_entry_shows_what_was_on_record_then_and_nothing_later(bikes, tmp_path):
    build_portal(bikes.stores, tmp_path / "then")
    seq = bikes.stores.ledger.head().seq
    before = digests(tmp_path / "then")
    first = bikes.champion
    added = bikes.version()
    bikes.roll_back("it answers oddly")
    built = build_portal(bikes.stores, tmp_path / "as-of", as_of=str(seq))
    assert built.until_seq == seq
    pages = {file: file.read_text() for file in (tmp_path / "as-of").rglob("*.html")}
    assert pages
    assert not any(added in text or "oddly" in text for text in pages.values())
    assert all("what was on record as of entry" in text for text in pages.values())
    assert {file.relative_to(tmp_path / "as-of").as_posix() for file in pages} == {
        name for name in before if name.endswith(".html")
    }
    front = (tmp_path / "as-of" / "m" / "bikes" / "index.html").read_text()
    assert f">{first}</a>" in front
    with pytest.raises(UnknownVersion, match="up to entry 0"):
        build_portal(bikes.stores, tmp_path / "early", models=["bikes"], as_of="2001-01-01")
    with pytest.raises(PortalRefused, match="expected a date"):
        build_portal(bikes.stores, tmp_path / "early", as_of="yesterday")


@pytest.mark.requirement("D31")
def test_the_timeline_joins_data_model_and_infrastructure(made):
    _, site = made
    page = (site / "m" / "bikes" / "timeline.html").read_text()
    for stream in ("data", "model", "infrastructure", "records"):
        assert f'class="tag {stream}"' in page
    assert stream_of("run_failed") == "infrastructure"
    assert "the source did not answer" in page
    assert "monitoring turned FAIL" in page


@pytest.mark.requirement("A38")
def test_the_changelog_has_three_streams_from_the_documents(made):
    _, site = made
    page = (site / "m" / "bikes" / "changelog.html").read_text()
    assert page.count("<h3>Architecture</h3>") == page.count("<h3>Data</h3>") == page.count("<h3>Evaluation</h3>") == 5
    assert "gates.margin" in page
    assert "params.max_depth" in page
    assert "training rows" in page


def test_what_people_filled_in_is_marked_as_the_audit_counts_it(made):
    stores, site = made
    people = {}
    for one in records(stores, "bikes"):
        page = (site / record_page("bikes", one.kind, one.digest)).read_text()
        counted = filled([one], record_kinds())[one.kind]
        tree = page[page.index('<div class="tree">') :]
        assert tree.count(BY_PEOPLE) == counted.person
        many = f"{counted.machine + counted.person} fields that hold something"
        assert (f"{counted.person} of {many}" if counted.person else f"in all {many}") in page
        people.setdefault(one.kind, []).append(counted.person)
    assert people["deviation"] == [0, 3]
    assert min(people["decision"]) > 3
    *_, explained = records(stores, "bikes", "deviation")
    page = (site / record_page("bikes", "deviation", explained.digest)).read_text()
    assert f"<dt>why {BY_PEOPLE}</dt>" in page
    assert "<dt>what</dt>" in page
    listed = (site / "m" / "bikes" / "records.html").read_text()
    assert listed.count(f"</a> {BY_PEOPLE}</th>") == sum(many > 0 for kind in people.values() for many in kind)


def test_failed_experiments_are_there_with_reason_and_lesson(made):
    _, site = made
    page = (site / "m" / "bikes" / "experiments.html").read_text()
    assert "more rows are needed" in page
    assert "quality was not shown" in page
    assert "the source did not answer" in page
    assert "7 runs" in page


@pytest.mark.requirement("A10")
def test_each_number_of_a_gate_leads_to_its_place_in_the_evidence(made):
    stores, site = made
    judged = stores.ledger.entries(model="bikes", action="judged")[0]
    digest = str(judged.payload["evidence"])
    evidence = stores.artifacts.get_json(digest)
    page = (site / version_page("bikes", str(judged.subject))).read_text()
    whole = (site / evidence_page("bikes", digest)).read_text()
    at = next(place for place, one in enumerate(evidence["results"]) if one["gate"] == "quality")
    assert f"{evidence_page('bikes', digest).rpartition('/')[2]}#/results/{at}/statistic" in page
    assert f'id="/results/{at}/statistic"><dt>statistic</dt><dd>{evidence["results"][at]["statistic"]}</dd>' in whole


@pytest.mark.requirement("B27")
def test_every_gate_and_metric_is_in_the_glossary(site):
    from typing import get_args

    from retrain_pipeline.gates.evidence import Mode
    from retrain_pipeline.gates.required import required_gates
    from retrain_pipeline.spec.gates import Gates
    from retrain_pipeline.spec.model import Metric

    everything = Gates(
        groups=["a"], refits=2, max_rss_mb=100.0, documentation=True, guard="required", escalate={"share": 0.3}
    )
    assert set(required_gates(everything)) <= set(GATES)
    assert set(get_args(Metric)) == set(METRICS)
    page = (site / "glossary.html").read_text()
    for term in (*get_args(Mode), "PASS", "FAIL", "INCONCLUSIVE", *GATES, *METRICS):
        assert f"<dt>{term}</dt>" in page


@pytest.mark.requirement("A34")
def test_a_story_has_120_words_at_most_and_keeps_what_counts(made):
    many = [(0, "It became champion."), (1, "It serves."), (7, " ".join(["word"] * 200))]
    assert story_of(many) == "It became champion. It serves."
    assert len(story_of([(0, " ".join(["word"] * 200))]).split()) == MOST_WORDS
    _, site = made
    page = (site / "m" / "bikes" / "index.html").read_text()
    assert "It was rolled back on" in page
    assert "odd scores at night" in page


@pytest.mark.fault("S6", "S7", "I47")
def test_text_of_others_is_shown_as_text(made):
    assert markdown("[x](javascript:alert(1)) <b>y</b> **z**") == (
        "<p>[x](javascript:alert(1)) &lt;b&gt;y&lt;/b&gt; <strong>z</strong></p>\n"
    )
    assert markdown("[x](data:text/html,1)").count("<a") == 0
    assert markdown("[x](//evil.example)").count("<a") == 0
    assert shown("a\u202eb") == "a⟨U+202E⟩b"
    assert shown("2025-01-06 2025-01-13 and 0.4536271839201") == "2025-01-06 2025-01-13 and 0.4536271839201"
    assert shown("4111 1111 1111 1112") == "4111 1111 1111 1112", "no card number: its check digit is wrong"
    _, site = made
    parts = (site / "search.js").read_text().removeprefix("self.PORTAL = []; self.PORTAL_PARTS = ").removesuffix(";\n")
    assert set(json.loads(parts)) == {"m/bikes/search-1.js", "m/loans/search-1.js"}
    for part in json.loads(parts):
        search = (site / part).read_text()
        assert "<" not in search
        assert "lovelace@example.org" not in search
        assert json.loads(search.removeprefix("self.PORTAL.push(...").removesuffix(");\n"))
    assert HOSTILE not in "".join(file.read_text() for file in site.rglob("*.html"))


def test_damage_is_told_and_hides_nothing_else(bikes, tmp_path):
    judged = bikes.stores.ledger.entries(model="bikes", action="judged")[0]
    Path(bikes.stores.artifacts.path(str(judged.payload["evidence"]))).unlink()
    build_portal(bikes.stores, tmp_path / "site")
    page = (tmp_path / "site" / version_page("bikes", str(judged.subject))).read_text()
    assert "The evidence cannot be read: ArtifactMissing" in page
    assert "UNREADABLE" in page
    registered = bikes.stores.ledger.entries(model="bikes", action="candidate_registered")[1]
    Path(bikes.stores.artifacts.path(str(registered.payload["manifest"]))).write_bytes(b"{}")
    build_portal(bikes.stores, tmp_path / "again")
    page = (tmp_path / "again" / version_page("bikes", str(registered.subject))).read_text()
    assert "Its manifest cannot be read: ArtifactDamaged" in page


def test_a_model_of_which_little_is_known_has_all_its_pages(tmp_path):
    stores = open_stores(tmp_path / "home")
    young = Written(stores, "young")
    young.fail("no rows yet")
    build_portal(stores, tmp_path / "site")
    assert "no rows yet" in (tmp_path / "site" / "m" / "young" / "experiments.html").read_text()
    assert "nobody yet" in (tmp_path / "site" / "m" / "young" / "index.html").read_text()
    name = young.version()
    young.enter("candidate_registered", "20240101-00000000", manifest="9" * 64, candidate="tree", parent=name)
    build_portal(stores, tmp_path / "site")
    assert "never judged" in (tmp_path / "site" / version_page("young", "20240101-00000000")).read_text()
    stores.close()


def test_names_that_are_no_names_are_refused(bikes, tmp_path):
    with pytest.raises(NameRefused):
        build_portal(bikes.stores, tmp_path / "site", models=["../x"])
    with pytest.raises(UnknownVersion, match="knows nothing"):
        build_portal(bikes.stores, tmp_path / "site", models=["nobody"])


def test_rows_that_are_too_wide_for_a_table_are_a_list():
    narrow = [{"gate": "quality", "verdict": "PASS", "n": 3}]
    wide = [{name: f"{name} of twenty letters" for name in ("who", "what", "where", "when", "why", "how")}]
    assert "<table>" in tree({"rows": narrow}, {}, "")
    assert "<table>" not in tree({"rows": wide}, {}, "")
    assert "what of twenty letters" in tree({"rows": wide}, {}, "")
