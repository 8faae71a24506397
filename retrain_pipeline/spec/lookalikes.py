"""Characters that nobody sees, or that look like others: two texts that read alike and are not the same."""

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"[^\W\d_]+")
# The letters of Cyrillic and Greek that look like Latin ones in most fonts. One word mixes no alphabets by accident;
# a word that is wholly Greek or Cyrillic is a word.
_CYRILLIC = "аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅԌ"
_GREEK = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧονϲϳ"
_ALIKE = frozenset(_CYRILLIC + _GREEK)
_ALLOWED = frozenset("\n\t")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def lookalikes(text: str) -> Iterator[str]:
    r"""Yield what is wrong with the characters of a text, in words, each with its line.

    Refused are control and format characters (zero-width, bidirectional marks), letters that are not NFC, and words
    that mix Latin letters with those of another alphabet that look like them.

    >>> list(lookalikes("a\u200bb"))
    ['line 1: U+200B ZERO WIDTH SPACE, which nobody sees: take it out']
    """
    for number, line in enumerate(text.split("\n"), 1):
        for character in sorted({one for one in line if one not in _ALLOWED}):
            if unicodedata.category(character) in _UNSEEN:
                name = unicodedata.name(character, "no character")
                yield f"line {number}: U+{ord(character):04X} {name}, which nobody sees: take it out"
        if not unicodedata.is_normalized("NFC", line):
            yield f"line {number}: letters and accents apart (not NFC): save the text in Unicode's form NFC"
        for word in _WORD.findall(line):
            found = sorted({one for one in word if one in _ALIKE})
            if found and any("LATIN" in unicodedata.name(one, "") for one in word):
                names = ", ".join(unicodedata.name(one) for one in found)
                yield f"line {number}: {word!r:.60} mixes alphabets ({names}): spell it in one"
