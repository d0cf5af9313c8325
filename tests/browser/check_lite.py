"""The browser edition in Chromium: nothing is fetched from elsewhere, and every cell runs.

``make lite`` builds it; HW1_LITE names another folder. HW1_LITE_ALL=1 runs all notebooks.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import missing

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("HW1_LITE") or ROOT / "lite" / "site")
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
if not os.environ.get("HW1_LITE_ALL"):
    NAMES = [name for name in NAMES if name[:2] in ("06", "07")]
MINUTE = 60_000  # ms
STATE = """() => {
  const { content, context } = window.jupyterapp.shell.currentWidget;
  const cells = [...content.model.cells].filter((cell) => cell.type === "code");
  const outputs = cells.flatMap((cell) => cell.toJSON().outputs);
  const of = (name) => outputs.filter((o) => o.name === name).map((o) => [o.text].flat().join(""));
  return {
    left: cells.filter((cell) => cell.sharedModel.source.trim() && !cell.executionCount).length,
    errors: outputs.filter((o) => o.output_type === "error").map((o) => o.traceback.join("\\n")),
    noise: of("stderr"),
    text: of("stdout"),
  };
}"""


@pytest.fixture(scope="module")
def site():
    if not (SITE / "lab" / "index.html").exists():
        missing(f"{SITE} is missing: make lite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", SITE]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    server.kill()


@pytest.fixture
def page(browser, site):
    """Open a page of a browser that reaches nothing but the site."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    asked = []
    context.route(
        lambda url: not url.startswith((site, "data:", "blob:")),
        lambda route: (asked.append(route.request.url), route.abort()),
    )
    page = context.new_page()
    page.set_default_timeout(3 * MINUTE)
    yield page
    context.close()
    assert asked == []


def run_all(page, address, minutes=15):
    """Open a notebook, clear it, run it; return what its cells say."""
    page.goto(address)
    page.locator(".jp-Notebook").first.wait_for()
    page.get_by_text("| Idle", exact=False).first.wait_for()
    for command in ("notebook:clear-all-cell-outputs", "notebook:run-all-cells"):
        page.evaluate(f"() => void window.jupyterapp.commands.execute('{command}')")
    done = f"() => {{ const s = ({STATE})(); return s.errors.length || !s.left; }}"
    page.wait_for_function(done, timeout=minutes * MINUTE, polling=500)
    return page.evaluate(STATE)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_without_an_error(site, page, name):
    said = run_all(page, f"{site}/lab/index.html?path={name}")
    assert said["errors"] == []
    harmless = re.compile(r"[^\r\n]*\r|Matplotlib is building the font cache.*")  # and bars
    assert [text for text in said["noise"] if harmless.sub("", text).strip()] == []
    assert "In the browser: 600 drawn faces" in said["text"][0]


def test_readme_s_example_says_what_it_says(site, page):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import numpy.*?)```", readme, re.DOTALL)
    page.goto(f"{site}/lab/index.html?path=07_grad_q3.ipynb")
    page.get_by_text("| Idle", exact=False).first.wait_for()
    page.evaluate(
        """async (source) => {
          const { content } = window.jupyterapp.shell.currentWidget;
          content.model.sharedModel.insertCell(0, { cell_type: "code", source });
          content.activeCellIndex = 0;
          void window.jupyterapp.commands.execute("notebook:run-cell");
        }""",
        example,
    )
    said = f"() => ({STATE})().text.some((text) => text.includes('error on new rows'))"
    page.wait_for_function(said)
    assert "error on new rows: 0.03, of a guess: 0.63" in "".join(page.evaluate(STATE)["text"])


@pytest.mark.skipif(not os.environ.get("HW1_LITE_ALL"), reason="make test-lite")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_homework_s_checks_answer(site, page, number):
    said = run_all(page, f"{site}/lab/index.html?path=homework/question_{number}.ipynb")
    assert said["errors"] == []
    assert f"Question {number}: 0 of" in said["text"][-1]
