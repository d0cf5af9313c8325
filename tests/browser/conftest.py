"""A browser, and a JupyterLab on temporary copies of the notebooks."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from hw1lib.show.report import NOTEBOOK_NAMES

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob(NOTEBOOK_NAMES))
# Words in drawings that are hard to read on the ground they stand on, unless a shape lies between
FAINT = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = (e) => {
    const box = e.getBoundingClientRect();
    e.scrollIntoView({ block: "center" });
    const { x, y, width, height } = e.getBoundingClientRect();
    const under = document.elementsFromPoint(x + width / 2, y + height / 2);
    if (!box.width || under.some((u) => u.matches("rect, path, circle, polygon"))) return false;
    const [a, b] = [light(getComputedStyle(e).fill), light(ground(e))].sort((p, q) => q - p);
    return (a + 0.05) / (b + 0.05) < 3;
  };
  return [...document.querySelectorAll("svg text")].filter(faint).map((e) => e.textContent);
}"""
SETTINGS = {
    "config/labconfig/page_config.json": {  # no question about news, which come from the network
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}
    },
    "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {
        "windowingMode": "none"
    },
    "settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings": {
        "theme": "JupyterLab Dark"  # what is drawn must be seen there, too
    },
}


def pytest_generate_tests(metafunc):
    """Run a test that asks for a path once for each notebook."""
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", PATHS, ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def notebooks():
    return PATHS


@pytest.fixture(scope="session")
def faint():
    return FAINT


def missing(what: str):
    """Skip with the reason; in CI, where it must be there, fail."""
    fail = os.environ.get("CI", "").lower() == "true"
    (pytest.fail if fail else pytest.skip)(what)


@pytest.fixture(scope="session")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        missing(f"there is none of {', '.join(names)}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is missing: pip install -r tests/browser/requirements.txt")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with playwright.chromium.launch(executable_path=chromium, args=arguments) as browser:
            yield browser


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """Start JupyterLab on copies of the notebooks; return a function of a name to its address."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for path in PATHS:
        shutil.copy(path, folder / "notebooks")
    for name, content in SETTINGS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(), folder / "log.txt"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--LabApp.expose_app_in_browser=True", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder / 'notebooks'}"]
    places = {"config": "JUPYTER_CONFIG_DIR", "settings": "JUPYTERLAB_SETTINGS_DIR"}
    places |= {"workspaces": "JUPYTERLAB_WORKSPACES_DIR", "runtime": "JUPYTER_RUNTIME_DIR"}
    environment = os.environ | {name: str(folder / place) for place, name in places.items()}
    base = f"http://127.0.0.1:{port}"
    with log.open("w") as file:
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        for _ in range(240):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{base}/api?token={token}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield lambda name: f"{base}/lab/tree/{name}?reset&token={token}"
    finally:
        server.terminate()  # it shuts its kernels down
        server.wait(30)
