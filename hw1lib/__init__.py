"""A homework report on fully connected networks, re-runnable.

Four rooms, each with the public names in its ``__init__``; they are opened by
``from hw1lib import faces, nn, show, study``.

nn     the networks and their parts, written from scratch
faces  from files of faces to a table of features
study  the report's experiments: run, recorded, compared
show   what people look at: figures, tables, the page

show imports study, study imports nn and faces, and all may import cache, files and checks; nothing
imports the other way.
"""

import sys

__version__ = "0.1.0"

if sys.platform == "emscripten":
    from hw1lib import in_browser  # noqa: F401
