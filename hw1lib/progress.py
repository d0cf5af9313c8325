"""One progress bar for everything that takes seconds; what works without a terminal."""

from __future__ import annotations

import sys

from tqdm.auto import tqdm


def processes(n_jobs: int) -> int:
    """Return how many processes to start: one where there is no stderr, which joblib flushes."""
    return 1 if sys.stdout is None or sys.stderr is None else n_jobs


def bar(iterable=None, description: str = "", total=None, progress: bool = True, unit: str = "it"):
    """Return tqdm's bar, in a notebook or a terminal; none where nobody reads stderr."""
    silent = not progress or sys.stderr is None  # as in a service
    return tqdm(iterable, description, total, leave=False, disable=silent, unit=unit)
