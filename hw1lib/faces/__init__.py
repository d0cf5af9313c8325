"""From files to features: UTKFace or the embedded stand-in, the normaliser and the PCA, the table; small pictures."""

from hw1lib.faces.data import FaceDataset
from hw1lib.faces.features import (
    Part,
    batches,
    folds,
    label_noise,
    load_features,
    near_duplicates,
    rescale,
    split,
    split_rows,
)
from hw1lib.faces.kept import feature_folder, feature_table, fitted_preprocessor, shrink, small_pictures
from hw1lib.faces.preprocess import NORMALIZERS, Preprocessor

open = FaceDataset.open
