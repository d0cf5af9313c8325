"""The report's CSV files (2.1): a chunk holds labels and features of a thousand faces."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from hw1lib.checks import FileError

LABELS = ["file", "age", "gender", "race"]
LABEL_TYPES = {"file": "string", "age": "int64", "gender": "int64", "race": "int64"}
AGAIN = "delete the folder and export it again"


def feature_names(n: int) -> list[str]:
    """Return the columns f000, f001, ..."""
    return [f"f{i:03d}" for i in range(n)]


def chunk_names(n: int) -> list[str]:
    """Return the files of n chunks, chunk_00.csv, chunk_01.csv, ..."""
    digits = max(2, len(str(n - 1)))
    return [f"chunk_{i:0{digits}d}.csv" for i in range(n)]


def chunk_text(labels: pd.DataFrame, features: np.ndarray) -> str:
    """Return a chunk of labels and float32 features, whose 9 digits bring back the same number."""
    n_features = features.shape[1]
    lines = [",".join(LABELS + feature_names(n_features))]
    row = "%s,%d,%d,%d" + ",%.9g" * n_features  # DataFrame.to_csv takes four times as long
    for face, numbers in zip(labels.itertuples(index=False), features.tolist(), strict=True):
        lines.append(row % (*face, *numbers))
    return "\n".join(lines) + "\n"


def load_features(folder) -> pd.DataFrame:
    """Read all chunks of a folder into one table: file, age, gender, race, features as float32.

    FileError names a chunk that is missing, cut, or not as ``Preprocessor.export`` writes it.
    """
    files = sorted(Path(folder).glob("chunk_*.csv"))
    if not files:
        raise FileError(f"there is no chunk_*.csv in {folder}: Preprocessor.export writes them")
    for file, name in zip(files, chunk_names(len(files)), strict=True):
        if file.name != name:
            raise FileError(f"{folder} should hold {name} before {file.name}; {AGAIN}")
    chunks = [_read_chunk(file) for file in files]
    first = chunks[0]
    for file, chunk in zip(files, chunks, strict=True):
        same_length = len(chunk) == len(first) or (file == files[-1] and len(chunk) < len(first))
        if not same_length or len(chunk.columns) != len(first.columns):
            raise FileError(f"{file} has other rows or columns than {files[0].name}; {AGAIN}")
    return pd.concat(chunks, ignore_index=True).copy()  # in one piece


def _read_chunk(file: Path) -> pd.DataFrame:
    try:
        if not file.read_bytes().endswith(b"\n"):
            raise ValueError("it is cut")
        chunk = pd.read_csv(file, dtype=defaultdict(lambda: "float32", LABEL_TYPES))
        n_features = max(1, len(chunk.columns) - len(LABELS))
        if list(chunk.columns) != LABELS + feature_names(n_features):
            raise ValueError("its columns are not file, age, gender, race, f000, f001, ...")
        row_by_row = isinstance(chunk.index, pd.RangeIndex)  # not with a field more than columns
        complete = row_by_row and len(chunk) and np.isfinite(chunk.iloc[:, 1:].to_numpy()).all()
        if not complete:
            raise ValueError("a number is missing, or none")
    except (OSError, ValueError) as error:
        reason = str(error).strip()
        raise FileError(f"{file} is no whole chunk of features ({reason}); {AGAIN}") from error
    return chunk
