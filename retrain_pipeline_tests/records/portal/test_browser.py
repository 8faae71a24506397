"""The portal in a real browser: search, facets, links, hostile text, the network, a phone, paper and a keyboard."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from retrain_pipeline.records.portal import searching
from retrain_pipeline.records.portal.build import build_portal

pytestmark = pytest.mark.slow

RULES = """
const bad = [];
const say = (words, node) => bad.push(words + ': ' + (node ? node.outerHTML.slice(0, 120) : ''));
if (!document.documentElement.lang) say('no language');
if (!document.title.trim()) say('no title');
for (const name of ['main', 'header', 'footer'])
  if (document.querySelectorAll(name).length !== 1) say('not one ' + name);
if (document.querySelectorAll('h1').length !== 1) say('not one h1');
let last = 0;
for (const one of document.querySelectorAll('h1, h2, h3, h4')) {
  if (one.closest('[hidden]')) continue;
  const level = Number(one.tagName[1]);
  if (level > last + 1) say('heading jumps from ' + last, one);
  if (!one.textContent.trim()) say('empty heading', one);
  last = level;
}
for (const one of document.querySelectorAll('a'))
  if (!one.textContent.trim() || !one.getAttribute('href')) say('link without text or place', one);
for (const one of document.querySelectorAll('svg[role=img]'))
  if (!one.getAttribute('aria-label')) say('picture without words', one);
for (const one of document.querySelectorAll('img')) if (!one.alt) say('image without words', one);
for (const one of document.querySelectorAll('input'))
  if (!one.labels.length && !one.getAttribute('aria-label')) say('field without label', one);
for (const one of document.querySelectorAll('nav'))
  if (!one.getAttribute('aria-label')) say('navigation without a name', one);
for (const one of document.querySelectorAll('.scroll'))
  if (one.tabIndex !== 0 || !one.getAttribute('aria-label')) say('a region that keys do not reach', one);
const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
if (new Set(ids).size !== ids.length) say('one id twice ' + ids.filter((one, at) => ids.indexOf(one) !== at)[0]);
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => {
    const part = one / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (node) => {
  for (let one = node; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/rgba\\(.*, 0\\)/.test(colour) && colour !== 'transparent') return colour;
  }
  return 'rgb(255, 255, 255)';
};
const seen = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || node.closest('svg, [hidden], .skip, .unseen')) continue;
  const pair = getComputedStyle(node).color + ' on ' + ground(node);
  if (seen.has(pair)) continue;
  seen.add(pair);
  const [a, b] = pair.split(' on ').map(light).sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) say('contrast of ' + pair, node);
}
return bad;
"""


def searched(browser) -> list:
    """Return the results once every part of what is searched was read."""

    def all_read(_) -> bool:
        told = browser.find_element(By.CSS_SELECTOR, "[data-search-count]").text
        return re.fullmatch(r"\d+ found(, the first 50 are shown)?", told) is not None

    missing = (NoSuchElementException, StaleElementReferenceException)
    WebDriverWait(browser, 20, ignored_exceptions=missing).until(all_read)
    return browser.find_elements(By.CSS_SELECTOR, "[data-search-results] a")


def open_page(browser, site: Path, name: str, query: str = "") -> None:
    browser.get((site / name).as_uri() + query)


def pages(site: Path) -> list[str]:
    return sorted(file.relative_to(site).as_posix() for file in site.rglob("*.html"))


def version_pages(site: Path, model: str) -> list[str]:
    return [name for name in pages(site) if name.startswith(f"m/{model}/v/")]


@pytest.mark.requirement("A22", "A33")
def test_search_finds_what_is_on_record_and_leads_there(browser, site):
    open_page(browser, site, "index.html")
    field = browser.find_element(By.ID, "q")
    field.send_keys("odd scores night")
    assert searched(browser), "the reason of a rollback is found"
    field.clear()
    field.send_keys("corners")
    (hit,) = searched(browser)
    assert hit.text == "A tree", "the text of a decision's file is found"
    assert browser.find_element(By.CSS_SELECTOR, "[data-search-results] mark").text == "corners"
    hit.click()
    assert browser.find_element(By.TAG_NAME, "h1").text == "A tree"
    assert "/r/decision-" in browser.current_url
    field = browser.find_element(By.ID, "q-top")
    field.send_keys("zebra", Keys.ENTER)
    assert searched(browser) == []


@pytest.mark.requirement("A33")
def test_facets_filter_the_models(browser, site):
    open_page(browser, site, "index.html")

    def shown() -> list[str]:
        items = browser.find_elements(By.CSS_SELECTOR, "[data-item]")
        return [item.find_element(By.TAG_NAME, "h3").text for item in items if item.is_displayed()]

    assert shown() == ["bikes", "loans"]
    names = {one.get_attribute("data-facet") for one in browser.find_elements(By.CSS_SELECTOR, "[data-facet]")}
    assert names == {"problem domain", "data source", "model type", "evaluation criterion"}
    box = browser.find_element(By.CSS_SELECTOR, "[data-facet='problem domain'][value='credit']")
    box.click()
    assert shown() == ["loans"]
    box.click()
    browser.find_element(By.CSS_SELECTOR, "[data-facet='model type'][value='trees']").click()
    assert shown() == ["bikes"]
    open_page(browser, site, "m/bikes/decisions.html")
    browser.find_element(By.CSS_SELECTOR, "[data-facet='kind'][value='optimizer']").click()
    items = [one for one in browser.find_elements(By.CSS_SELECTOR, "[data-item]") if one.is_displayed()]
    assert ["A deeper tree" in one.text for one in items] == [True]


@pytest.mark.requirement("A12", "A8")
def test_every_link_leads_to_a_page_and_every_anchor_is_there(browser, site):
    ids: dict[str, set[str]] = {}
    wanted: list[tuple[str, str, str]] = []
    for name in pages(site):
        open_page(browser, site, name)
        found = browser.execute_script(
            "return [[...document.querySelectorAll('[id]')].map(one => one.id),"
            "[...document.querySelectorAll('a[href], link[href], script[src], form[action], svg a')]"
            ".map(one => one.href && one.href.baseVal !== undefined ? new URL(one.href.baseVal, document.baseURI).href"
            " : one.href || one.src || one.action)]"
        )
        ids[name] = set(found[0])
        wanted += [(name, *urlsplit(link)[2:5:2]) for link in found[1] if link.startswith("file:")]
        outside = [link for link in found[1] if not link.startswith(("file:", "data:"))]
        # what people wrote may lead elsewhere, by http(s) alone, and only when somebody follows it
        assert not outside or "/r/decision-" in name, (name, outside)
        assert all(link.startswith(("https://example.org", "http://example.invalid")) for link in outside), outside
    assert len(wanted) > 500
    for name, path, anchor in wanted:
        file = Path(unquote(path))
        assert file.is_file(), f"{name} leads to {path}, which is not there"
        if anchor:
            there = ids[file.relative_to(site).as_posix()]
            assert anchor in there or unquote(anchor) in there, f"{name}: {path} has no place {anchor}"
    reached, open_ones = {"index.html"}, ["index.html"]
    while open_ones:
        here = open_ones.pop()
        for name, path, _ in wanted:
            if name == here and path.endswith(".html"):
                target = Path(unquote(path)).relative_to(site).as_posix()
                if target not in reached:
                    reached.add(target)
                    open_ones.append(target)
    assert reached == set(pages(site)), "every page is reached from the first"


@pytest.mark.fault("S6", "S7", "I34", "I47")
def test_hostile_text_is_text_and_nothing_leaves_the_machine(browser, site):
    browser.get_log("performance")
    browser.get_log("browser")
    for name in pages(site):
        open_page(browser, site, name)
        assert browser.execute_script("return window.hit === undefined && !document.querySelector('img')"), name
        assert not browser.execute_script(
            "return [...document.querySelectorAll('*')].some(one => [...one.attributes].some("
            "a => /^on/i.test(a.name) || /^\\s*javascript:/i.test(a.value)))"
        ), name
    open_page(browser, site, "index.html", "?q=%3Cscript%3E")
    assert searched(browser), "hostile text is found as text"
    assert browser.execute_script("return window.hit === undefined && document.querySelectorAll('img').length === 0")
    for name in version_pages(site, "loans"):
        open_page(browser, site, name)
        text = browser.find_element(By.TAG_NAME, "main").text
        assert "<script>window.hit=1</script>" in text
        assert "{{7*7}}{% raw %}" in text
        assert "=cmd|' /C calc'!A0" in text
        assert "⟨U+202E⟩gnp.exe⟨U+2066⟩" in text
        assert "lovelace@example.org" not in text
        assert "4111" not in text
    asked = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert len(urls) > len(pages(site))
    assert [url for url in urls if not url.startswith(("file:", "data:"))] == []
    assert [one["message"] for one in browser.get_log("browser")] == []


@pytest.mark.fault("S6")
def test_the_content_policy_stops_what_escaping_might_let_through(browser, site, tmp_path):
    page = (site / "index.html").read_text()
    assert "default-src 'none'" in page
    attack = "<img src='http://127.0.0.1:9/x.png'><script>window.hit=1</script><svg onload='window.hit=1'></svg>"
    bad = site / "attacked.html"
    bad.write_text(page.replace("<h1>", f"{attack}<h1>"))
    try:
        browser.get(bad.as_uri())
        assert browser.execute_script("return window.hit === undefined")
        said = " ".join(one["message"] for one in browser.get_log("browser"))
        assert said.count("Content Security Policy") >= 3
    finally:
        bad.unlink()


def test_a_phone_never_scrolls_sideways(browser, site):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for name in pages(site):
            open_page(browser, site, name)
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= 360, f"{name} is {wide} wide"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_page_prints_without_what_only_a_screen_needs(browser, site):
    open_page(browser, site, version_pages(site, "bikes")[0])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        for hidden in (".top", ".tabs"):
            assert not browser.find_element(By.CSS_SELECTOR, hidden).is_displayed()
        assert browser.find_element(By.TAG_NAME, "table").is_displayed()
        assert len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 10_000
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_keeps_the_rules_of_accessibility(browser, site, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        for name in pages(site):
            open_page(browser, site, name)
            assert browser.execute_script(RULES) == [], name
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_rules_find_what_breaks_them(browser, site):
    open_page(browser, site, "topics.html")
    browser.execute_script(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<h4>x</h4><a href=\"#\"></a><input>"
        "<nav></nav><p class=hint>pale</p>'); document.querySelector('p.hint').className = 'brand'"
    )
    found = " ".join(browser.execute_script(RULES))
    for words in ("heading jumps", "link without text", "field without label", "navigation without a name"):
        assert words in found


def test_the_keyboard_reaches_the_content_and_the_date_leads_to_its_moment(browser, site):
    open_page(browser, site, "m/bikes/moments.html")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("class") == "skip"
    days = [one.get_attribute("data-at") for one in browser.find_elements(By.CSS_SELECTOR, "[data-at]")]
    browser.execute_script("document.getElementById('day').value = arguments[0]", days[0])
    browser.find_element(By.CSS_SELECTOR, "[data-moments] button").click()
    assert re.search(r"/t/\d+\.html$", browser.current_url)


def test_what_a_line_says_in_colour_it_says_in_shape_too(browser, site):
    open_page(browser, site, "m/bikes/index.html")
    shapes = browser.execute_script(
        "return [...document.querySelectorAll('.spark .dot')].map((one) => [one.classList[1], "
        "getComputedStyle(one).strokeLinecap])"
    )
    assert {tuple(one) for one in shapes} == {("pass", "round"), ("fail", "square")}
    open_page(browser, site, "m/loans/index.html")
    bars = browser.execute_script(
        "return [...document.querySelectorAll('.spark .dot')].map((one) => [one.classList[1] || '', "
        "one.getTotalLength()])"
    )
    assert sorted((kind, length > 0) for kind, length in bars) == [("", False), ("open", True), ("pass", False)]


def test_search_reads_its_parts_when_somebody_searches_and_tells_of_one_that_is_lost(
    browser, made, tmp_path, monkeypatch
):
    stores, _ = made
    monkeypatch.setattr(searching, "PART", 3)
    build_portal(stores, tmp_path / "site")
    parts = sorted(tmp_path.glob("site/m/*/search-*.js"))
    assert len(parts) > 4
    browser.get_log("performance")
    open_page(browser, tmp_path / "site", "index.html")
    asked = "".join(one["message"] for one in browser.get_log("performance"))
    assert "search.js" in asked
    assert "search-1.js" not in asked, "who does not search reads none of it"
    field = browser.find_element(By.ID, "q")
    field.send_keys("corners")
    (hit,) = searched(browser)
    assert hit.text == "A tree", "in the oldest part of its model"
    open_page(browser, tmp_path / "site", "index.html", "?q=bikes")
    found = [hit.text for hit in searched(browser)]
    assert len(found) == len(set(found)) + 1, "one run has two deviations; nothing else is found twice"
    for part in parts:
        part.unlink()
    open_page(browser, tmp_path / "site", "index.html", "?q=bikes")
    count = browser.find_element(By.CSS_SELECTOR, "[data-search-count]")
    WebDriverWait(browser, 20).until(lambda _: "so far" not in count.text)
    assert count.text == f"0 found; {len(parts)} parts of the site could not be read"
