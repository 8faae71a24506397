"""What people wrote in a decision file, in its sections."""

import re

_FENCE = "---\n"
_HEADING = re.compile(r"(#{1,3}) (.+?)\s*")
_CODE = re.compile(r" {0,3}(```|~~~)")


def sections_of(text: str) -> list[list[str]]:
    r"""Return (heading, Markdown) of a decision file in order, without its front matter and title.

    A heading inside a code block is none. Text before the first heading is a section without one.

    Examples
    --------
    >>> sections_of("---\nid: a\n---\n# Title\n\n## Why\nBecause.\n")
    [['Why', 'Because.']]
    """
    if text.startswith(_FENCE):
        text = text.removeprefix(_FENCE).partition(f"\n{_FENCE}")[2]
    found, code = [["", ""]], ""
    for line in text.splitlines():
        fence = _CODE.match(line)
        if fence:
            code = "" if code == fence[1] else code or fence[1]
        heading = _HEADING.fullmatch(line) if not code else None
        if heading is None:
            found[-1][1] += f"{line}\n"
        elif len(heading[1]) > 1:
            found.append([heading[2], ""])
    told = [[heading, body.strip()] for heading, body in found]
    return [one for one in told if one[1]]
