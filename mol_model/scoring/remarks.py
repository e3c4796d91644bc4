"""What a reader must know before the numbers, in the same words wherever they are shown."""

from collections.abc import Mapping
from typing import Any

UNKNOWN_PEOPLE = (
    "OPTIMISTIC: the weights come from a checkpoint whose people are unknown, and tested people "
    "may be among them; not comparable with honest results"
)
MOST_LISTED = 5


def remarks(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences about a run or an evaluation, beside those on its selection and its folds.

    Args:
        metrics: As in `metrics.json`; of earlier versions too.
    """
    said = [UNKNOWN_PEOPLE] if metrics.get("unknown_people") else []
    for part in (metrics, *metrics.get("by_fold", {}).values()):
        for task in ("flow", "landmarks"):
            names = (part.get(task) or {}).get("not_scored", [])
            if names:
                said.append(
                    f"{listed(names)}: the {task} in the shards are no finite numbers; scored "
                    "without, look at the videos and build them again"
                )
    return said + list(metrics.get("notes", []))


def listed(names: list[str]) -> str:
    """The first of some names."""
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
