"""Make slides of a notebook, one a section: python homework/slides.py NOTEBOOK [OUTPUT.html].

The notebook stays as it is. Each heading begins a slide, each code cell is shown at the next key
press, folded checks are left out. What the notebook's cells gave is shown as it is stored.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter


def slides(path) -> str:
    """Return a notebook as HTML with slides."""
    notebook = nbformat.read(path, as_version=4)
    graded = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    checks = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", [])]
    notebook.cells = [cell for cell in notebook.cells if cell not in graded + checks]
    for cell in notebook.cells:
        heading = re.match(r"#+ ", cell.source) if cell.cell_type == "markdown" else None
        kind = "slide" if heading else "fragment" if cell.cell_type == "code" else "-"
        cell.metadata["slideshow"] = {"slide_type": kind}
    exporter = SlidesExporter(reveal_scroll=True)
    return exporter.from_notebook_node(notebook)[0]


if __name__ == "__main__":
    source = Path(sys.argv[1])
    output = Path(sys.argv[2]) if sys.argv[2:] else Path(f"{source.stem}.slides.html")
    output.write_text(slides(source), encoding="utf-8")
    print(output)
