"""The YAML reader: what it refuses, what a scalar means, where things stand."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    NOWHERE,
    read_yaml,
    read_yaml_file,
    reading_once,
    yaml_flow,
    yaml_text,
)


def refusals(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(YamlRefused) as caught:
        read_yaml(text, "defs.yaml")
    return [(refusal.line, refusal.column, refusal.words) for refusal in caught.value.refusals]


@pytest.mark.fault("S4")
@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/name:os.system",
        "!!python/object/new:type []",
        "!!str 12",
        "!local {a: 1}",
        "! text",
        "!<tag:yaml.org,2002:python/none>",
    ],
)
def test_every_tag_is_refused_and_nothing_runs(tag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((line, column, words),) = refusals(f"a: 1\nb: {tag}\n")
    assert (line, column) == (2, 4)
    assert words.startswith("tag ")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.fault("S4")
def test_an_alias_bomb_is_refused_before_it_grows():
    lines = ["a0: &a0 [lol, lol, lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    began = time.monotonic()
    found = refusals("\n".join(lines))
    assert [(line, words.split(":")[0]) for line, _, words in found] == [
        (1, "anchor &a0"),
        (2, "anchor &a1"),
        (2, "alias *a0"),
    ]
    assert time.monotonic() - began < 2


@pytest.mark.fault("S4")
def test_duplicate_keys_are_refused_each_with_its_first_place():
    text = 'data:\n  temp: 1\n  "temp": 2\n1: x\n"1": y\n'
    assert refusals(text) == [
        (3, 3, "key 'temp' is given twice, first at defs.yaml:2:3"),
        (5, 1, "key '1' is given twice, first at defs.yaml:4:1"),
    ]


@pytest.mark.fault("S4")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {<<: {b: 1}}", "merge key '<<'"),
        ("&k a: 1", "a key has no tag and no anchor"),
        ("!!str a: 1", "a key has no tag and no anchor"),
        ("[a, b]: 1", "a key must be plain text"),
        ("? {a: 1}\n: 2", "a key must be plain text"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("a: [1, 2", "not YAML"),
        ("a: b: c", "not YAML"),
        ("\ta: 1", "not YAML"),
        ("a: \x00", "#x0000"),
        ("a: 1\nb: \x1b[31m", "#x001b"),
    ],
)
def test_what_is_not_plain_is_refused(text, words):
    assert words in refusals(text)[-1][2]


@pytest.mark.fault("S4")
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_without_reading_it_all(opening):
    began = time.monotonic()
    assert "nested deeper" in refusals(opening * 50_000)[0][2]
    assert time.monotonic() - began < 5


def test_the_allowed_depth_is_read():
    value = read_yaml("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH, "x").value
    for _ in range(MAX_DEPTH):
        (value,) = value
    assert value == 1


def test_a_large_file_is_refused_unread(tmp_path: Path):
    file = tmp_path / "defs.yaml"
    file.write_text("a: '" + "x" * MAX_BYTES + "'")
    with pytest.raises(YamlRefused, match="larger than"):
        read_yaml_file(file)
    assert "larger than" in refusals("#" * (MAX_BYTES + 1))[0][2]


def test_a_file_that_is_not_utf8_is_refused_with_the_place(tmp_path: Path):
    file = tmp_path / "defs.yaml"
    file.write_bytes("a: 1\nstadt: Köln\n".encode("latin-1"))
    with pytest.raises(YamlRefused, match=r"defs\.yaml:2:9  not UTF-8"):
        read_yaml_file(file)


def test_a_byte_order_mark_and_crlf_are_read(tmp_path: Path):
    file = tmp_path / "defs.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: x\r\n")
    assert read_yaml_file(file).value == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("None", "None"),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("010", "010"),
        ("0o10", "0o10"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1.10", 1.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1,5", "1,5"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740993", "9007199254740993"),
        ("1" * 5000, "1" * 5000),
        ("2011-01-01", "2011-01-01"),
        ("2011-01-01T00:00:00Z", "2011-01-01T00:00:00Z"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("''", ""),
    ],
)
def test_what_an_unquoted_scalar_means(text, value):
    found = read_yaml(f"a: {text}\n", "x").value["a"]
    assert (type(found), found) == (type(value), value)


def test_keys_and_values_know_their_place_and_spelling():
    document = read_yaml("a:\n  b: [1.10, '2']\n  c: {d: yes}\n", "x")
    place = document.place(("a", "b", 0))
    assert (place.line, place.column, place.text, place.quoted) == (2, 7, "1.10", False)
    assert document.place(("a", "b", 1)).quoted
    assert (document.key_place(("a", "c", "d")).line, document.key_place(("a", "c", "d")).column) == (3, 7)
    assert document.place(("a", "c", "missing", 3)) == document.key_place(("a", "c"))
    assert document.key_place(("z",)) == NOWHERE
    assert (document.at(("a", "b", 1)), document.at(("a", "b", 9)), document.at(("a", "b", "x"))) == ("2", None, None)


_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_VALUES = st.recursive(
    _SCALARS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.text())
def test_any_text_is_written_so_that_it_reads_back(text):
    assert read_yaml(f"a: {yaml_text(text)}\n", "x").value == {"a": text}
    assert read_yaml(f"{yaml_text(text)}: 1\n", "x").value == {text: 1}


@given(_VALUES)
def test_any_value_is_written_so_that_it_reads_back(value):
    assert read_yaml(f"a: {yaml_flow(value)}\n", "x").value == {"a": value}


@given(st.text(alphabet="ab01:-[]{},&*!|>'\"%@`#?~<. \n\t\\", max_size=60))
def test_any_text_is_read_or_refused_with_a_place_inside_it(text):
    try:
        read_yaml(text, "x")
        refused = ()
    except YamlRefused as error:
        refused = error.refusals
    lines = text.count("\n") + 1
    assert all(1 <= refusal.line <= lines + 1 and refusal.column >= 1 for refusal in refused)


def test_within_a_load_a_text_is_read_once_and_a_changed_file_again(tmp_path):
    file = tmp_path / "defs.yaml"
    file.write_text("a: 1\n")
    with reading_once():
        first = read_yaml_file(file)
        assert read_yaml_file(file) is first
        file.write_text("a: 2\n")
        assert read_yaml_file(file).value == {"a": 2}
        for _ in range(2):
            assert refusals("a: &x 1\n")
    assert read_yaml("a: 1\n", "defs.yaml") is not first
