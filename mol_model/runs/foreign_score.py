"""Score a table of predictions that another program made, as a run is scored."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mol_model.clips.shards import ShardSet
from mol_model.config.run_layout import METRICS_NAME, TABLE_NAME
from mol_model.scoring.evaluation import pooled_metrics
from mol_model.scoring.foreign import read_predictions
from mol_model.scoring.predictions import save_predictions, write_table
from mol_model.training.selection import SELECTIONS
from mol_pipeline.contract.files import write_atomically

NOT_SAID = (
    "not said: whoever made the predictions has not told how the model was chosen; if test people "
    "chose it, the scores are optimistic"
)
NOT_OURS = (
    "the predictions were made elsewhere: whether a model saw the people that it is tested on is "
    "not known here"
)


def score_predictions(
    path: Path,
    shards: Sequence[Path],
    out: Path,
    *,
    classes: str | None = None,
    selection: str | None = None,
    partial: bool = False,
) -> dict[str, Any]:
    """Hold predictions against the shards; writes metrics and tables, returns the metrics.

    Args:
        path: The table, see `read_predictions`.
        shards: Directories with manifests.
        out: For `metrics.json`, `predictions.json` and `predictions.csv`, as `moltrain compare`
            takes them.
        classes: Label mapping.
        selection: How the model was chosen, if that is known.
        partial: Whether videos may be missing.

    Raises:
        ConfigError: As `read_predictions`.
        ManifestError: If shards cannot be read.
    """
    data = ShardSet([one.resolve() for one in shards], mapping=classes)
    predictions = read_predictions(path, data, partial=partial)
    folds = len({video.fold for video in predictions})
    notes = [NOT_OURS]
    if len(predictions) < len(data.videos):
        notes.append(
            f"{len(data.videos) - len(predictions)} of {len(data.videos)} videos have no prediction"
        )
    metrics = {
        "synthetic": data.synthetic,
        "databases": list(data.databases),
        "protocol": f"predictions of {path.name}",
        "folds_of_protocol": folds,
        "label_mapping": data.mapping,
        "selection": selection or "not said",
        "selection_means": SELECTIONS[selection] if selection else NOT_SAID,
        "shuffled_labels": False,
        "init_from": None,
        "unknown_people": False,
        "seed": None,
        "manifest_hash": data.manifest_hash,
        **pooled_metrics(predictions, data.classes),
        "notes": notes,
    }
    out.mkdir(parents=True, exist_ok=True)
    save_predictions(out, predictions)
    write_table(out / TABLE_NAME, predictions, data.classes, synthetic=data.synthetic)
    write_atomically(out / METRICS_NAME, (json.dumps(metrics, indent=1) + "\n").encode())
    return metrics
