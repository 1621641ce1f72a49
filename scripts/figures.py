"""Makes the pictures of the pages: curves, a timeline, and screenshots of TensorBoard and of the site in Chromium.

    python scripts/figures.py --comparison runs/latest --run runs/KeyToDoor-v0_PPO_lrp_1 --seed 1 --site

The comparison is that of `rudder-lrp compare`, the run one of `rudder-lrp train --env rudder_lrp/KeyToDoor-v0`. Needs
Chromium with its driver, and `pip install "rudder-lrp[browser,docs]"`.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import tyro
from selenium import webdriver

from rudder_lrp.cli.explain import Explain, explain
from studies.comparison_report import RECORD, comparison
from studies.drawing import reduce
from studies.pages import fill

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
_WINDOW = (1280, 800)


@dataclass(frozen=True)
class Options:
    """Make the pictures of the pages."""

    comparison: Path | None = None
    """Folder of a comparison; its curves, its numbers and its TensorBoard go to the page Start."""
    run: Path | None = None
    """Folder of a run with credit; one of its episodes goes to the page on how credit works."""
    seed: int = 0
    """Of that episode."""
    site: bool = False
    """Whether to build the site and look at it."""
    seconds: float = 25.0
    """How long a page in the browser gets to load."""


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a window of 1280 x 800."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={_WINDOW[0]},{_WINDOW[1]}"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver") or ""))
    try:
        driver.set_window_size(_WINDOW[0], _WINDOW[1] + 139)  # what a headless window counts as its frame
        yield driver
    finally:
        driver.quit()


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """TensorBoard on a folder; its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://localhost:{port}/")
        yield f"http://localhost:{port}/"
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str) -> None:
    for _ in range(240):
        try:
            urlopen(address).close()
        except URLError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(f"{address} did not answer in two minutes")


def look_at_tensorboard(folder: Path, seconds: float) -> None:
    """Screenshots of a comparison: the timelines, the charts that belong together, the guide."""
    with tensorboard(folder) as address, browser() as driver:
        for name, tab in (("images", "images"), ("charts", "custom_scalars"), ("guide", "text")):
            driver.get(f"{address}?darkMode=false#{tab}")
            driver.refresh()
            time.sleep(seconds)
            driver.save_screenshot(FIGURES / f"start_tensorboard{'' if name == 'images' else '_' + name}.png")


def look_at_site(seconds: float) -> None:
    """A screenshot of the first page and of one of the API."""
    with tempfile.TemporaryDirectory() as site:
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", site], cwd=ROOT, check=True)
        with browser() as driver:
            for name, page in (("site", "index.html"), ("site_api", "api/learn.html")):
                driver.get(f"file://{site}/{page}")
                time.sleep(seconds / 5)
                driver.save_screenshot(FIGURES / f"{name}.png")


def tell_of_comparison(folder: Path) -> None:
    """Put curves and numbers of a comparison on the page Start, and its record among the results."""
    shutil.copy(folder / "curves.png", FIGURES / "start_curves.png")
    record = json.loads((folder / "comparison.json").read_text())
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    page = ROOT / "docs" / "index.md"
    page.write_text(fill(page.read_text(), {"compare": comparison()}))


def main(options: Options) -> None:
    """Make what was asked for."""
    if options.comparison is not None:
        tell_of_comparison(options.comparison)
        look_at_tensorboard(options.comparison, options.seconds)
    if options.run is not None:
        explain(Explain(run=options.run, seed=options.seed, output=FIGURES / "credit_timeline.png"))
    if options.site:
        look_at_site(options.seconds)
    for picture in FIGURES.glob("*.png"):
        reduce(picture)


if __name__ == "__main__":
    main(tyro.cli(Options))
