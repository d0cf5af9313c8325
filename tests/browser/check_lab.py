"""Every notebook in JupyterLab: run from nothing, and every control moves its picture."""

import json
import re

import pytest

from hw1lib.show.running import PROGRESS_BAR

MINUTE = 60_000  # milliseconds

# What the notebook's model says of each code cell
STATE = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter((cell) => cell.type === "code" && cell.sharedModel.source.trim())
  .map((cell) => {
    const { source, execution_count, outputs } = cell.toJSON();
    const data = outputs.map((output) => output.data || {});
    const text = (value) => [value].flat().join("");
    const errors = outputs.filter((output) => output.output_type === "error");
    return {
      count: execution_count,
      widgets: data.filter((d) => d["application/vnd.jupyter.widget-view+json"])
        .map((d) => text(d["text/plain"])),
      steps: data.some((d) => text(d["text/html"]).includes('class="steps"')),
      pictures: data.filter((d) => Object.keys(d).some((k) => k.startsWith("image/"))).length,
      errors: errors.map((error) => `${error.ename}: ${error.evalue} in ${text(source)}`),
    };
  })"""

# What a cell shows beside its controls: text, and pictures by their content
SHOWN = """(control) => {
  const cell = control.closest(".jp-Cell").querySelector(".jp-Cell-outputWrapper").cloneNode(true);
  const controls = ".widget-slider, .widget-dropdown, .widget-checkbox, .widget-toggle-buttons";
  cell.querySelectorAll(`${controls}, .steps label`).forEach((e) => e.remove());
  return cell.textContent + [...cell.querySelectorAll("img")].map((img) => img.src).join();
}"""
KINDS = (".noUi-handle", "select", ".widget-checkbox input", ".steps input")
KINDS += (".widget-toggle-buttons button:not(.mod-active)",)
CONTROLS = ", ".join(f".jp-OutputArea {kind}" for kind in KINDS)


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(MINUTE)
    yield page
    context.close()


HIDDEN = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((cell) => cell.isHidden).map((cell) => cell.model.getMetadata("tags"))"""


def open_and_run(page, address):
    """Open a notebook, clear it, run it through the menu; return its cells' states."""
    page.goto(address)
    page.locator(".jp-Notebook").first.wait_for()
    page.get_by_text("| Idle", exact=False).first.wait_for()
    for command in ("clear-all-cell-outputs", "expand-all-headings"):
        page.evaluate(f"() => window.jupyterapp.commands.execute('notebook:{command}')")
    assert all(cell["count"] is None for cell in page.evaluate(STATE))
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    done = "cells.some((c) => c.errors.length) || cells.every((c) => c.count !== null)"
    condition = f"() => {{ const cells = ({STATE})(); return {done}; }}"
    page.wait_for_function(condition, timeout=10 * MINUTE, polling=500)
    page.get_by_text("| Idle", exact=False).first.wait_for()
    return page.evaluate(STATE)


def move(page, control):
    """Change a control by one step, as with the keyboard or the mouse."""
    if control.evaluate("(e) => e.tagName") == "SELECT":
        other = "(e) => [...e.options].findIndex((option) => !option.selected)"
        control.select_option(index=control.evaluate(other))
    elif control.get_attribute("type") == "range":  # JupyterLab keeps the keys for its cells
        box, at_end = control.bounding_box(), control.evaluate("(e) => e.value === e.max")
        control.click(position={"x": 3 if at_end else box["width"] - 3, "y": box["height"] / 2})
    elif "noUi-handle" in (control.get_attribute("class") or ""):
        control.focus()
        at_end = control.evaluate("(e) => e.ariaValueNow === e.ariaValueMax")
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    else:
        control.click()


def test_a_notebook_runs_in_jupyterlab_and_its_controls_work(lab, page, faint, path):
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    cells = open_and_run(page, lab(path.name))
    assert [cell["errors"] for cell in cells if cell["errors"]] == []
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    pictures = page.locator(".jp-OutputArea-output img")
    drawn = (
        "(all) => all.every((image) => image.complete && image.naturalWidth && image.clientWidth)"
    )
    assert pictures.count() >= sum(cell["pictures"] for cell in cells)
    assert pictures.evaluate_all(drawn)
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.evaluate(faint) == []

    controls = page.locator(CONTROLS).element_handles()
    moving = [not all(map(PROGRESS_BAR.search, c["widgets"])) or c["steps"] for c in cells]
    assert bool(controls) == any(moving)
    for control in controls:
        control.scroll_into_view_if_needed()
        before = control.evaluate(SHOWN)
        move(page, control)
        changed = f"([control, before]) => ({SHOWN})(control) !== before"
        page.wait_for_function(changed, arg=[control, before])
    assert [cell["errors"] for cell in page.evaluate(STATE) if cell["errors"]] == []
    assert page.locator(".jp-OutputArea .jp-RenderedText[data-mime-type*=error]").count() == 0
    assert failures == []


def test_answers_are_folded_until_one_opens_them(lab, page):
    page.goto(lab("09_answers.ipynb"))
    page.get_by_text("| Idle", exact=False).first.wait_for()
    hidden = page.evaluate(HIDDEN)
    assert len(hidden) > 100
    assert all("answer" in tags for tags in hidden)
    page.locator(".jp-showHiddenCellsButton").first.click()
    page.wait_for_function(f"(count) => ({HIDDEN})().length < count", arg=len(hidden))


TO_THE_END = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content;
  return cells.scrollToItem(cells.widgets.length - 1);
}"""


@pytest.fixture
def as_users_have_it(lab, page):
    """Let JupyterLab draw the cells in sight alone, which is its default."""
    address, token = lab("").split("/lab/tree/")[0], lab("").rpartition("token=")[2]
    settings = f"{address}/lab/api/settings/@jupyterlab/notebook-extension:tracker?token={token}"
    for mode in ("full", "none"):
        raw = json.dumps({"raw": json.dumps({"windowingMode": mode})})
        assert page.request.put(settings, data=raw).ok
        if mode == "full":
            yield


def test_the_first_click_on_an_answer_s_link_lands_on_it(lab, page, as_users_have_it):
    page.goto(lab("02_regression.ipynb"))
    page.get_by_text("| Idle", exact=False).first.wait_for()
    page.evaluate(TO_THE_END)
    page.locator("a[href*='Answer-02-4']").click()
    page.wait_for_function(
        """() => [...document.querySelectorAll("h3")].some((heading) => {
          const { top, bottom } = heading.getBoundingClientRect();
          return heading.textContent.startsWith("Answer 02.4") && top > 0 && bottom < innerHeight;
        })"""
    )
