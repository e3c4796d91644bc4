"""The fair table: methods under one protocol, with spread over seeds and intervals over people.

It follows from what is finished on disk, so that it is the same however often the work stopped.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from mol_model.config.run_layout import METRICS_NAME, REPORT_NAME, finished_directories
from mol_model.reports.page import STYLE
from mol_model.reproduction.fair_document import FairDocument
from mol_model.reproduction.fair_run import COST_NAME, FairUnit
from mol_model.reproduction.table import MARKDOWN_NAME, TABLE_NAME
from mol_model.runs.seeds import summarise_seeds
from mol_model.scoring.predictions import VideoPrediction, load_predictions
from mol_model.scoring.remarks import remarks
from mol_model.scoring.scores import SCORES
from mol_model.scoring.uncertainty import counts_of_people, holm, intervals, permutation_test
from mol_pipeline.contract.escaping import link, markdown
from mol_pipeline.contract.files import write_atomically

SHOWN = ("unweighted_f1", "unweighted_average_recall", "accuracy", "weighted_f1")
"""Scores of the table, the first is the one that tests are made of."""

COMPOSITE = ("casme2", "samm", "smic-hs")

PUBLISHED: dict[str, tuple[float, float, str]] = {
    "lbp-top": (0.588, 0.579, "no choice"),
    "bi-woof": (0.630, 0.623, "no choice"),
    "off-apexnet": (0.720, 0.710, "last epoch"),
    "ststnet": (0.7353, 0.7605, "last epoch"),
    "rcn-a": (0.743, 0.719, "not known"),
    "htnet": (0.860, 0.848, "best on the test subject"),
}
"""UF1 and UAR on the composite of MEGC 2019 (442 clips) and how the model was chosen, where known:
the papers, and the log in STSTNet's repository."""


def make_fair_table(
    document: FairDocument, units: Sequence[FairUnit], out: Path, failures: Mapping[str, str]
) -> dict[str, Any]:
    """The table as one JSON-able object.

    Args:
        document: What is compared.
        units: All of its runs.
        out: Where they lie.
        failures: Run -> why it failed, in this session.
    """
    groups: dict[tuple[str, str], list[FairUnit]] = {
        (choice, method.run): [] for choice in document.selections for method in document.methods
    }
    for unit in units:
        groups[unit.selection, unit.method.run].append(unit)
    # Read once: rows and tests are made of them.
    counts = {unit.words: _counts(unit) for unit in units if _finished(unit)}
    rows = [_row(group, counts, out, failures) for group in groups.values()]
    synthetic = any(unit.data.synthetic for unit in units)
    return {
        "title": document.title,
        "note": document.note,
        "synthetic": synthetic,
        "protocol": document.protocol.name,
        "mapping": document.mapping,
        "seeds": list(document.seeds),
        "selections": list(document.selections),
        "videos": len(units[0].data.videos),
        "people": len({sample.person for sample in units[0].data.samples}),
        "rows": rows,
        "tests": _tests(document, groups, counts),
        "published": _published(document, units) if not synthetic else {},
    }


def _row(
    units: Sequence[FairUnit],
    counts: Mapping[str, np.ndarray],
    out: Path,
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """A method under one choice of the model, over its finished seeds."""
    first = units[0]
    done = [unit for unit in units if unit.words in counts]
    failed = [failures[unit.words] for unit in units if unit.words in failures]
    row: dict[str, Any] = {
        "name": first.method.name,
        "run": first.method.run,
        "network": first.config.network,
        "selection": first.selection,
        "state": f"{len(done)} of {len(units)} seeds" + (f"; {failed[0]}" if failed else ""),
        "reports": [(unit.directory / REPORT_NAME).relative_to(out).as_posix() for unit in done],
        "scores": {},
    }
    if not done:
        return row
    metrics = {unit.seed: _read(unit.directory / METRICS_NAME) for unit in done}
    spread = summarise_seeds(metrics)["spread"]
    sure = intervals(np.stack([counts[unit.words] for unit in done]))
    row["scores"] = {
        name: {**spread[name], "interval": list(sure[name])} for name in SHOWN if name in spread
    }
    row["remarks"] = sorted({words for one in metrics.values() for words in remarks(one)})
    costs = [_read(unit.directory / COST_NAME) for unit in done]
    seconds = [cost["seconds"] for cost in costs if cost["seconds"] is not None]
    row |= {
        "parameters": costs[0]["parameters"],
        "gflop": costs[0]["gflop"],
        "seconds": float(np.median(seconds)) if seconds else None,
    }
    return row


def _finished(unit: FairUnit) -> bool:
    return (
        unit.finished == len(unit.folds)
        and (unit.directory / METRICS_NAME).is_file()
        and (unit.directory / COST_NAME).is_file()
    )


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def _predictions(unit: FairUnit) -> list[VideoPrediction]:
    places = finished_directories(unit.directory)
    return [video for place in places for video in load_predictions(place)]


def _counts(unit: FairUnit) -> np.ndarray:
    return counts_of_people(_predictions(unit), len(unit.data.classes))


def _tests(
    document: FairDocument,
    groups: Mapping[tuple[str, str], Sequence[FairUnit]],
    counts: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Every pair of methods under the first choice of the model, by Holm's correction."""
    whole: dict[str, np.ndarray] = {}
    for method in document.methods:
        own = groups[document.selections[0], method.run]
        if all(unit.words in counts for unit in own):
            whole[method.run] = np.stack([counts[unit.words] for unit in own])
    values = {
        (first, second): permutation_test(whole[first], whole[second], SHOWN[0])
        for first, second in itertools.combinations(whole, 2)
    }
    corrected = holm(values)
    return {
        "score": SHOWN[0],
        "selection": document.selections[0],
        "pairs": [
            {"first": first, "second": second, "p": value, "p_corrected": corrected[first, second]}
            for (first, second), value in values.items()
        ],
    }


def _published(document: FairDocument, units: Sequence[FairUnit]) -> dict[str, Any]:
    """Numbers of the literature, where ours are of the same clips under the same protocol."""
    data = units[0].data
    same = (
        document.protocol.name == "composite"
        and set(data.databases) == set(COMPOSITE)
        and len(data.videos) == 442
    )
    return {
        unit.method.run: dict(
            zip(("uf1", "uar", "choice"), PUBLISHED[unit.config.network], strict=True)
        )
        for unit in units
        if same and unit.config.network in PUBLISHED
    }


def write_fair_table(out: Path, table: Mapping[str, Any]) -> Path:
    """Write `table.json`, `table.md` and the page; returns the page."""
    content = (json.dumps(table, indent=1) + "\n").encode()
    write_atomically(out / TABLE_NAME, content)
    write_atomically(out / MARKDOWN_NAME, fair_markdown(table).encode())
    environment = jinja2.Environment(autoescape=True)
    environment.filters["link"] = link
    page = environment.from_string(PAGE).render(
        t=table, style=markupsafe.Markup(STYLE), head=_head(table), cells=_cells
    )
    write_atomically(out / REPORT_NAME, page.encode())
    return out / REPORT_NAME


def _head(table: Mapping[str, Any]) -> list[str]:
    return [
        "method",
        "model choice",
        *(f"{SCORES[name].short}, % ± over seeds [95 % over people]" for name in SHOWN),
        "parameters",
        "GFLOP",
        "seconds",
        "state",
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    """A row as texts."""
    choice = row["selection"] + (" (OPTIMISTIC)" if row["selection"] == "test-best" else "")
    scores = [_score(row["scores"].get(name)) for name in SHOWN]
    cost = ["", "", ""]
    if row["scores"]:
        seconds = row["seconds"]
        cost = [
            f"{row['parameters']:,}",
            f"{row['gflop']:.3g}",
            "" if seconds is None else f"{seconds:.0f}",
        ]
    return [row["name"], choice, *scores, *cost, row["state"]]


def _score(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    deviation = found["standard_deviation"]
    spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
    low, high = (100 * value for value in found["interval"])
    return f"{100 * found['mean']:.1f}{spread} [{low:.0f}, {high:.0f}]"


def fair_markdown(table: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    mark = "SYNTHETIC: " if table["synthetic"] else ""
    head = _head(table)
    lines = [
        f"# {mark}{markdown(table['title'])}",
        "",
        *(
            [
                "The faces are photographs moved by a program: no number here may stand beside a "
                "published one.",
                "",
            ]
            if table["synthetic"]
            else []
        ),
        f"{table['videos']} videos of {table['people']} people, protocol {table['protocol']}, "
        f"seeds {', '.join(map(str, table['seeds']))}.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(map(markdown, _cells(row)))} |" for row in table["rows"]),
        "",
    ]
    if table["tests"]["pairs"]:
        lines += [
            f"Differences in UF1 under `{table['tests']['selection']}`, people exchanged, p by "
            "Holm's correction:",
            "",
            *(
                f"- {pair['first']} against {pair['second']}: {pair['p_corrected']:.3f}"
                for pair in table["tests"]["pairs"]
            ),
            "",
        ]
    for run, one in table["published"].items():
        numbers = f"UF1 {one['uf1']}, UAR {one['uar']}"
        lines.append(f"- published of {run}: {numbers}; model choice: {one['choice']}")
    return "\n".join(lines) + "\n"


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ t.title }}</title>
{{ style }}
<h1>{% if t.synthetic %}SYNTHETIC: {% endif %}{{ t.title }}</h1>
{% if t.synthetic %}<p class="synthetic"><b>Synthetic data.</b> The faces are photographs moved by a
program. These numbers show that the software works; they must not stand beside published
results.</p>{% endif %}
<p>{{ t.videos }} videos of {{ t.people }} people; protocol {{ t.protocol }}, mapping
{{ t.mapping }}; seeds {{ t.seeds|join(", ") }}. Every method sees the same clips in the same
folds.</p>
<table><tr>{% for name in head %}<th>{{ name }}{% endfor %}<th>runs
{% for row in t.rows %}<tr>{% for cell in cells(row) %}<td>{{ cell }}{% endfor %}
<td>{% for place in row.reports %}<a href="{{ place|link }}">{{ loop.index }}</a> {% endfor %}
{% endfor %}</table>
<p>± is the standard deviation over seeds; brackets are 95 % intervals over people of the mean over
seeds. <b>test-best</b> chooses the model on the test people and is optimistic: it stands here to
show by how much.</p>
{% if t.tests.pairs %}<h2>Differences in UF1</h2>
<p>Under {{ t.tests.selection }}; people are exchanged between two methods; p after Holm's
correction for {{ t.tests.pairs|length }} comparisons.</p>
<table><tr><th>first<th>second<th>p<th>p, corrected
{% for pair in t.tests.pairs %}<tr><td>{{ pair.first }}<td>{{ pair.second }}
<td>{{ "%.3f"|format(pair.p) }}<td>{{ "%.3f"|format(pair.p_corrected) }}
{% endfor %}</table>{% endif %}
{% if t.published %}<h2>Published</h2><table><tr><th>method<th>UF1<th>UAR<th>model choice
{% for run, one in t.published.items() %}<tr><td>{{ run }}<td>{{ one.uf1 }}<td>{{ one.uar }}
<td>{{ one.choice }}{% endfor %}</table>{% endif %}
{% if t.note %}<p>{{ t.note }}</p>{% endif %}
</html>
"""
