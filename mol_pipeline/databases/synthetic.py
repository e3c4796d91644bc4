"""The mark that says: this database was made by `molprep demo`, not filmed."""

import json
from collections.abc import Iterable
from pathlib import Path

MARKER_NAME = "SYNTHETIC.json"


def is_synthetic(root: Path, places: Iterable[Path] = ()) -> bool:
    """Whether a root, or what was taken from it, lies in a folder with the mark of a demo.

    The root may lie above a demo, and links may lead into one: it is asked for each file and
    folder that is used, as it is written and as it is.

    Args:
        root: Of a database.
        places: Films, folders of frames and tables that are used.
    """
    seen: set[Path] = set()
    for place in (root, *places):
        for folder in (place, *place.parents, *place.resolve().parents):
            if folder in seen:
                continue
            seen.add(folder)
            if _is_marked(folder):
                return True
    return False


def _is_marked(folder: Path) -> bool:
    marker = folder / MARKER_NAME
    if not marker.is_file():
        return False
    try:
        return bool(json.loads(marker.read_text(encoding="utf-8")).get("synthetic"))
    except (ValueError, AttributeError):
        return True  # a damaged mark still is one
