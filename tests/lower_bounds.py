"""Print both requirements files with the oldest versions that pyproject.toml allows."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
allowed = list(project["dependencies"])
for lines in project["optional-dependencies"].values():
    allowed += lines
oldest = {re.match(r"[\w.-]+", line)[0]: line.replace(">=", "==") for line in allowed}
lines = [line for file in ROOT.glob("requirements*.txt") for line in file.read_text().splitlines()]
print(*oldest.values(), *(line for line in lines if line.split("==")[0] not in oldest), sep="\n")
