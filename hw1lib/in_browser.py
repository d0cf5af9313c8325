"""What is different in a browser (JupyterLite, Pyodide): less work, in one process, and said."""
# ruff: noqa: E402

import os
import warnings
from pathlib import Path

import numpy as np
import tqdm

made = Path(__file__).resolve().parents[1] / "hw1lib_faces"  # drawn beforehand, with their features
os.environ |= {"HW1_SCALE": "quick", "HW1_FACES": "600", "HW1_CACHE": str(made)} | os.environ
tqdm.tqdm.monitor_interval = 0  # it needs a thread
warnings.filterwarnings("ignore", "only soft file lock")

from hw1lib.faces.chunks import LABELS, load_features
from hw1lib.faces.preprocess import Preprocessor, _normalized


def _bincount(x, weights=None, minlength=0, *, plain=np.bincount):
    """Count as NumPy does; where its integers have 32 bits, it takes none of 64."""
    return plain(np.asarray(x, np.intp), weights, minlength)


def _fit(self, images, *given, plain=Preprocessor.fit, **named):
    """Fit, then take the components of the features made beforehand: JPEGs are read otherwise."""
    plain(self, images, *given, **named)
    for folder in (made / "features").glob(f"*-{self.normalizer}"):
        features = load_features(folder).drop(columns=LABELS).to_numpy()
        if len(features) == len(images):
            for block, x in _normalized(images, None, self.center, self.scale):
                self.components[:, block] = np.linalg.pinv(features) @ x
            Q, R = np.linalg.qr(self.components.T)
            self.components[...] = (Q * np.sign(np.diag(R))).T
    return self


np.bincount, Preprocessor.fit = _bincount, _fit  # type: ignore[method-assign]
print(
    f"In the browser: {os.environ['HW1_FACES']} drawn faces, quick scale, one process; a notebook "
    "takes seconds to some minutes. To stop a cell: Kernel > Restart Kernel. What you change stays "
    "in this browser: right-click the file in the list, and Download, to take it home."
)
