"""The report's page in a browser: nothing is fetched, formulas are drawn, axe-core is content, it fits and prints."""

import json
import re

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from hw1lib.show import report

# HTML as the browser writes it
NORMALISED = "(html) => Object.assign(document.createElement('div'), { innerHTML: html }).innerHTML"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def file(tmp_path_factory, notebooks):
    """The page of the notebooks as they are stored."""
    page = report.to_html((nbformat.read(path, as_version=4) for path in notebooks), {"Data of this run": "as stored"})
    file = tmp_path_factory.mktemp("report") / "index.html"
    file.write_text(page, encoding="utf-8")
    return file


def load(browser, file, **options):
    """Open a page with the network watched and cut off."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.wanted, page.failures = [], []

    def watch(route):
        if route.request.url.startswith("data:") or route.request.url == file.as_uri():
            route.continue_()
        else:
            page.wanted.append(route.request.url)
            route.abort()

    context.route("**/*", watch)
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    page.on("console", lambda message: page.failures.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    return page


@pytest.fixture
def desktop(browser, file):
    page = load(browser, file, viewport={"width": 1440, "height": 900})
    yield page
    page.context.close()


@pytest.fixture
def phone(browser, file):
    page = load(browser, file, viewport=PHONE, has_touch=True, is_mobile=True)
    yield page
    page.context.close()


def unrendered(page):
    """Return formulas that are shown as they were typed."""
    return page.evaluate("""() => {
      const bad = [...document.querySelectorAll(".undrawn")];
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const raw = [];
      while (walk.nextNode()) {
        const inside = walk.currentNode.parentElement.closest("pre, code, script, style, .formula");
        if (!inside && /\\$|\\\\[a-zA-Z(\\[]/.test(walk.currentNode.data)) raw.push(walk.currentNode.data);
      }
      return [...bad.map((e) => e.outerHTML.slice(0, 300)), ...raw];
    }""")


def test_nothing_is_fetched_and_nothing_fails(desktop):
    desktop.keyboard.press("End")
    desktop.wait_for_load_state("networkidle")
    assert desktop.wanted == []
    assert desktop.failures == []


def test_every_formula_is_drawn_in_the_colour_of_the_text_at_its_size(desktop):
    drawn = desktop.evaluate("""() => [...document.querySelectorAll(".formula")].filter((f) => f.checkVisibility())
      .map((f) => [f.firstElementChild.getBoundingClientRect().height / parseFloat(getComputedStyle(f).fontSize),
       getComputedStyle(f.firstElementChild).fill === getComputedStyle(f.parentElement).color,
       [...f.querySelectorAll("use")].every((use) => document.getElementById(use.getAttribute("href").slice(1)))])""")
    assert len(drawn) > 100
    assert [one for one in drawn if not (0.4 < one[0] < 9 and one[1] and one[2])] == []
    assert unrendered(desktop) == []


def test_what_a_broken_formula_looks_like(browser, tmp_path):
    """The test above can fail: TeX that can't be drawn, dollars left over."""
    cells = [new_markdown_cell(f"# {text}") for text in (r"$\frac{1$", r"$x^2$", "5 $ apart")]
    file = tmp_path / "index.html"
    file.write_text(report.to_html([new_notebook(cells=cells)]), encoding="utf-8")
    page = load(browser, file)
    assert page.locator(".formula").count() == 1
    assert len(unrendered(page)) >= 2
    page.context.close()


@pytest.mark.parametrize("words", ["Fig. 2.12", "Table 3.5", "dL/dw21"])
def test_the_browsers_search_finds_what_the_report_calls_it(desktop, words):
    assert desktop.evaluate("(words) => find(words)", words)


def test_a_formula_is_copied_as_tex(desktop):
    copied = desktop.evaluate("""() => {
      getSelection().selectAllChildren(document.querySelector("p:has(.formula)"));
      const event = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), cancelable: true });
      dispatchEvent(event);
      return event.clipboardData.getData("text/plain");
    }""")
    assert r"$200 \times 200 \times 3 = 120{,}000$" in copied


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious(browser, file, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = load(browser, file, viewport={"width": width, "height": 844}, color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
    page.context.close()


def test_the_scheme_follows_the_system_until_it_is_switched(browser, file):
    page = load(browser, file, color_scheme="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light").press("Enter")
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    page.get_by_role("button", name="Dark").press("Enter")
    assert page.evaluate(ground) == dark
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.context.close()


def test_figures_and_tables_are_where_the_index_says(desktop):
    entries = desktop.evaluate("""() => [...document.querySelectorAll(".figures a")].map((a) => [a.textContent,
      !!document.getElementById(a.hash.slice(1)).closest("figure, table")])""")
    for number in (f"Fig. 2.{k}" for k in (1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 19, 20)):
        assert any(text.startswith(f"{number} ") for text, _ in entries), number
    for number in ("2.6", "2.10", "2.14", *(f"3.{k}" for k in range(1, 13)), "4.1"):
        assert any(text.startswith(f"Table {number} ") for text, _ in entries), number
    assert [text for text, shown in entries if not shown] == []


def test_every_picture_is_there_and_described(desktop, notebooks):
    pictures = desktop.evaluate(
        "() => [...document.images].map((i) => [i.complete, i.naturalWidth, i.clientWidth, i.alt.length])"
    )
    assert len(pictures) >= len(notebooks)
    assert [p for p in pictures if not (p[0] and p[1] > 50 and p[2] > 50 and p[3] > 10)] == []


def test_the_contents_lead_to_their_sections_and_follow_the_reader(desktop, notebooks):
    links = desktop.locator("nav .contents a")
    assert links.count() > 5 * len(notebooks)
    for i in (links.count() - 1, 1):
        target = links.nth(i).get_attribute("href")
        links.nth(i).evaluate("(e) => e.click()")
        top = desktop.evaluate("(id) => document.getElementById(id).getBoundingClientRect().top", target[1:])
        assert 0 <= top < 900
        desktop.wait_for_function("(link) => document.querySelector('nav [aria-current]').hash === link", arg=target)
    assert desktop.locator("nav [aria-current]").count() == 1


def test_code_can_be_put_away_with_the_keyboard(desktop):
    code = desktop.locator("details.code pre")
    assert code.first.is_visible()
    desktop.locator("details.code summary").first.focus()
    desktop.keyboard.press("Enter")
    assert not code.first.is_visible()
    assert code.nth(1).is_visible()
    button = desktop.get_by_role("button", name="Hide all code")
    button.focus()
    desktop.keyboard.press("Enter")
    assert desktop.locator("details.code[open]").count() == 0
    desktop.get_by_role("button", name="Show all code").press("Enter")
    assert desktop.locator("details.code:not([open])").count() == 0


def test_arrow_keys_move_every_slider_through_all_its_states(desktop):
    """What a state shows is what was stored: of each place of all sliders of a figure, another one."""
    figures = desktop.locator(".steps")
    assert figures.count() >= 2
    for i in range(figures.count()):
        figure = figures.nth(i)
        stored = json.loads(figure.locator("script").first.text_content())
        states = ["".join(stored["pieces"][piece] for piece in state) for state in stored["states"]]
        sizes = [len(labels) for _, labels, _ in stored["sliders"]]
        assert figure.locator("input").count() == len(sizes)
        assert not figure.locator("> div").nth(1).is_visible()  # those that stand still
        for at in (0, len(sizes) - 1):
            slider = figure.locator("input").nth(at)
            slider.press("Home")
            for place in range(sizes[at]):
                values = [int(value.input_value()) for value in figure.locator("input").all()]
                assert values[at] == place
                shown = figure.locator(".live > div").evaluate("(e) => e.innerHTML")
                assert shown == desktop.evaluate(NORMALISED, states[int(np.ravel_multi_index(values, sizes))])
                label = stored["sliders"][at][1][place]
                assert figure.locator("output").nth(at).text_content() == label
                assert slider.get_attribute("aria-valuetext") == label
                slider.press("ArrowRight")
            assert figure.locator(".live > div").evaluate("(e) => e.innerHTML") == shown  # at its end


def test_without_script_and_on_paper_some_states_stand_still(browser, desktop, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator(".steps").count() == desktop.locator(".steps").count()
    desktop.emulate_media(media="print")
    for shown in (page, desktop):
        for figure in shown.locator(".steps").all():
            still = figure.locator("> div:not(.live)")
            assert still.is_visible()
            assert still.locator("> div > div").count() >= 3
            assert not figure.locator("input").first.is_visible()
    context.close()


def test_the_keyboard_can_skip_the_contents(desktop):
    desktop.keyboard.press("Tab")
    assert desktop.evaluate("() => document.activeElement.className") == "skip"
    desktop.keyboard.press("Enter")
    assert desktop.evaluate("() => document.activeElement.id") == "report"


def test_it_fits_a_phone(phone):
    width = phone.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert width == [PHONE["width"], PHONE["width"]]
    cut = phone.evaluate("""() => [...document.querySelectorAll("main *")].filter((e) =>
      e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, pre, .formula, .output, .picture")
    ).map((e) => e.outerHTML.slice(0, 200))""")
    assert cut == []
    wide = phone.evaluate("""() => [...document.querySelectorAll(".scroll, .output, .picture, .formula, main pre")]
      .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && e.tabIndex !== 0)
      .map((e) => e.outerHTML.slice(0, 200))""")
    assert wide == []  # whatever scrolls can be reached with the keyboard
    shown = phone.evaluate("""() => [...document.querySelectorAll(".scroll, .formula.block")].map((e) =>
      [e.scrollWidth > e.clientWidth + 1, e.classList.contains("more-right")])""")
    assert [True, True] in shown
    assert [one for one in shown if one[0] != one[1]] == []  # and shows that there is more


def test_the_contents_of_a_phone_open_lead_and_close(phone):
    links = phone.locator("nav .contents a")
    assert not links.first.is_visible()
    phone.get_by_text("Contents", exact=True).tap()
    assert links.nth(links.count() - 1).is_visible()
    target = links.nth(3).get_attribute("href")
    links.nth(3).tap()
    assert not links.first.is_visible()
    top = phone.evaluate("(id) => document.getElementById(id).getBoundingClientRect().top", target[1:])
    below = phone.evaluate("() => document.querySelector('nav').getBoundingClientRect().bottom")
    assert below <= top < PHONE["height"] / 2


def test_it_prints(desktop, notebooks, tmp_path):
    paper = desktop.pdf(prefer_css_page_size=True, path=tmp_path / "report.pdf")
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) > len(notebooks)  # and the title page
    desktop.emulate_media(media="print")
    assert desktop.evaluate("() => getComputedStyle(document.querySelector('nav > div')).position") == "static"
    assert not desktop.get_by_role("button", name="Hide all code").is_visible()
    breaks = "() => [...document.querySelectorAll('figure')].map((f) => getComputedStyle(f).breakInside)"
    assert set(desktop.evaluate(breaks)) == {"avoid"}
    before = "() => [...document.querySelectorAll('article')].map((a) => getComputedStyle(a).breakBefore)"
    assert set(desktop.evaluate(before)) == {"page"}
    assert desktop.locator("nav .contents a").last.is_visible()
