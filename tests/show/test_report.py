"""The report's page, from notebooks made here: what is in it, what is not, and what happens when a cell fails."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hw1lib.faces import standin
from hw1lib.show import page as page_of
from hw1lib.show import report, running
from hw1lib.study.comparisons import compare
from hw1lib.study.results import recorded

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def code(source, *outputs, count=1):
    return new_code_cell(source, execution_count=count, outputs=list(outputs))


def shown(**data):
    metadata = {"image/png": {"alt": 'the "alt" text'}} if "png" in data else {}
    kinds = {
        "png": "image/png",
        "svg": "image/svg+xml",
        "md": "text/markdown",
        "html": "text/html",
        "text": "text/plain",
    }
    kinds["widget"] = "application/vnd.jupyter.widget-view+json"
    return new_output("display_data", {kinds[kind]: value for kind, value in data.items()}, metadata=metadata)


def widget(text):
    return shown(widget={"model_id": "0" * 32, "version_major": 2, "version_minor": 0}, text=text)


def page(*notebooks, facts=None):
    cells = [notebook if isinstance(notebook, list) else [notebook] for notebook in notebooks]
    return report.to_html([new_notebook(cells=c) for c in cells], facts)


def text_of(source):
    return new_markdown_cell(source)


@pytest.fixture(scope="module")
def soup():
    first = [
        text_of("# 1. First & *foremost* (section 2.1)\n\nSee [the second](02_second.ipynb), [a site](https://x.org)."),
        text_of("Words before it.\n\n## 1.1 In the middle of a cell, $\\lambda$\n\n```python\n# no heading\n```"),
        code("x < 1  # <table> </script>", new_output("stream", text="a <b> c\n")),
        code(
            "figures",
            shown(png=PIXEL, text="<Figure>"),
            shown(md="**Fig. 2.3:** the loss $a<b$. More of it."),
            shown(png=PIXEL),
            shown(md="**Sheet:** faces"),
            shown(html="<style scoped>td {}</style><table><tr><td>1</td></tr></table>", text="1"),
            shown(md="**Table 2.6:** test RMSE"),
            shown(png=PIXEL),
            shown(md="**Fig. 2.11, 2.12:** depth, $\\frac{a}{b_1}$. More."),
            shown(
                html="<table><caption>Table 3.4: one</caption><tr><th></th></tr></table>"
                "<table><caption>Table 3.5</caption></table>"
            ),
            shown(md="**Tables 3.4 and 3.5:** outputs"),
            shown(html="<table><tr><th>Is random better than zero initialisation?</th><td>yes</td></tr></table>"),
        ),
        text_of("## Summary"),
    ]
    second = [text_of("# 2. Second\n\n## Summary\n\n$a_1 b_1 < c_{*}$ and\n\n$$x_1 * y_1$$"), text_of("## 3 seeds")]
    third = [text_of("# 3. Third\n\n## Again\n\n## Again")]
    return BeautifulSoup(page(first, second, third, facts={"Data": "mine & <yours>"}), "html.parser")


def test_nothing_is_loaded_from_anywhere(soup):
    assert soup.find_all(["iframe", "object", "embed", "base"]) == []
    assert [tag for tag in soup.find_all("script") if tag.has_attr("src")] == []
    loading = [tag["src"] for tag in soup.find_all(src=True)] + [tag["href"] for tag in soup.find_all("link")]
    assert len(loading) >= 3
    assert [url for url in loading if not url.startswith("data:")] == []
    for style in soup.find_all("style"):
        assert "url(" not in style.text
        assert "@import" not in style.text


def test_ids_are_unique_and_every_inner_link_leads_somewhere(soup):
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert sorted(ids) == sorted(set(ids))
    inner = [a["href"] for a in soup.find_all("a") if not a["href"].startswith("https:")]
    assert len(inner) > 8
    assert [link for link in inner if link[0] != "#" or link[1:] not in ids] == []


def test_contents_have_every_title_and_section_in_order(soup):
    links = [(a["href"], a.text) for a in soup.select(".contents a")]
    assert links == [
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
    assert soup.find(id="1").name == "h1"
    assert soup.find(id="1.1").name == "h2"


def test_a_link_to_another_notebook_leads_to_its_part(soup):
    assert soup.find("a", string="the second")["href"] == "#2"
    assert soup.find("a", string="a site")["href"] == "https://x.org"


def test_a_caption_is_its_figures_and_the_reports_figures_are_listed(soup):
    first, second, *_ = soup.find_all("figure")
    assert first["id"] == "fig-2.3"
    assert first.img["alt"] == 'the "alt" text'
    assert first.figcaption.find(class_="typed").text == "a<b"
    assert first.figcaption.strong.text == "Fig. 2.3:"
    assert second.figcaption.text.strip() == "Sheet: faces"
    assert soup.find(id="table-2.6").td.text == "1"  # the table itself
    assert soup.find(id="fig-2.12").parent == soup.find(id="fig-2.11")
    assert "Fig. 2.11, Fig. 2.12:" in soup.main.text  # a search finds the second, too
    assert [soup.find(id=f"table-3.{k}").caption.text for k in (4, 5)] == ["Table 3.4: one", "Table 3.5"]
    listed = [(a["href"], a.text) for a in soup.select(".figures a")]
    assert listed == [
        ("#fig-2.3", "Fig. 2.3 the loss a<b"),
        ("#table-2.6", "Table 2.6 test RMSE"),
        ("#fig-2.11", "Fig. 2.11 depth, a/b1"),
        ("#fig-2.12", "Fig. 2.12 depth, a/b1"),
        ("#table-3.4", "Table 3.4 outputs"),
        ("#table-3.5", "Table 3.5 outputs"),
    ]


def test_what_the_report_claims_is_at_the_top_with_its_verdict_and_a_link_to_where_it_is_shown(soup):
    claimed = compare(recorded()).query("claimed")
    lines = {line.text.partition("? ")[0] + "?": line for line in soup.select(".findings li")}
    assert set(claimed.index) <= set(lines)
    for question, row in claimed.iterrows():
        assert f"{row['verdict'].capitalize()}: {row['mean']:+.2f} years ({row['low']:+.2f} to" in lines[question].text
    (link,) = soup.select(".findings a")  # the one that these notebooks show
    assert soup.find(id=link["href"][1:]).th.text == link.text == "Is random better than zero initialisation?"


def test_answers_are_folded_and_links_lead_into_their_notebook():
    exercise = [text_of("# 1. T"), text_of("## Try it\n\n1. Do. [Answer](02_answers.ipynb#answer-01-1)")]
    answer = [code("1 + 1"), text_of("Because.")]
    for cell in answer:
        cell.metadata.tags = ["answer"]
    question = '<a id="answer-01-1"></a>\n\n### 01.1 Do\n\n[Back](01_t.ipynb#try-it)'
    answers = [text_of("# 2. Answers"), text_of(question), *answer, text_of("### 01.2 Next")]
    soup = BeautifulSoup(page(exercise, answers), "html.parser")
    assert soup.find("a", string="Answer")["href"] == "#answer-01-1"
    assert soup.find("a", id="answer-01-1")
    assert soup.find(id=soup.find("a", string="Back")["href"][1:]).text == "Try it"
    (fold,) = soup.select("details.answer")
    assert not fold.has_attr("open")
    assert fold.summary.text == "Answer"
    assert "1 + 1" in fold.text
    assert "Because." in fold.text
    assert "Do" not in fold.text
    assert "Next" not in fold.text


def test_drawings_are_figures_that_can_be_read_aloud():
    drawings = [
        (page_of.ASSETS.parent / f"{name}.svg").read_text(encoding="utf-8") for name in ("network", "question3")
    ]
    outputs = [each for drawing in drawings for each in (shown(svg=drawing), shown(md="**Fig. 2.2:** layers"))]
    soup = BeautifulSoup(page([text_of("# 1. T"), code("drawings", *outputs)]), "html.parser")
    assert [figure.svg["role"] for figure in soup.find_all("figure")] == ["img", "img"]
    assert all(figure.svg.title.text and figure.figcaption.text for figure in soup.find_all("figure"))
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(set(ids)) == len(ids)


def test_code_and_output_stay_text_and_tables_scroll(soup):
    assert "x < 1  # <table> </script>" in soup.select_one("details.code pre").text
    assert soup.select_one("pre.output").text == "a <b> c\n"
    assert [table.parent["class"] for table in soup.find_all("table")] == [["scroll"]] * 4
    assert "scoped" not in str(soup.main)
    assert [head.text for head in soup("th") if not head.text.strip()] == []


def test_formulas_are_pictures_that_can_be_read_found_and_copied(soup):
    formulas = soup.select(".formula")
    assert len(formulas) == len(soup.main.select(".formula > svg[aria-hidden] + math + .typed[aria-hidden]")) == 5
    inline, block = formulas[-2:]
    assert inline.annotation.text == "a_1 b_1 < c_{*}"
    assert inline.find(class_="typed").text == "a1b1<c*"
    assert "block" in block["class"]
    assert "block" not in inline["class"]
    assert "$" not in soup.main.text
    letters = {symbol["id"] for symbol in soup.select("svg.letters symbol")}
    assert {use["href"][1:] for use in soup.select("use")} == letters
    assert not soup.select(".formula [fill]")  # they have the text's colour
    assert [len(script.text) < 2e4 for script in soup("script")] == [True]


def test_a_formula_stands_on_the_line_and_what_cannot_be_drawn_is_shown_as_written():
    main = BeautifulSoup(page([text_of(r"# 1. $x$ and $x_{y}$, $\frac{1$")]), "html.parser").main
    x, xy = (float(f["style"].removeprefix("vertical-align:-")[:-2]) for f in main.select(".formula"))
    assert x < 0.1 < xy
    assert main.find("code", class_="undrawn").text == r"\frac{1"


def test_head_and_title_block(soup):
    assert soup.html["lang"] == "en"
    assert "width=device-width" in soup.find("meta", attrs={"name": "viewport"})["content"]
    assert soup.title.text == soup.header.h1.text == page_of.TITLE
    assert soup.header.dd.text == "mine & <yours>"


def test_widgets_are_a_line_of_text_and_bars_are_gone():
    outputs = [
        widget("reading:  40%|####      | 4/10 [00:00<00:00, 9.1face/s]"),
        widget("0it [00:00, ?it/s]"),
        widget("HBox(children=(FloatProgress(value=0.0), HTML(value='')))"),
        widget("IntSlider(value=3, description='stride')"),
        widget("Output()"),
        new_output("stream", name="stderr", text="\r 50%|##  | 1/2 [00:00<00:00]\r100%|####| 2/2 [00:00<00:00]\n"),
        new_output("stream", name="stderr", text=" 10%|#  | 1/2 [00:00<00:00]\nUserWarning: careful\n"),
    ]
    main = BeautifulSoup(page([text_of("# 1. T"), code("slider", *outputs)]), "html.parser").main
    assert main.text.count(running.INTERACTIVE.strip("*")) == 1
    assert [pre.text.strip() for pre in main.select("pre.stderr")] == ["UserWarning: careful"]
    for word in ("%|", "it/s", "FloatProgress", "IntSlider", "Output("):
        assert word not in main.text


def test_equal_notebooks_give_equal_pages_and_are_not_changed():
    cells = [text_of("# 1. T"), code("1", shown(png=PIXEL), shown(md="**Fig. 2.1:** a"), widget("IntSlider(value=3)"))]
    before = nbformat.writes(new_notebook(cells=cells))
    assert page(cells) == page(cells)
    assert nbformat.writes(new_notebook(cells=cells)).count("Fig. 2.1") == before.count("Fig. 2.1") == 1
    assert len(cells[1].outputs) == 3


# -- with kernels -----------------------------------------------------------------------------------------------------


def write(folder, name, *sources):
    cells = [text_of(s[1:]) if s.startswith("!") else new_code_cell(s) for s in sources]
    nbformat.write(new_notebook(cells=cells), folder / name)


@pytest.mark.slow
def test_build_runs_the_numbered_notebooks_in_order_and_stores_them(tmp_path):
    write(tmp_path, "02_b.ipynb", "!# 2. Second", "import os; print('in', os.path.basename(os.getcwd()))")
    write(
        tmp_path,
        "01_a.ipynb",
        "!# 1. First",
        "import matplotlib.pyplot as plt\nfrom tqdm.auto import tqdm\nfrom hw1lib import show\n"
        "for _ in tqdm(range(3)): pass\n"
        "show.figure(plt.subplots()[0], 'Fig. 2.1: a *figure*.')",
        "import ipywidgets\nipywidgets.interact(lambda k: print('k is', k), k=(1, 9));",
    )
    write(tmp_path, "scratch.ipynb", "1 / 0")
    output = tmp_path / "out" / "index.html"
    output.parent.mkdir()
    assert report.build(tmp_path, output, store=True, progress=False, facts={"Data": "none"}) == output

    soup = BeautifulSoup(output.read_text(encoding="utf-8"), "html.parser")
    assert [a.text for a in soup.select(".contents a")] == ["1. First", "2. Second"]
    assert soup.figcaption.text.strip() == "Fig. 2.1: a figure."
    assert "Fig. 2.1" not in soup.img["alt"]  # which its caption says
    assert "k is 5" in soup.main.text
    assert f"in {tmp_path.name}" in soup.main.text
    assert "%|" not in soup.main.text
    assert [path.name for path in output.parent.iterdir()] == ["index.html"]

    stored = nbformat.read(tmp_path / "01_a.ipynb", as_version=4)
    assert [cell.execution_count for cell in stored.cells if cell.cell_type == "code"] == [1, 2]
    assert "version" not in stored.metadata.language_info
    text = (tmp_path / "01_a.ipynb").read_text(encoding="utf-8")
    assert "Fig. 2.1" in text
    for noise in ("widget-view", "widget-state", "iopub", "%|"):
        assert noise not in text
    assert "ZeroDivisionError" not in (tmp_path / "scratch.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
def test_notebooks_run_side_by_side_the_longest_first_and_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(running.joblib, "cpu_count", lambda: 2)
    source = (
        "import os, pathlib, time, joblib\nme, other = {!r}, {!r}\npathlib.Path(me).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(0.05)\nprint(joblib.effective_n_jobs(-1))"
    )
    write(tmp_path, "01_a.ipynb", source.format("a", "b"))
    write(tmp_path, "02_b.ipynb", source.format("b", "a"))
    paths = sorted(tmp_path.glob("*.ipynb"))
    notebooks = {path: running.read_notebook(path) for path in paths}
    done = []
    assert running.run_notebooks(notebooks, done.append, progress=False) == {}
    assert sorted(done) == paths
    assert [notebook.cells[0].outputs[0].text for notebook in notebooks.values()] == ["1\n", "1\n"]
    names = [f"{number}_x.ipynb" for number in ("01", *running.LONGEST)]
    assert sorted(map(Path, names), key=running._rank) == [*map(Path, names[1:]), Path(names[0])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x):\n    return x / 0\nf(1)", "ZeroDivisionError: division by zero"),
        ("import os\nos._exit(1)", "Kernel died"),
    ],
)
def test_a_failing_notebook_is_shown_as_far_as_it_came_and_the_others_whole(tmp_path, source, said):
    never = new_code_cell("print('never')", execution_count=3, outputs=[new_output("stream", text="stored before")])
    cells = [text_of("# 1. First"), code("print('until here')"), code(""), text_of("text"), code(source), never]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01_a.ipynb")
    write(tmp_path, "02_b.ipynb", "!# 2. Second", "print(6 * 7)")
    before = (tmp_path / "01_a.ipynb").read_bytes()
    output = tmp_path / "index.html"
    with pytest.raises(RuntimeError, match=rf"1 of 2 notebooks failed.*\n01_a\.ipynb, cell \[2\]: {said}"):
        report.build(tmp_path, output, store=True, progress=False, facts={})
    soup = BeautifulSoup(output.read_text(encoding="utf-8"), "html.parser")
    assert soup.header.dd.text.startswith(f"01_a.ipynb, cell [2]: {said}")
    assert [pre.text.strip() for pre in soup.select("pre.output:not(.stderr)")] == ["until here", "42"]
    (error,) = soup.select("pre.stderr")
    assert source.splitlines()[-1] in error.find_previous("pre").text  # in its place
    assert said in error.text
    assert ("return x / 0" in error.text) == ("f(x)" in source)  # a real error keeps its traceback
    assert "\x1b" not in soup.text
    assert "None" not in soup.main.text
    assert (tmp_path / "01_a.ipynb").read_bytes() == before
    assert nbformat.read(tmp_path / "02_b.ipynb", 4).cells[1].outputs[0].text == "42\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01_a.ipynb", "02_b.ipynb", "index.html"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HW1_DATA", "no such place", "FileNotFoundError: there is nothing at no such place: expected a folder"),
        ("HW1_DATA", "01_a.ipynb", "ValueError: 01_a.ipynb: damaged, incomplete, or not an archive"),
        ("HW1_CACHE", "01_a.ipynb/cache", "OSError: the cache folder"),
        ("HW1_FACES", "many", "ValueError: HW1_FACES must be a whole number >= 1, not 'many'"),
    ],
)
def test_what_settings_can_mend_is_one_sentence_without_a_traceback(tmp_path, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    assert_one_sentence(tmp_path, "from hw1lib import faces\nfaces.open()", said)


@pytest.mark.slow
def test_a_learning_rate_that_is_too_large_is_one_sentence_from_worker_processes_too(tmp_path):
    run = """
import numpy as np, pandas as pd
from hw1lib import study
columns = ["file", "age", "gender", "race", *(f"f{i}" for i in range(9))]
table = pd.DataFrame(np.random.default_rng(0).normal(50, 9, (60, 13)), columns=columns)
study.run({"fast": study.Experiment("", schedule=1e9)}, table, range(2), n_jobs=2, progress=False)
"""
    assert_one_sentence(
        tmp_path, run, "TrainingDiverged: loss or weights stopped being finite in epoch 2 at learning rate"
    )


def assert_one_sentence(folder, source, said):
    write(folder, "01_a.ipynb", source)
    path = folder / "01_a.ipynb"
    notebook = running.read_notebook(path)
    assert running.run_notebooks({path: notebook}, print, progress=False)[path].startswith(f"cell [1]: {said}")
    (error,) = (output for output in notebook.cells[0].outputs if output.output_type == "error")
    (line,) = error.traceback
    assert line.startswith(said)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write(tmp_path, "01_a.ipynb", "!# 1. First")
    output = tmp_path / "index.html"
    output.write_text("the old page")
    monkeypatch.setattr(report, "to_html", lambda *_: "a new page \ud800")  # which no file can hold as UTF-8
    with pytest.raises(UnicodeEncodeError):
        report.build(tmp_path, output, progress=False, facts={})
    assert output.read_text() == "the old page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01_a.ipynb", "index.html"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_stops_the_kernel_and_leaves_the_old_page(tmp_path):
    write(
        tmp_path,
        "01_a.ipynb",
        "!# 1. First",
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
        "pathlib.Path('pid').rename('started')\ntime.sleep(300)",
    )
    output = tmp_path / "index.html"
    output.write_text("the old page")
    program = (
        "import pathlib, sys; from hw1lib.show import report; report.build(*map(pathlib.Path, sys.argv[1:]), facts={})"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert said.strip().endswith("KeyboardInterrupt")  # what python -m hw1lib tells in one line
    assert output.read_text() == "the old page"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "started").read_text()), 0)


def test_errors_name_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        report.build(tmp_path, tmp_path / "index.html")
    for text in ("{", "[]", '{"a": 1}'):
        (tmp_path / "01_a.ipynb").write_text(text)
        with pytest.raises(ValueError, match=r"01_a\.ipynb: not a notebook"):
            report.build(tmp_path, tmp_path / "index.html", progress=False, facts={})


@pytest.mark.slow
def test_the_title_block_says_which_data_without_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HW1_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HW1_FACES", "12")
    monkeypatch.setenv("HW1_SCALE", "quick")
    monkeypatch.delenv("HW1_DATA", raising=False)
    facts = report.this_run()
    assert facts["Data of this run"].startswith("The embedded stand-in, 12 drawn faces; 0 files set aside")
    assert "no results" in facts["Note"]
    assert facts["Scale"].startswith("quick")

    monkeypatch.setenv("HW1_DATA", str(standin.make(tmp_path / "UTK", 12, progress=False)))  # as if they were real
    monkeypatch.setenv("HW1_SCALE", "full")
    facts = report.this_run()
    assert facts["Data of this run"].startswith("UTK, 12 faces; 0 files set aside")
    assert "Note" not in facts
    assert str(tmp_path) not in str(facts)
    assert facts["Scale"].startswith("full")
