"""What cog writes into README.md, MODEL_CARD.md and the benchmarks' page: see `make format`.

Numbers are those recorded on UTKFace, and the measured speeds.
"""

import json
import re
from pathlib import Path

import pandas as pd

from hw1lib import show, study
from hw1lib.show.printed import digest
from hw1lib.study import confirm

SPEEDS = json.loads((Path(__file__).parent / "benchmarks" / "results.json").read_text("utf-8"))
FEW = 20  # groups of fewer faces are left out


def markdown(table: pd.DataFrame, corner: str) -> str:
    """Return a table as Markdown; ``corner`` stands above the index."""
    rows = [[corner, *table.columns], ["---"] * (1 + len(table.columns))]
    rows += [[name, *cells] for name, cells in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def experiments(*others: str) -> str:
    """Return what the report prints beside what is recorded, and others that are recorded."""
    table = study.published_table([*study.PUBLISHED, *others])
    return markdown(table.rename(index="`{}`".format), "experiment")


def verdicts() -> str:
    """Return what the report concludes, and the same under other settings."""
    compared = study.compare(study.recorded())
    shown = compared["claimed"] | compared.index.str.startswith("...")
    table = study.verdict_table(compared[shown]).drop(columns="margin")
    return markdown(table, "question")


def same_settings() -> str:
    runs = study.recorded()
    excluded, pairs = study.same_settings(runs[runs["epochs"] > 0])
    return (
        f"There are {len(study.COMPARISONS)} such questions, the notebooks' other ones too. As a "
        f"check, each setting was compared with itself: of {pairs} intervals between networks that "
        f"differ in their seed alone, {excluded} exclude 0 ({100 * excluded / pairs:.0f} %, where "
        "5 % would be no surprise)."
    )


def recorded(*names: str) -> str:
    return markdown(study.recorded_table({name: f"`{name}`" for name in names}), "experiment")


def networks(*names: str) -> str:
    rows = {}
    for name in names:
        experiment = study.EXPERIMENTS[name]
        target = study.TARGETS[experiment.target]
        layers = "-".join(map(str, [128, *experiment.hidden, target.outputs]))
        settings = {"predicts": experiment.target, "layers": layers, "loss": target.loss}
        if experiment.filters:
            blocks = "-".join(map(str, experiment.filters))
            settings = {"predicts": ", ".join(experiment.targets), "loss": "the three together"}
            settings["layers"] = f"40x40x3, filters {blocks}, {experiment.hidden[0]}-8"
        rows[f"`{name}`"] = settings | {"epochs": experiment.epochs}
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "experiment")


def claims() -> str:
    """Return what is confirmed or refuted on other faces, and by which margin it would matter."""
    rows = {}
    for claim in confirm.CLAIMS:
        target = study.TARGETS[study.EXPERIMENTS[claim.first].target]
        measured = {"rmse": "RMSE of age", "accuracy": "accuracy, race label"}[target.metric]
        row = {"first": f"`{claim.first}`", "second": f"`{claim.second}`", "measured": measured}
        row["claimed sign"] = "negative" if target.sign > 0 else "positive"
        rows[claim.claim] = row | {
            "margin": f"{confirm.SAME[target.metric]} {confirm.UNITS[target.metric]}"
        }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "claim")


def confirmed_settings() -> str:
    """Return the settings of what is trained for these claims."""
    names = ["hidden", "filters", "epochs", "learning_rate", "weight_decay", "whitening"]
    names += ["initializer", "output_bias", "normalizer"]
    rows = {f"`{name}`": study.EXPERIMENTS[name].settings() for name in confirm.NAMES}
    table = pd.DataFrame.from_dict(rows, orient="index")[names].map(
        lambda value: "-" if isinstance(value, float) and pd.isna(value) else value
    )
    return markdown(table.rename(columns=lambda name: name.replace("_", " ")), "experiment")


def groups(*names: str) -> str:
    """Return results by group of faces with 95 % intervals: years, or per cent that are right."""
    table = study.recorded("groups")
    table = table[(table["n"] >= FEW) & table["experiment"].isin(names)]
    labels = {"race label": show.RACES, "gender label": show.GENDERS}
    cells: dict = {}
    for row in table.itertuples():
        unit = 1 if study.EXPERIMENTS[row.experiment].target == "age" else 100
        value, low, high = (unit * number for number in (row.value, row.low, row.high))
        group = labels[row.kind][row.group] if row.kind in labels else row.group
        faces = cells.setdefault(f"{row.kind} {group}", {"faces": f"{row.n:,}"})
        faces[f"`{row.experiment}`"] = f"{value:.1f} ({low:.1f} to {high:.1f})"
    table = pd.DataFrame.from_dict(cells, orient="index")
    return markdown(table[["faces", *map("`{}`".format, names)]], "group")


def labels() -> str:
    noise = study.recorded("label_noise").iloc[0]
    differs = [f"{100 * noise[f'{name}_differs']:.0f} %" for name in ("age", "gender", "race")]
    return (
        "**How good they are.** "
        f"{noise['near_duplicates']:,.0f} faces have a near-duplicate. {noise['faces']:.0f} are, "
        f"but for rounding, the same picture as another; of the {noise['pairs']:.0f} pairs of "
        f"these, {differs[0]} differ in age, {differs[1]} in the gender label and {differs[2]} in "
        "the race label. If that is typical, and two labels of a face err independently, an age "
        f"label is off by {noise['age_spread']:.1f} years (root mean square), and "
        f"{100 * noise['race_wrong']:.0f} % of the race labels are wrong "
        f"(each wrong label as likely as another). Neither is sure: many "
        "labels may be copies of each other (notebook 10)."
    )


def speeds(*begins: str) -> str:
    """Return the measured speeds; or of those whose names begin so, the ones beside a library."""
    table = pd.DataFrame(SPEEDS["rows"]).set_index("what")
    if begins:
        beside_library = table["against"].str.contains("PyTorch|scikit-learn")
        table = table[beside_library & table.index.str.startswith(begins)]
    for column in ("ratio", "goal"):
        table[column] = table[column].map("{:.2f}".format)
    return markdown(table.rename(columns={"goal": "goal at most"}), "what")


def cost() -> str:
    """Return what a face costs, from the seconds that the benchmarks' names tell."""
    told = " ".join(row["what"] for row in SPEEDS["rows"])
    export = float(re.search(r"export 20,000 faces, s \((\d+\.\d) and", told)[1])
    minutes = float(re.search(r"8,000 epochs .*?, 16,200 faces \((\d+\.\d) minutes\)", told)[1])
    return (
        f"A face costs about {1e3 * export / 20_000:.1f} ms and {4 * 128} bytes once, from its "
        f"JPEG to 128 features, and {6e7 * minutes / 8_000 / 16_200:.1f} µs in each epoch that "
        "trains 128-64-5, on [two cores](tests/benchmarks/README.md)."
    )


def printed_cells() -> str:
    """Return the digests of the notebooks' code cells, by which a reader's change is seen."""
    notebooks = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
    cells = [cell for n in notebooks for cell in json.loads(n.read_text("utf-8"))["cells"]]
    return "\n".join(digest("".join(c["source"])) for c in cells if c["cell_type"] == "code")
