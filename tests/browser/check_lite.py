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
everything = pytest.mark.skipif(not os.environ.get("HW1_LITE_ALL"), reason="make test-lite")
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
    pictures: outputs.map((o) => o.data?.["image/png"] ?? o.data?.["image/jpeg"]).filter(Boolean),
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
    """Open a page of a browser that reaches nothing but the site, as by an address without https.

    There is no service worker there, and a kernel can't see the files.
    """
    viewport = {"width": 1400, "height": 1000}
    context = browser.new_context(viewport=viewport)
    context.add_init_script("delete Navigator.prototype.serviceWorker")
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


def open_notebook(page, address):
    page.goto(address)
    page.locator(".jp-Notebook").first.wait_for()
    page.get_by_text("| Idle", exact=False).first.wait_for()


def command(page, name):
    page.evaluate(f"() => void window.jupyterapp.commands.execute('{name}')")


def run_first(page, source):
    """Put a cell before all others, and run it."""
    page.evaluate(
        """async (source) => {
          const { content } = window.jupyterapp.shell.currentWidget;
          content.model.sharedModel.insertCell(0, { cell_type: "code", source });
          content.activeCellIndex = 0;
          void window.jupyterapp.commands.execute("notebook:run-cell");
        }""",
        source,
    )


def run_all(page, address, minutes=15):
    """Open a notebook, clear it, run it; return what its cells say."""
    open_notebook(page, address)
    command(page, "notebook:clear-all-cell-outputs")
    command(page, "notebook:run-all-cells")
    done = f"() => {{ const s = ({STATE})(); return s.errors.length || !s.left; }}"
    page.wait_for_function(done, timeout=minutes * MINUTE, polling=500)
    return page.evaluate(STATE)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_without_an_error(site, page, name):
    said = run_all(page, f"{site}/lab/index.html?path={name}")
    assert said["errors"] == []
    assert all(re.match(r"iVBOR|/9j/", str(picture)) for picture in said["pictures"])  # base64
    harmless = re.compile(r"[^\r\n]*\r|Matplotlib is building the font cache.*")  # and bars
    assert [text for text in said["noise"] if harmless.sub("", text).strip()] == []
    assert "In the browser: 600 drawn faces" in said["text"][0]


def test_readme_s_example_says_what_it_says(site, page):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import numpy.*?)```", readme, re.DOTALL)
    open_notebook(page, f"{site}/lab/index.html?path=07_grad_q3.ipynb")
    run_first(page, example)
    said = f"() => ({STATE})().text.some((text) => text.includes('error on new rows'))"
    page.wait_for_function(said)
    assert "error on new rows: 0.03, of a guess: 0.63" in "".join(page.evaluate(STATE)["text"])


@everything
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_homework_s_checks_answer(site, page, number):
    said = run_all(page, f"{site}/lab/index.html?path=homework/question_{number}.ipynb")
    assert said["errors"] == []
    assert f"Question {number}: 0 of" in said["text"][-1]


def test_the_front_page_leads_to_every_notebook(site, page):
    page.goto(site)
    links = page.locator("li a").evaluate_all("(links) => links.map((link) => link.href)")
    paths = [link.partition("?path=")[2] for link in links]
    assert paths == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb")) + [
        f"homework/question_{number}.ipynb" for number in (1, 2, 3)
    ]
    assert all(page.request.get(f"{site}/files/{path}").ok for path in paths)


@everything
def test_a_cell_is_stopped_and_a_change_is_kept_and_taken_home(site, page):
    address = f"{site}/lab/index.html?path=07_grad_q3.ipynb"
    open_notebook(page, address)
    assert not page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.dirty")
    run_first(page, "while True:\n    pass")
    page.get_by_text("| Busy", exact=False).first.wait_for()
    command(page, "notebook:restart-kernel")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.get_by_text("| Idle", exact=False).first.wait_for()
    run_first(page, "print(6 * 7)  # mine")
    page.wait_for_function(f"() => ({STATE})().text.includes('42\\n')")
    # it saves by itself
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.content.model.dirty")
    page.goto("about:blank")
    open_notebook(page, address)
    with page.expect_download() as download:
        command(page, "docmanager:download")
    assert "print(6 * 7)  # mine" in Path(download.value.path()).read_text(encoding="utf-8")
