"""The JSON documents of a run as they are read back: whole and of the right kinds, or named errors.

A run's directory comes from other machines, disks that were full, and people who edit. What is read
here is checked for what its readers use; further keys pass.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mol_pipeline.contract.documents import Unreadable, parse_json, read_document
from mol_pipeline.contract.errors import MolError
from mol_pipeline.contract.validation import first_problem

Checked = TypeVar("Checked")

Count = Annotated[int, Field(ge=0, le=2**53)]


Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Both ends of an interval."""


def _one_name(name: str) -> str:
    if name in {"", ".", ".."} or set(name) & set("/\\\0") or len(name) > 255:
        raise ValueError("is no name of a fold")
    return name


FoldName = Annotated[str, AfterValidator(_one_name)]
"""A name in the run's own directory; no way out of it."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class RunDocument(_Document):
    """`run.json`: what a run is, by which it is continued."""

    folds: Annotated[list[FoldName], Field(min_length=1)]
    config_hash: str = ""
    manifest_hash: str = ""
    started_from: str | None = None


class Running(_Document):
    """`running.json` of a fold: who works on it."""

    host: str
    process: Annotated[int, Field(ge=1, lt=2**31)]
    job: str | int | None = None
    since: Annotated[float, Field(allow_inf_nan=False)]


class Failed(_Document):
    """`failed.json` of a fold."""

    message: str


class _Recognition(_Document):
    accuracy: float
    weighted_f1: float
    unweighted_f1: float
    unweighted_average_recall: float


class _ActionUnits(_Document):
    f1_over_units: float
    f1_over_databases: float


class _Intervals(_Document):
    """Intervals over people, of the scores of recognition."""

    level: float
    people: Count
    accuracy: Pair
    weighted_f1: Pair
    unweighted_f1: Pair
    unweighted_average_recall: Pair


class _Flow(_Document):
    average_end_point_error_px: float
    zero_flow_end_point_error_px: float
    not_scored: list[str] = []


class _Landmarks(_Document):
    inter_ocular_nme_percent: float
    mean_shape_nme_percent: float
    failure_rate_percent_at_10: float
    not_scored: list[str] = []


class _Spread(_Document):
    mean: float
    standard_deviation: float | None
    least: float
    greatest: float


class _Scores(_Document):
    """Scores of a run, or of one of its folds where each is a result of its own."""

    videos: Count = 0
    recognition: _Recognition | None = None
    majority_class: _Recognition | None = None
    action_units: _ActionUnits | None = None
    always_yes: _ActionUnits | None = None
    intervals: _Intervals | None = None
    flow: _Flow | None = None
    landmarks: _Landmarks | None = None
    spread: dict[str, _Spread] | None = None


class Metrics(_Scores):
    """`metrics.json`: the pooled scores of a run, of several seeds of it, or of an evaluation."""

    synthetic: bool = False
    databases: list[str] = []
    protocol: str = ""
    folds: Count = 0
    folds_of_protocol: Count = 0
    label_mapping: str = ""
    selection: str = ""
    selection_means: str = ""
    shuffled_labels: bool = False
    manifest_hash: str = ""
    alignment: list[str] = []
    classes: list[str] = []
    seed: Count | None = None
    seeds: Annotated[list[Count], Field(min_length=1)] | None = None
    unknown_people: bool = False
    published: dict[str, _ActionUnits] = {}
    notes: list[str] = []
    by_fold: dict[str, _Scores] = {}


class Prediction(_Document):
    """One video of `predictions.json`."""

    fold: str
    database: str
    subject: str
    clip: str
    label: Count
    probabilities: list[float]
    end_point_error: float
    zero_flow_error: float
    nme: list[float]
    mean_shape_nme: float
    units: list[Literal[-1, 0, 1]] = []


PREDICTIONS = TypeAdapter(list[Prediction])


def read_checked(
    path: Path,
    kind: type[BaseModel] | TypeAdapter[Any],
    error: type[MolError],
    advice: str,
    *,
    needs: Iterable[str] = (),
) -> Any:
    """A JSON document as plain values, checked.

    Args:
        path: Of the file.
        kind: What it must be.
        error: What to raise.
        advice: What to do about a damaged file, for the message.
        needs: Keys that must be there besides.

    Raises:
        FileNotFoundError: If there is no file.
        error: If it cannot be read, is no JSON, or something else; one line that names the place.
    """
    try:
        document = parse_json(read_document(path))
        if isinstance(kind, TypeAdapter):
            kind.validate_python(document)
        else:
            kind.model_validate(document)
    except Unreadable as problem:
        raise error(f"{path}: {problem}; {advice}") from problem
    except ValidationError as problem:
        raise error(f"{path}: {first_problem(problem)}; {advice}") from problem
    for name in needs:
        if name not in document:
            raise error(f"{path}: {name} is not there; {advice}")
    return document
