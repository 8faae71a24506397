"""Chromium without a window: where it is, and how it is started."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MISSING = "no chromium and chromedriver in PATH or /usr/bin: apt-get install chromium chromium-driver"


def chromium() -> tuple[str, str] | None:
    """Return the paths of browser and driver; None where one is missing."""
    browser = _found("chromium", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
    driver = _found("chromedriver", "/usr/bin/chromedriver", "/usr/lib/chromium/chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def started(paths: tuple[str, str]) -> Iterator["Chrome"]:
    """Start the browser, and end it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    switches = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run")
    for switch in (*switches, "--disable-background-networking", "--window-size=1200,900"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(paths[1]))
    browser.set_page_load_timeout(60)
    try:
        yield browser
    finally:
        browser.quit()


def _found(name: str, *places: str) -> str | None:
    return shutil.which(name) or next((place for place in places if Path(place).exists()), None)
