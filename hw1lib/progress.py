"""One progress bar for everything that takes seconds."""

from __future__ import annotations

import sys

from tqdm.auto import tqdm


def bar(iterable=None, description: str = "", total=None, progress: bool = True, unit: str = "it"):
    """Return tqdm's bar, in a notebook or a terminal; none where nobody reads stderr."""
    silent = not progress or sys.stderr is None  # as in a service
    return tqdm(iterable, description, total, leave=False, disable=silent, unit=unit)
