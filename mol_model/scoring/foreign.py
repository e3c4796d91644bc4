"""Predictions that another program made: read, held against the shards, in the form of our own."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mol_model.clips.shards import ShardSet
from mol_model.protocols.units import UNITS_MAPPING
from mol_model.scoring.predictions import VideoPrediction
from mol_model.scoring.remarks import listed
from mol_pipeline.contract.documents import Unreadable, read_document
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.escaping import FORMULA_STARTS

NEEDED = ("subject", "clip")
"""Columns that a table of predictions must have; `database` too where the shards hold several."""

Key = tuple[str, str, str]
"""Database, subject, clip."""


def predictions_of(
    data: ShardSet,
    said: Mapping[Key, str | Sequence[float]],
    *,
    folds: Mapping[Key, str] | None = None,
    partial: bool = False,
) -> list[VideoPrediction]:
    """What was said of each video, with what is true of it.

    Args:
        data: The shards, under the mapping of the classes.
        said: By database, subject and clip: the name of a class, or a probability for each.
        folds: Name of the fold in which each was tested, if that is known.
        partial: Whether videos may be missing.

    Raises:
        ConfigError: If a video is not in the shards, or none is said of one of them, or what is
            said is no class.
    """
    if data.mapping == UNITS_MAPPING:
        raise ConfigError("predictions of action units are not read; name a mapping of classes")
    numbers = {(v.database, v.subject, v.clip): i for i, v in enumerate(data.videos)}
    if unknown := sorted(said.keys() - numbers.keys()):
        raise ConfigError(
            f"predictions for {len(unknown)} videos that are not in the shards under mapping "
            f"{data.mapping}: {listed(['/'.join(key) for key in unknown])}"
        )
    absent = sorted(numbers.keys() - said.keys())
    if absent and not partial:
        raise ConfigError(
            f"no prediction for {len(absent)} of {len(numbers)} videos: "
            f"{listed(['/'.join(key) for key in absent])}; a score over the others would be of "
            "another test: predict them, or allow it with --partial"
        )
    return [
        VideoPrediction(
            fold=(folds or {}).get(key, ""),
            database=key[0],
            subject=key[1],
            clip=key[2],
            label=data.samples[number].label,
            probabilities=_probabilities(said[key], data.classes, key),
            end_point_error=math.nan,
            zero_flow_error=math.nan,
            nme=(math.nan,),
            mean_shape_nme=math.nan,
        )
        for key, number in numbers.items()
        if key in said
    ]


def _probabilities(
    said: str | Sequence[float], classes: Sequence[str], key: Key
) -> tuple[float, ...]:
    if isinstance(said, str):
        if said not in classes:
            raise ConfigError(
                f"{'/'.join(key)}: {said!r} is none of the classes {', '.join(classes)}"
            )
        return tuple(float(name == said) for name in classes)
    values = tuple(float(value) for value in said)
    if len(values) != len(classes) or not all(0 <= value <= 1 for value in values):
        raise ConfigError(
            f"{'/'.join(key)}: needs {len(classes)} probabilities from 0 to 1, in the order "
            f"{', '.join(classes)}"
        )
    return values


def read_predictions(path: Path, data: ShardSet, *, partial: bool = False) -> list[VideoPrediction]:
    """Predictions from a table in CSV, as `predictions.csv` of a run is one.

    Columns: `subject`, `clip`, `database` where the shards hold several; `predicted` with the name
    of a class, or `p_CLASS` with the probability of each; `fold` and `truth` if wanted. Others
    pass.

    Args:
        path: Of the table.
        data: The shards, under the mapping of the classes.
        partial: Whether videos may be missing.

    Raises:
        ConfigError: With the file and the line, if it is no such table, a video is there twice, or
            a truth is not that of the shards; and as `predictions_of`.
    """
    try:
        text = read_document(path).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a table of predictions") from None
    except (Unreadable, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    columns = set(rows[0]) if rows else set()
    chances = [f"p_{name}" for name in data.classes]
    has_chances = columns.issuperset(chances)
    needed = [*NEEDED, *(["database"] if len(data.databases) > 1 else [])]
    missing = [name for name in needed if name not in columns]
    if missing or not (has_chances or "predicted" in columns):
        wanted = missing or ["predicted, or " + ", ".join(chances)]
        raise ConfigError(f"{path}: has no column {', '.join(wanted)}")
    said: dict[Key, str | Sequence[float]] = {}
    folds: dict[Key, str] = {}
    truths = {
        (video.database, video.subject, video.clip): sample.label
        for video, sample in zip(data.videos, data.samples, strict=True)
    }
    for line, row in enumerate(rows, start=2):
        where = f"{path}, line {line}"
        cells = {name: _plain(cell) for name, cell in row.items() if isinstance(name, str)}
        key = (cells.get("database") or data.databases[0], cells["subject"], cells["clip"])
        if key in said:
            raise ConfigError(f"{where}: {'/'.join(key)} is there twice")
        if has_chances:
            said[key] = [_number(cells[name], where, name) for name in chances]
        else:
            said[key] = cells["predicted"]
        folds[key] = cells.get("fold", "")
        truth = cells.get("truth")
        if truth and key in truths and truth != data.classes[truths[key]]:
            raise ConfigError(
                f"{where}: {'/'.join(key)} is {truth!r} there and {data.classes[truths[key]]!r} in "
                f"the shards (mapping {data.mapping}); is another mapping meant?"
            )
    return predictions_of(data, said, folds=folds, partial=partial)


def _plain(cell: object) -> str:
    """A cell without the apostrophe that keeps spreadsheets from taking it for a formula."""
    text = cell if isinstance(cell, str) else ""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text


def _number(text: str, where: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{where}: {name} is {text!r}, no number") from None
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {name} is {text!r}, no finite number")
    return value
