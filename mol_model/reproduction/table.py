"""What the runs on disk say, row by row, beside the paper's numbers.

The table follows from the plan and from what is finished on disk, so that it is the same
however often the work was interrupted. The paper's numbers stand in it only where ours come
from that very database: never beside demo data.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mol_model.config.run_layout import LANDMARKS_NAME, WARP_NAME, fold_directory
from mol_model.reproduction.document import Row
from mol_model.reproduction.peers import peer_metrics
from mol_model.reproduction.plan import Plan
from mol_model.reproduction.units import Unit
from mol_model.runs.seeds import summarise_seeds
from mol_model.scoring.remarks import remarks
from mol_model.scoring.scores import SCORES
from mol_pipeline.contract.escaping import markdown
from mol_pipeline.contract.files import write_atomically

TABLE_NAME = "table.json"
MARKDOWN_NAME = "table.md"

PICTURES = {"warp": WARP_NAME, "landmarks": LANDMARKS_NAME}
"""Figure -> the picture that each fold draws of it."""


def make_table(plan: Plan, failures: dict[str, str]) -> dict[str, Any]:
    """The table as one JSON-able object.

    Args:
        plan: What was to be done.
        failures: Run -> why it failed, in this session.
    """
    document = plan.document
    return {
        "name": Path(plan.request.name).stem,
        "title": document.title,
        "source": document.source,
        "note": document.note,
        "synthetic": plan.synthetic,
        "marks": _marks(plan),
        "metrics": {
            score: {"name": SCORES[score].name, "unit": SCORES[score].unit}
            for score in document.metrics
        },
        "figure": document.figure,
        "rows": [_row(plan, row, failures) for row in document.rows],
    }


def _marks(plan: Plan) -> list[str]:
    """What a reader must know before the numbers."""
    marks = []
    if plan.synthetic:
        marks.append("SYNTHETIC data: the numbers show that the software works and nothing else")
    if plan.request.preset != "paper":
        marks.append(f"preset {plan.request.preset}: not the network of the paper")
    if plan.request.overrides:
        marks.append(f"settings changed: {', '.join(plan.request.overrides)}")
    selections = {unit.config.training.selection for unit in plan.units}
    if "test-best" in selections:
        marks.append("OPTIMISTIC: the models were chosen on the test folds themselves")
    if any(unit.config.data.shuffle_labels for unit in plan.units):
        marks.append("CONTROL: the labels of the training videos were shuffled")
    marks += dict.fromkeys(words for unit in plan.units for words in remarks(unit.metrics() or {}))
    partial = [unit for unit in plan.units if len(unit.folds) < unit.folds_of_protocol]
    if partial:
        unit = partial[0]
        marks.append(
            f"{len(unit.folds)} of {unit.folds_of_protocol} folds of the protocol: no result of it"
        )
    return marks


def _row(plan: Plan, row: Row, failures: dict[str, str]) -> dict[str, Any]:
    """One row: its state, and the scores of what is finished."""
    result: dict[str, Any] = {"name": row.name, "run": row.run, "note": "", "seeds": []}
    units = plan.units_of(row.run)
    peer = next((unit for unit in plan.peers if unit.row.run == row.run), None)
    if row.run in plan.missing:
        return {**result, "state": "shards not given", "note": plan.missing[row.run], "scores": {}}
    if peer is not None:
        metrics = peer_metrics(peer, plan.request.peer_weights) if peer.predictor else None
        finished = {0: metrics} if metrics else {}
        state = "done" if metrics else "weights not installed"
        note, synthetic = "" if metrics else row.how, peer.data.synthetic
    else:
        finished = {unit.seed: metrics for unit in units if (metrics := unit.metrics())}
        result["seeds"] = list(finished)
        state = "done" if len(finished) == len(units) else "not finished"
        note, synthetic = _progress(units), any(unit.data.synthetic for unit in units)
        result["pictures"] = _pictures(plan, units)
    if (
        state == "done"
        and row.part
        and not any(_part_of(row, metrics) for metrics in finished.values())
    ):
        note = f"no video of {row.part} is tested in these folds"
    if row.run in failures:
        state, note = "failed", failures[row.run]
    paper = {} if synthetic else row.paper
    return {
        **result,
        "state": state,
        "note": note,
        "scores": _scores(plan, row, finished, paper),
    }


def _part_of(row: Row, metrics: dict[str, Any]) -> dict[str, Any]:
    """Scores that a row shows: of all databases, or of one."""
    return metrics.get("by_database", {}).get(row.part, {}) if row.part else metrics


def _progress(units: list[Unit]) -> str:
    done, of = sum(unit.finished for unit in units), sum(len(unit.folds) for unit in units)
    return "" if done == of else f"{done} of {of} folds done"


def _scores(
    plan: Plan, row: Row, finished: dict[int, dict[str, Any]], paper: dict[str, float]
) -> dict[str, Any]:
    """Ours with its spread, and the paper's where it may stand there."""
    parts = {seed: _part_of(row, metrics) for seed, metrics in finished.items()}
    spread = summarise_seeds(parts)["spread"] if parts else {}
    scores: dict[str, Any] = {}
    for score in plan.document.metrics:
        factor = SCORES[score].factor
        if score in spread:
            of_seeds = spread[score]
            deviation = of_seeds["standard_deviation"]
            scores[score] = {
                "ours": factor * of_seeds["mean"],
                "standard_deviation": None if deviation is None else factor * deviation,
                "values": [factor * value for value in of_seeds["values"]],
            }
        if score in paper:
            scores.setdefault(score, {})["paper"] = paper[score]
    return scores


def _pictures(plan: Plan, units: list[Unit]) -> list[str]:
    """Paths, below the table's directory, of the pictures of a row."""
    if plan.document.figure is None:
        return []
    return [
        path.relative_to(plan.request.options.out).as_posix()
        for unit in units
        for fold in unit.folds
        if (
            path := fold_directory(unit.directory, fold.name) / PICTURES[plan.document.figure]
        ).is_file()
    ]


def table_text(table: dict[str, Any], shown: Callable[[object], str] = str) -> str:
    """The table in Markdown, for a terminal, or for a file with what `shown` makes of names."""
    with_paper = any("paper" in score for row in table["rows"] for score in row["scores"].values())
    heads = ["row"]
    for metric in table["metrics"].values():
        heads += [f"{metric['name']}, {metric['unit']}"] + (["paper"] if with_paper else [])
    heads += ["seeds", "state"]
    lines = [f"{shown(table['source'])}: {shown(table['title'])}", ""]
    lines += [f"- **{mark}**" for mark in table["marks"]] + [""] * bool(table["marks"])
    lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in table["rows"]:
        cells = [shown(row["name"])]
        for score in table["metrics"]:
            score_of_row = row["scores"].get(score, {})
            cells.append(ours_text(score_of_row))
            cells += [paper_text(score_of_row)] if with_paper else []
        cells += [str(len(row["seeds"])) if row["seeds"] else "", row["state"]]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [""] + [f"{shown(row['name'])}: {row['note']}" for row in table["rows"] if row["note"]]
    return "\n".join([*lines, table["note"]]).rstrip() + "\n"


def ours_text(score: dict[str, Any]) -> str:
    """Our number with its standard deviation over seeds."""
    if "ours" not in score:
        return ""
    deviation = score["standard_deviation"]
    return f"{score['ours']:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")


def paper_text(score: dict[str, Any]) -> str:
    """The paper's number as it prints it."""
    return f"{score['paper']:g}" if "paper" in score else ""


def write_table(out: Path, table: dict[str, Any]) -> None:
    """Write `table.json` and `table.md`, by rename."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / TABLE_NAME, (json.dumps(table, indent=1) + "\n").encode())
    write_atomically(out / MARKDOWN_NAME, table_text(table, markdown).encode())
