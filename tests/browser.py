"""A headless Chromium without network, for pages and for a JupyterLab on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    # Nothing but this machine resolves and the only proxy is a closed port: any request to
    # elsewhere fails, and is logged.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--proxy-server=http://127.0.0.1:9",
)


class Browser:
    """What the tests do with a page."""

    def __init__(self, driver: str, chromium: str, profile: Path):
        options = ChromeOptions()
        options.binary_location = chromium
        for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = Chrome(options=options, service=Service(driver))

    def open(
        self, page: str | Path, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        """Open an address or a file at a size in CSS pixels; narrow ones are phones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        self._driver.get(page.as_uri() if isinstance(page, Path) else page)
        self.wait("document.readyState === 'complete'")

    def devtools(self, command: str, **params: Any) -> Any:
        return self._driver.execute_cdp_cmd(command, params)

    def run(self, script: str, *args: Any) -> Any:
        return self._driver.execute_script(script, *args)

    def press(self, *keys: str) -> None:
        """Press keys as a reader would, wherever the focus is."""
        self._driver.switch_to.active_element.send_keys(*keys)

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true."""
        WebDriverWait(self._driver, seconds, poll_frequency=0.1).until(
            lambda driver: driver.execute_script(f"return Boolean({condition})"), condition
        )

    def log(self) -> list[dict[str, Any]]:
        """What the console said since it was last asked."""
        return self._driver.get_log("browser")

    def screenshot(self, path: Path) -> None:
        self._driver.get_screenshot_as_file(str(path))

    def close(self) -> None:
        self._driver.quit()


def installed() -> tuple[str, str] | None:
    """Paths of chromedriver and Chromium, if both are there."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (driver, chromium) if driver and chromium else None


@contextmanager
def start(profile: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own; it is closed at the end.

    Raises
    ------
    FileNotFoundError
        If Chromium or chromedriver is missing.
    """
    found = installed()
    if found is None:
        raise FileNotFoundError("Chromium and chromedriver are not both installed")
    running = Browser(*found, profile)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a running Chromium, or skip."""
    if installed() is None:
        pytest.skip("Chromium and chromedriver are not both installed")
    with start(tmp_path_factory.mktemp("profile")) as running:
        yield running
