"""From files to features: UTKFace or the stand-in, the normaliser and the PCA; small pictures."""

from hw1lib.faces.chunks import load_features
from hw1lib.faces.data import (
    Data,
    Subset,
    batches,
    folds,
    input_scale,
    label_noise,
    near_duplicates,
    rescale,
)
from hw1lib.faces.dataset import FaceDataset
from hw1lib.faces.pictures import block_mean, from_picture
from hw1lib.faces.preprocess import NORMALIZERS, Preprocessor

open = FaceDataset.open
