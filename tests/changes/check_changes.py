"""What a reader would change: each notebook goes on to its end, and says that it was changed."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHANGES = [  # notebook, what stands there, what the reader writes
    ("01", "picture = ds.images(7)", "picture = ds.images(12)"),
    ("01", "\nk = 32\n", "\nk = 5\n"),
    ("01", "rng(0).permutation(len(ds))[:300]", "rng(3).permutation(len(ds))[:150]"),
    ("02", '"layers": [128, 64, 1]', '"layers": [128, 16, 1]'),
    ("02", '"layers": [128, 64, 1]', '"layers": [128, 32, 16, 1]'),
    ("02", '"activation": "leaky_relu",  #', '"activation": "tanh",  #'),
    ("02", "rate, rmse = 3e-3, []", "rate, rmse = 1e-3, []"),
    ("02", "hidden_layers, epochs = [64], 40", "hidden_layers, epochs = [64, 16], 10"),
    ("02", "curvature = np.array([1, 100])", "curvature = np.array([1, 30])"),
    ("03", "sigma, hidden = 0.1, [32] * 20", "sigma, hidden = 0.3, [100] * 10"),
    ("03", "initializer, [64] * 10)", "initializer, [16] * 10)"),
    ("03", '"layers": [train_part.X.shape[1], 64, 1]', '"layers": [train_part.X.shape[1], 16, 1]'),
    ("04", "np.random.default_rng(4)", "np.random.default_rng(11)"),
    ("05", "logits, true = [2.0, 1.0, 0.0], 2", "logits, true = [5.0, 1.0, 0.0, 3.0], 0"),
    ("05", "hidden=hidden, epochs=30", "hidden=hidden, epochs=5"),
    ("06", "padding, stride = 0, 1", "padding, stride = 2, 2"),
    ("06", "PADDING, STRIDE, POOL = 1, 1, 2", "PADDING, STRIDE, POOL = 1, 1, 4"),
    ("06", "ROW = 500", "ROW = 3"),
    ("07", "pixels = x[1, 0], x[1, 2]", "pixels = x[1, 1], x[1, 2]"),
    ("07", "striped(n, rng, noise=0.05)", "striped(n, rng, noise=0.5)"),
    ("08", "filters = (8, 16, 32)", "filters = (8, 16)"),
    ("08", "[:3000]", "[:500]"),
    ("10", "n_folds, wider = 10, 1.0", "n_folds, wider = 3, 1.0"),
]


@pytest.mark.parametrize(("name", "before", "after"), CHANGES)
def test_a_reader_s_change_ends_in_no_error(name, before, after):
    (path,) = NOTEBOOKS.glob(f"{name}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    changed = [cell for cell in code if before in cell.source]
    assert changed, f"{before} stands nowhere in {path.name}"
    for cell in changed:
        cell.source = cell.source.replace(before, after)
    # an error that no check looks for raises here
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": NOTEBOOKS}}).execute()


def test_few_faces_end_in_no_error(monkeypatch):
    monkeypatch.setenv("HW1_FACES", "200")
    for path in sorted(NOTEBOOKS.glob("0[1-8]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": NOTEBOOKS}}).execute()
