"""The report's page in a browser: nothing is fetched, all is drawn and can be read, it prints."""

import json
import re

import nbformat
import pytest

from hw1lib.show import report

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def file(tmp_path_factory, notebooks):
    """The page of the notebooks as they are stored."""
    stored = (nbformat.read(path, as_version=4) for path in notebooks)
    file = tmp_path_factory.mktemp("report") / "index.html"
    file.write_text(report.to_html(stored, {"Data of this run": "as stored"}), encoding="utf-8")
    return file


@pytest.fixture
def load(browser, file):
    """Open the page with the network watched and cut off."""
    contexts = []

    def load(length="whole", **options):
        context = browser.new_context(**options)
        context.add_init_script(f"localStorage.setItem('length', '{length}')")
        contexts.append(context)
        page = context.new_page()
        page.failures = []

        def watch(route):
            if route.request.url.startswith("data:") or route.request.url == file.as_uri():
                route.continue_()
            else:
                page.failures.append(route.request.url)
                route.abort()

        def said(message):
            if message.type == "error":
                page.failures.append(message.text)

        context.route("**/*", watch)
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.on("console", said)
        page.goto(file.as_uri())
        return page

    yield load
    for context in contexts:
        context.close()


@pytest.fixture
def desktop(load):
    return load(viewport={"width": 1440, "height": 900})


@pytest.fixture
def phone(load):
    return load(viewport=PHONE, has_touch=True, is_mobile=True)


def test_nothing_is_fetched_and_nothing_fails(desktop):
    desktop.keyboard.press("End")
    desktop.wait_for_load_state("networkidle")
    assert desktop.failures == []


def test_every_formula_is_drawn_at_the_size_of_the_text_and_copied_as_tex(desktop):
    heights = desktop.evaluate("""() => [...document.querySelectorAll(".formula")]
      .filter((f) => f.checkVisibility())
      .map((f) => f.firstElementChild.getBoundingClientRect().height
        / parseFloat(getComputedStyle(f).fontSize))""")
    assert len(heights) > 100
    assert [height for height in heights if not 0.4 < height < 9] == []
    raw = desktop.evaluate("""() => {
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const raw = [...document.querySelectorAll(".undrawn")].map((e) => e.textContent);
      while (walk.nextNode()) {
        const { data, parentElement } = walk.currentNode;
        const inside = parentElement.closest("pre, code, script, style, .formula");
        if (!inside && /\\$|\\\\[a-zA-Z(\\[]/.test(data)) raw.push(data);
      }
      return raw;
    }""")
    assert raw == []
    copied = desktop.evaluate("""() => {
      getSelection().selectAllChildren(document.querySelector("p:has(.formula)"));
      const data = new DataTransfer();
      dispatchEvent(new ClipboardEvent("copy", { clipboardData: data, cancelable: true }));
      return data.getData("text/plain");
    }""")
    assert r"$200 \cdot 200 \cdot 3 = 120{,}000$" in copied
    assert desktop.evaluate("() => find('dL/dw21')")


@pytest.mark.parametrize("length", ["brief", "whole"])
@pytest.mark.parametrize("scheme", ["light", "dark", "forced"])
def test_all_can_be_read(load, faint, scheme, length):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    colours = {"forced_colors": "active"} if scheme == "forced" else {"color_scheme": scheme}
    page = load(length, viewport=PHONE, **colours)
    assert page.evaluate(faint) == []
    if scheme != "forced":
        found = axe.Axe().run(page).response["violations"]
        severe = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], v["nodes"][0]["html"]) for v in severe] == []


def test_the_scheme_follows_the_system_until_it_is_switched(load):
    page = load(color_scheme="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light").press("Enter")
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    page.get_by_role("button", name="Dark").press("Enter")
    assert page.evaluate(ground) == dark
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_figures_and_tables_are_where_the_index_says_and_described(desktop, notebooks):
    entries = desktop.evaluate("""() => [...document.querySelectorAll(".figures a")]
      .map((a) => [a.textContent,
        !!document.getElementById(a.hash.slice(1)).closest("figure, table")])""")
    assert [text for text, shown in entries if not shown] == []
    figures = [f"Fig. 2.{k}" for k in range(1, 21) if k not in (6, 10, 14)]
    tables = ["2.6", "2.10", "2.14", *(f"3.{k}" for k in range(1, 13)), "4.1"]
    for name in [*figures, *(f"Table {number}" for number in tables)]:
        assert any(text.startswith(f"{name} ") for text, _ in entries), name
    pictures = desktop.evaluate("""() => [...document.images]
      .map((i) => i.complete && i.naturalWidth > 50 && i.clientWidth > 50 && i.alt.length > 10)""")
    assert len(pictures) >= len(notebooks)
    assert all(pictures)


def test_the_contents_lead_to_their_sections_and_follow_the_reader(desktop, notebooks):
    links = desktop.locator("nav .contents a")
    assert links.count() > 5 * len(notebooks)
    current = "(link) => document.querySelector('nav [aria-current]').hash === link"
    for i in (links.count() - 1, 1):
        target = links.nth(i).get_attribute("href")
        links.nth(i).evaluate("(e) => e.click()")
        assert 0 <= top_of(desktop, target) < 900
        desktop.wait_for_function(current, arg=target)


def top_of(page, target):
    top = "(id) => document.getElementById(id).getBoundingClientRect().top"
    return page.evaluate(top, target[1:])


def test_the_short_version_comes_first_and_a_link_into_the_whole_shows_it(load):
    page = load("brief", viewport={"width": 1440, "height": 900})
    height = "() => document.documentElement.scrollHeight"
    brief = page.evaluate(height)
    hidden = page.locator("main h2:not(.short)").filter(visible=False)
    target = page.evaluate("(element) => element.id", hidden.last.element_handle())
    page.evaluate("(id) => (location.hash = id)", target)
    page.get_by_role("button", name="Short version").wait_for()
    assert 0 <= top_of(page, "#" + target) < 900
    assert page.evaluate(height) > 3 * brief


def test_the_keyboard_skips_the_contents_and_puts_code_away(desktop):
    desktop.keyboard.press("Tab")
    desktop.keyboard.press("Enter")
    assert desktop.evaluate("() => document.activeElement.id") == "report"
    code = desktop.locator("details.code pre")
    desktop.locator("details.code summary").first.press("Enter")
    assert [code.nth(i).is_visible() for i in (0, 1)] == [False, True]
    desktop.get_by_role("button", name="Hide code").press("Enter")
    assert desktop.locator("details.code[open]").count() == 0
    desktop.get_by_role("button", name="Show code").press("Enter")
    assert desktop.locator("details.code:not([open])").count() == 0


def test_arrow_keys_move_every_slider_through_all_its_states(desktop):
    figures = desktop.locator(".steps")
    assert figures.count() >= 2
    for figure in figures.all():
        sliders = json.loads(figure.locator("script").first.text_content())["sliders"]
        assert figure.locator("input").count() == len(sliders)
        assert not figure.locator("> div").nth(1).is_visible()  # those that stand still
        for slider, (_, labels, _) in zip(figure.locator("input").all(), sliders, strict=True):
            slider.press("Home")
            seen = set()
            for label in labels:
                assert slider.get_attribute("aria-valuetext") == label
                seen.add(figure.locator(".live > div").evaluate("(e) => e.innerHTML"))
                slider.press("ArrowRight")
            assert len(seen) == len(labels)


def test_without_script_and_on_paper_some_states_stand_still(browser, desktop, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    desktop.emulate_media(media="print")
    for shown in (page, desktop):
        assert shown.locator(".steps").count() >= 2
        for figure in shown.locator(".steps").all():
            assert figure.locator("> div:not(.live)").is_visible()
            assert not figure.locator("input").first.is_visible()
    context.close()


def test_it_fits_a_phone_whose_contents_open_lead_and_close(phone):
    width = phone.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert width == [PHONE["width"]] * 2
    wide = phone.evaluate("""() => [...document.querySelectorAll(".scroll, .output, main pre")]
      .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
      .map((e) => e.tabIndex === 0 && e.classList.contains("more-right"))""")
    assert wide
    assert all(wide)  # it shows that there is more, and the keyboard reaches it
    links = phone.locator("nav .contents a")
    assert not links.first.is_visible()
    phone.get_by_text("Contents", exact=True).tap()
    target = links.nth(3).get_attribute("href")
    links.nth(3).tap()
    assert not links.first.is_visible()
    bar = "() => document.querySelector('nav').getBoundingClientRect().bottom"
    assert phone.evaluate(bar) <= top_of(phone, target) < PHONE["height"] / 2


def test_it_prints(desktop, notebooks, tmp_path):
    paper = desktop.pdf(prefer_css_page_size=True, path=tmp_path / "report.pdf")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) > len(notebooks)  # and the title page
    desktop.emulate_media(media="print")
    assert not desktop.get_by_role("button", name="Hide code").is_visible()
    assert desktop.locator("nav .contents a").last.is_visible()
    for selector, style, value in (
        ("figure", "breakInside", "avoid"),
        ("article", "breakBefore", "page"),
    ):
        styles = f"(all) => [...new Set(all.map((e) => getComputedStyle(e).{style}))]"
        assert desktop.locator(selector).evaluate_all(styles) == [value]
