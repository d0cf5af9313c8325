"""What is different in a browser (JupyterLite, Pyodide): less work, in one process, and said."""

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import tqdm

os.environ.setdefault("HW1_SCALE", "quick")
os.environ.setdefault("HW1_FACES", "600")
made = Path(__file__).resolve().parents[1] / "hw1lib_faces"  # drawn beforehand, with their features
os.environ.setdefault("HW1_CACHE", str(made if made.exists() else Path.home() / "hw1lib"))
tqdm.tqdm.monitor_interval = 0  # it needs a thread
warnings.filterwarnings("ignore", "only soft file lock")
logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it makes a list of fonts, and says so


def _bincount(x, weights=None, minlength=0, *, plain=np.bincount):
    """Count as NumPy does; where its integers have 32 bits, it takes none of 64."""
    return plain(np.asarray(x, np.intp), weights, minlength)


np.bincount = _bincount
print(
    f"In the browser: {os.environ['HW1_FACES']} drawn faces, quick scale, one process; a notebook "
    "takes seconds to some minutes. What you change stays in this browser: download it to keep it."
)
