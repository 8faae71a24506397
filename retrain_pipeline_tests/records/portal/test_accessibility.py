"""Every kind of page, asked by axe-core in a real browser: WCAG 2.1 A and AA, light and dark, wide and on a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain_pipeline.records.portal import making

pytestmark = pytest.mark.slow

STANDARD = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
SCREENS = {
    "wide": {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    "phone": {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
}
NO_PAGES = {"base", "parts", "about"}
"""Templates that are parts of pages."""
# What axe-core cannot tell of pictures: 4.5 to 1 for text on its own box, 3 to 1 for lines that carry meaning.
PICTURES = """
const bad = [];
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => {
    const part = one / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ask = (what, one, two, least) => {
  const [a, b] = [one, two].map(light).sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < least) bad.push(`${what}: ${one} on ${two}`);
};
const sheet = (node) => {
  for (let one = node; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/rgba\\(.*, 0\\)/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
for (const box of document.querySelectorAll('.diagram .box')) {
  const rect = getComputedStyle(box.querySelector('rect'));
  for (const text of box.querySelectorAll('text')) ask('text of a box', getComputedStyle(text).fill, rect.fill, 4.5);
  ask('edge of a box', rect.stroke, sheet(box.closest('svg').parentElement), 3);
}
for (const line of document.querySelectorAll('.spark path:not(.dot)'))
  ask('line', getComputedStyle(line).stroke, sheet(line.closest('svg').parentElement), 3);
for (const dot of document.querySelectorAll('.spark .dot'))
  ask('dot', getComputedStyle(dot).stroke, sheet(dot.closest('svg').parentElement), 3);
return bad;
"""


def kind_of(page: str) -> str:
    """Return the template that a page is made from, by its path."""
    parts = page.removesuffix(".html").split("/")
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 3:
        return "model" if parts[2] == "index" else parts[2]
    of_record = "decision" if parts[3].startswith("decision-") else "record"
    return {"v": "version", "e": "evidence", "t": "moment", "r": of_record}[parts[2]]


def of_each_kind(site: Path) -> dict[str, str]:
    """Return a page of every kind by its path: that which has the most in it, of models and of hostile text alike."""
    pages = {file.relative_to(site).as_posix(): file.stat().st_size for file in site.rglob("*.html")}
    largest = {(kind_of(one), "loans" in one): one for one, _ in sorted(pages.items(), key=lambda two: two[1])}
    return {page: kind for (kind, _), page in sorted(largest.items())}


@pytest.fixture
def screen(browser) -> Iterator["object"]:
    """Sets the size of the screen and the colours that its user likes; as they were at the end."""

    def of(size: str, scheme: str) -> None:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREENS[size])
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    yield of
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(browser) -> list[str]:
    """Return what axe-core finds on the page that is open."""
    from selenium_axe_python import Axe

    axe = Axe(browser)
    axe.inject()
    found = axe.run(options=STANDARD)
    assert len(found["passes"]) > 5, "the rules were asked"
    return [f"{one['id']}: {two['html'][:200]}" for one in found["violations"] for two in one["nodes"]]


def test_a_page_of_every_template_is_looked_at(site):
    templates = {file.name.removesuffix(".html.j2") for file in (Path(making.__file__).parent / "templates").iterdir()}
    assert set(of_each_kind(site).values()) == templates - NO_PAGES


@pytest.mark.requirement("A33")
@pytest.mark.parametrize("size", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_kind_of_page_violates_wcag(browser, site, screen, size, scheme):
    screen(size, scheme)
    for page in of_each_kind(site):
        browser.get((site / page).as_uri())
        assert violations(browser) == [], page
        assert browser.execute_script(PICTURES) == [], page


def test_what_violates_wcag_is_found(browser, site, screen):
    screen("wide", "light")
    browser.get((site / "m" / "bikes" / "lineage.html").as_uri())
    browser.execute_script(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\"><input type=text>"
        '<p class=pale>pale</p><a href="#main"></a>\');'
        "document.querySelector('.pale').style.color = '#bbb';"
        "document.documentElement.removeAttribute('lang');"
        "document.querySelectorAll('.diagram').forEach((one) => one.setAttribute('role', 'img'));"
        "document.querySelector('.diagram .box text').style.fill = '#ddd'"
    )
    found = {one.partition(":")[0] for one in violations(browser)}
    assert {"image-alt", "label", "color-contrast", "link-name", "html-has-lang", "nested-interactive"} <= found
    assert any(one.startswith("text of a box") for one in browser.execute_script(PICTURES))
