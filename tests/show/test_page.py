"""The report's page, from notebooks made here: what is on it, and where."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hw1lib.show import page as page_of
from hw1lib.show import running

PIXEL = (  # a PNG
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
KINDS = {"png": "image/png", "md": "text/markdown", "html": "text/html", "text": "text/plain"}
KINDS["widget"] = running.WIDGET


text = new_markdown_cell


def code(source, *outputs, **metadata):
    return new_code_cell(source, execution_count=1, outputs=list(outputs), metadata=metadata)


def shown(**data):
    metadata = {"image/png": {"alt": 'the "alt" text'}} if "png" in data else {}
    data = {KINDS[kind]: value for kind, value in data.items()}
    return new_output("display_data", data, metadata=metadata)


def widget(said):
    return shown(widget={"model_id": "0" * 32, "version_major": 2}, text=said)


def page(*notebooks, facts=None):
    html = page_of.to_html([new_notebook(cells=cells) for cells in notebooks], facts)
    return BeautifulSoup(html, "html.parser")


def main_of(*cells):
    return page([text("# 1. T"), *cells]).main


@pytest.fixture(scope="module")
def soup():
    middle = "## 1.1 In the middle of a cell, $\\lambda$\n\n```python\n# no heading\n```"
    first = [
        text("# 1. First & *foremost* (section 2.1)\n\nSee [the second](02_second.ipynb)."),
        text(f"Words before it.\n\n{middle}"),
        code("x < 1  # <table> </script>", new_output("stream", text="a <b> c\n")),
        code(
            "figures",
            shown(png=PIXEL, text="<Figure>"),
            shown(md="**Fig. 2.3:** the loss $a<b$. More of it."),
            shown(png=PIXEL),
            shown(md="**Sheet:** faces"),
            shown(html="<style scoped>td {}</style><table><tr><td>1</td></tr></table>"),
            shown(md="**Table 2.6:** test RMSE"),
            shown(png=PIXEL),
            shown(md="**Fig. 2.11, 2.12:** depth, $\\frac{a}{b_1}$. More."),
            shown(html="<table><tr><th></th></tr></table><table></table>"),
            shown(md="**Tables 3.4 and 3.5:** outputs"),
            shown(html="<table><tr><th>a</th><td>yes</td></tr></table>"),
        ),
        text("## Summary"),
    ]
    formulas = "$a_1 b_1 < c_{*}$ and\n\n$$x_1 * y_1$$"
    second = [text(f"# 2. Second\n\n## Summary\n\n{formulas}"), text("## 3 seeds")]
    third = [text("# 3. Third\n\n## Again\n\n## Again")]
    return page(first, second, third, facts={"Data": "mine & <yours>"})


def test_nothing_is_loaded_ids_are_unique_and_every_link_leads_somewhere(soup):
    loading = [tag["src"] for tag in soup.find_all(src=True)]
    loading += [tag["href"] for tag in soup.find_all("link")]
    assert [url for url in loading if not url.startswith("data:")] == []
    assert not any("url(" in style.text for style in soup.find_all("style"))
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in soup.find_all("a") if not a.find_parent(class_="links")]
    assert [link for link in links if link[0] != "#" or link[1:] not in ids] == []
    assert soup.find("a", string="the second")["href"] == "#2"


def test_contents_have_every_title_and_section_in_order(soup):
    assert [(a["href"], a.text) for a in soup.select(".contents a")] == [
        ("#1", "1. First & foremost (section 2.1)"),
        ("#1.1", "1.1 In the middle of a cell, λ"),
        ("#1-summary", "Summary"),
        ("#2", "2. Second"),
        ("#2-summary", "Summary"),
        ("#2-3-seeds", "3 seeds"),
        ("#3", "3. Third"),
        ("#3-again", "Again"),
        ("#3-again-again", "Again"),
    ]


def test_a_caption_is_its_figures_and_the_reports_figures_are_listed(soup):
    first, second, *_ = soup.find_all("figure")
    assert first["id"] == "fig-2.3"
    assert first.img["alt"] == 'the "alt" text'
    assert first.figcaption.strong.text == "Fig. 2.3:"
    assert second.figcaption.text.strip() == "Sheet: faces"
    assert soup.find(id="table-2.6").td.text == "1"
    for kind, name in (("fig", "2.11"), ("table", "3.4")):
        both = soup.find(id=f"{kind}-{name}")
        assert both.find(id=re.compile(rf"{kind}-{name[:2]}\d+"))
    assert "Fig. 2.11, Fig. 2.12:" in soup.main.text  # a search finds the second, too
    assert [(a["href"], a.text) for a in soup.select(".figures a")] == [
        ("#fig-2.3", "Fig. 2.3 the loss a<b"),
        ("#table-2.6", "Table 2.6 test RMSE"),
        ("#fig-2.11", "Fig. 2.11 depth, a/b1"),
        ("#fig-2.12", "Fig. 2.12 depth, a/b1"),
        ("#table-3.4", "Table 3.4 outputs"),
        ("#table-3.5", "Table 3.5 outputs"),
    ]


def test_what_has_the_tag_top_stands_there_too_without_its_code():
    chart = code("draw()", shown(png=PIXEL), shown(md="**Fig. 2.1:** a chart"), tags=["top"])
    claims = text("**Claims**\n\n| a |\n|---|\n| 1 |", metadata={"tags": ["top"]})
    soup = page([text("# 1. T"), text("below"), chart, claims])
    top = soup.select_one("header .top")
    assert [img["alt"] for img in top.select("img")] == ['the "alt" text']
    assert "a chart" in top.text
    assert top.td.text == "1"
    assert not re.search("draw|below", top.text)
    assert not top.select("[id]")
    assert len(soup.main.select("figure#fig-2\\.1, table")) == 2  # and in its place
    assert page([text("# 1. T"), text("below")]).select_one(".top") is None


def test_the_short_version_has_question_picture_and_sentence():
    figures = [shown(png=PIXEL), shown(md="**A:** first"), shown(png=PIXEL), shown(md="**B:** no")]
    cells = [
        text("# 1. Title\n\nWhat it is about.\n\n**What you will see**\n\n- much"),
        text("## 1.1 Does it?\n\n**Guess first.** Will it?\n\nA long story."),
        code("x = 1", *figures),
        text("Namely:\n\n- a list\n\nIt will.\n\nAnother one."),
        text("**In plain words:** it does.\n\n### More\n\nMuch."),
        text("## Summary\n\nOn faces:\n\n- all of it\n\n## Try it\n\n1. Do.\n\nNot this."),
    ]
    short = [element.get_text(" ", strip=True) for element in main_of(*cells[1:]).select(".short")]
    kept = page(cells).main.select(".short")
    told = [element.get_text(" ", strip=True) for element in kept]
    assert told == [
        "1. Title",
        "What it is about.",
        "1.1 Does it?",
        "Guess first. Will it?",
        "A: first",
        "It will.",
        "In plain words: it does.",
        "Summary",
        "On faces:",
        "all of it",
    ]
    assert short[1:] == told[2:]


def test_a_link_that_is_a_section_s_number_leads_to_the_section():
    see = text("# 1. T\n\nSee [1.2](01_t.ipynb), [1](01_t.ipynb).")
    links = page([see, text("## 1.2 Much")]).select("article p a")
    assert [link["href"] for link in links] == ["#1.2", "#1"]


def test_answers_alone_are_not_in_the_short_version():
    cells = [text("# 1. Answers\n\nEach is here."), text("## 01\n\nBecause."), text("## 02")]
    assert page(cells).main.select(".short") == []


def test_answers_are_folded_and_links_lead_into_their_notebook():
    exercise = [text("# 1. T"), text("## Try it\n\n1. Do. [Answer](02_a.ipynb#Answer-01.1)")]
    answer = [code("1 + 1", tags=["answer"]), text("Because.", metadata={"tags": ["answer"]})]
    question = "### Answer 01.1\n\n[Back](01_t.ipynb#Try-it)"
    soup = page(exercise, [text("# 2. Answers"), text(question), *answer, text("### 01.2 Next")])
    assert soup.find(id=soup.find("a", string="Answer")["href"][1:]).text == "Answer 01.1"
    assert soup.find(id=soup.find("a", string="Back")["href"][1:]).text == "Try it"
    (fold,) = soup.select("details.answer")
    assert not fold.has_attr("open")
    assert re.findall(r"Answer|1 \+ 1|Because|Do|Next", fold.text) == ["Answer", "1 + 1", "Because"]


def test_cells_that_check_are_not_on_the_page_unless_they_fail():
    error = new_output("error", ename="AssertionError", evalue="", traceback=["it failed"])
    held = code("assert True", new_output("stream", text="ok"), tags=["check"])
    failed = code("assert False", error, tags=["check"])
    main = main_of(held, code("6 * 7"), failed)
    assert re.findall("True|ok|7|False|it failed", main.text) == ["7", "False", "it failed"]


def test_code_output_and_facts_stay_text_and_tables_scroll(soup):
    assert soup.footer.dd.text == "mine & <yours>"
    assert "x < 1  # <table> </script>" in soup.select_one("details.code pre").text
    assert soup.select_one("pre.output").text == "a <b> c\n"
    assert [table.parent["class"] for table in soup.find_all("table")] == [["scroll"]] * 4
    assert "scoped" not in str(soup.main)


def test_formulas_are_pictures_that_can_be_read_found_and_copied(soup):
    formulas = soup.select('.formula[role="img"]')
    assert len(formulas) == len(soup.main.select(".formula > svg[aria-hidden] + .typed")) == 5
    inline, block = formulas[-2:]
    assert inline["aria-label"] == "a_1 b_1 < c_{*}"
    assert inline.text == "a1b1<c*"
    assert "block" in block["class"]
    letters = {symbol["id"] for symbol in soup.select("svg.letters symbol")}
    assert {use["href"][1:] for use in soup.select("use")} == letters
    assert not soup.select(".formula [fill]")  # they have the text's colour


@pytest.mark.parametrize(
    ("tex", "typed"),
    [
        (r"\frac{\partial L}{\partial w_{21}} = (p - t)\,y_1", "dL/dw21=(p-t)y1"),
        (r"x^2 f'(z)", "x^2f'(z)"),
    ],
)
def test_a_formula_is_found_as_one_would_type_it(tex, typed):
    assert main_of(text(f"## ${tex}$")).h2.text == typed


def test_a_formula_stands_on_the_line_and_what_cannot_be_drawn_is_shown_as_written():
    main = main_of(text(r"$x$ and $x_{y}$, $\frac{1$"))
    styles = [formula["style"] for formula in main.select(".formula")]
    x, xy = (float(style.removeprefix("vertical-align:-")[:-2]) for style in styles)
    assert x < 0.1 < xy
    assert main.find("code", class_="undrawn").text == r"\frac{1"


def test_widgets_and_bars_are_gone():
    bar = "reading:  40%|####      | 4/10 [00:00<00:00, 9.1face/s]"
    outputs = [widget(said) for said in ("HBox(children=(FloatProgress(value=0.0)))", "Output()")]
    for said in (f"\r{bar}\r", "0it [00:00, ?it/s]", f"{bar}\nUserWarning: careful\n"):
        outputs.append(new_output("stream", name="stderr", text=said))
    main = main_of(code("slider", *outputs))
    assert [pre.text.strip() for pre in main.select("pre.stderr")] == ["UserWarning: careful"]
    assert not re.search(r"%\||it/s|FloatProgress|Output\(", main.text)


def test_equal_notebooks_give_equal_pages_and_are_not_changed():
    outputs = shown(png=PIXEL), shown(md="**Fig. 2.1:** a"), widget("IntSlider(value=3)")
    notebook = new_notebook(cells=[text("# 1. T"), code("1", *outputs)])
    before = nbformat.writes(notebook)
    assert page_of.to_html([notebook]) == page_of.to_html([notebook])
    assert nbformat.writes(notebook) == before


def test_a_link_to_a_notebook_that_is_on_another_page_is_text():
    soup = page([text("# 6. T"), text("See [07](07_b.ipynb), [6.1](06_a.ipynb#x).")])
    assert [link.text for link in soup.select("article p a")] == ["6.1"]
    assert "See 07, 6.1." in soup.text


def test_the_browser_edition_is_linked_where_it_lies_beside_the_page(tmp_path):
    notebook = new_notebook(cells=[text("# 1. T")])
    assert "lite/index.html" not in page_of.to_html([notebook])
    assert 'href="lite/index.html"' in page_of.to_html([notebook], lite=True)
