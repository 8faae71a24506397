"""The plugin that counts which promises are proved."""

import pytest

pytest_plugins = ["pytester"]

PASSING = """
import pytest

@pytest.mark.fault("S4", "I46")
@pytest.mark.requirement("D38")
def test_good(): pass

@pytest.mark.fault("I46")
@pytest.mark.parametrize("value", [1, 2])
def test_twice(value): pass

@pytest.mark.requirement("A4")
def test_bad(): assert False

@pytest.mark.requirement("A5")
def test_skipped(): pytest.skip("not here")

@pytest.mark.dagster_fact("K7")
def test_breaks_in_teardown(request): request.addfinalizer(lambda: 1 / 0)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch):
    monkeypatch.delenv("SLIPCOVER_ENABLED", raising=False)  # the inner session is no worker of the outer one

    def _run(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        quick = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "-p", "no:anyio")
        plugin = ("-p", "retrain_pipeline_tests.promises", "--strict-markers")
        return pytester.runpytest_inprocess(*plugin, *quick, *options)

    return _run


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["in process", "xdist"])
def test_each_number_is_proved_claimed_or_without_a_test(run, options):
    lines = run(PASSING, "--promises", *options).outlines
    assert "D: 1 of 52 have a passing test" in lines
    assert "   passing: D38 (1)" in lines
    assert "   passing: I46 (3)" in lines
    assert "   passing: S4 (1)" in lines
    assert "   failing or skipped: A4, A5" in lines
    assert "   failing or skipped: K7" in lines
    assert any(line.startswith("   none: A1, A2, A3, A6") for line in lines)


def test_without_the_option_nothing_is_printed(run):
    assert "promises" not in run("def test_good(): pass", "-q").stdout.str()


@pytest.mark.parametrize(
    ("mark", "words", "options"),
    [
        ('requirement("D53")', "D1–D52", ()),
        ('fault("D1")', "I1–I47, P1–P36, S1–S20, G1–G28", ("-n", "1")),
        ("dagster_fact()", "without a number", ()),
        ('requirement("A0")', "A1–A39", ()),
    ],
)
def test_an_unknown_number_is_an_error_at_collection(run, mark, words, options):
    result = run(f"import pytest\n\nclass TestIt:\n    @pytest.mark.{mark}\n    def test_it(self): pass\n", *options)
    assert result.ret != 0
    assert words in result.stdout.str()
    assert result.parseoutcomes().get("passed", 0) == 0
