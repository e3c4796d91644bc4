"""The files of a run by name. Each is spelled here and nowhere else.

RUN/config.yaml            settings, resolved; can be fed back with --config
RUN/run.json               what the run is: data, protocol, settings, the names of its folds
RUN/predictions.csv        one line per held-out video
RUN/metrics.json           pooled scores
RUN/report.html            all of it to look at, with curves.png and confusion.png
RUN/MODEL_CARD.md          what the models are good for
RUN/folds/FOLD/            checkpoint, best, metrics.jsonl, tensorboard/, pictures, and its state:
    predictions.json       finished
    running.json           who trains it, and since when
    failed.json            why it could not be trained
RUN/seed-N/                such a run for each of several seeds; RUN has metrics.json and reports

The names lie below all rooms, since training, scoring and pictures write some of these files and
know no run; what is done with a whole directory is in `mol_model.runs.directory`.
"""

from collections.abc import Iterable
from pathlib import Path

SETTINGS_NAME = "config.yaml"
RUN_NAME = "run.json"
TABLE_NAME = "predictions.csv"
METRICS_NAME = "metrics.json"
REPORT_NAME = "report.html"
CARD_NAME = "MODEL_CARD.md"
CURVES_NAME = "curves.png"
CONFUSION_NAME = "confusion.png"
FOLDS_NAME = "folds"

PREDICTIONS_NAME = "predictions.json"
"""In a fold's directory; a fold that has it is finished."""
RUNNING_NAME = "running.json"
FAILED_NAME = "failed.json"
LOG_NAME = "metrics.jsonl"
EVENTS_NAME = "tensorboard"
CHECKPOINT_NAME = "checkpoint"
"""Without ending; see `training.checkpoint`."""
BEST_NAME = "best"
"""Of the checkpoint that was best on the people by whom the model is chosen."""
FLOW_NAME = "flow.png"
WARP_NAME = "warp.png"
LANDMARKS_NAME = "landmarks.png"
PICTURE_NAMES = (FLOW_NAME, WARP_NAME, LANDMARKS_NAME)

SEED_PREFIX = "seed-"

START_ANEW = "choose another --out, or --overwrite to start anew"
"""What to do about a directory that holds something else."""


def fold_directory(run: Path, fold: str) -> Path:
    """Where a fold of a run lies."""
    return run / FOLDS_NAME / fold


def run_of_fold(directory: Path) -> Path:
    """The run that a fold's directory belongs to."""
    return directory.parent.parent


def finished_directories(run: Path) -> list[Path]:
    """Directories of the folds that have their predictions, by name."""
    return sorted(path.parent for path in run.glob(f"{FOLDS_NAME}/*/{PREDICTIONS_NAME}"))


def seed_directory(out: Path, seed: int) -> Path:
    """Where the run of one of several seeds lies."""
    return out / f"{SEED_PREFIX}{seed}"


def runs_in(out: Path) -> list[Path]:
    """The run in a directory, or those of its seeds: every place that has settings."""
    places = (out, *sorted(out.glob(f"{SEED_PREFIX}*")))
    return [place for place in places if (place / SETTINGS_NAME).is_file()]


def another_run(place: Path | str, differs: Iterable[str]) -> str:
    """The refusal of a directory that is another run's, in words.

    Args:
        place: Directory or file that tells.
        differs: In what, at least one.
    """
    return f"{place}: holds a run with another {' and '.join(differs)}; {START_ANEW}"
