"""The mark that says: this database was made by `molprep demo`, not filmed."""

import json
from pathlib import Path

MARKER_NAME = "SYNTHETIC.json"


def is_synthetic(root: Path) -> bool:
    """Whether a root, or the folder above it, carries the mark of a demo database."""
    for folder in (root, root.parent):
        marker = folder / MARKER_NAME
        if marker.is_file():
            try:
                return bool(json.loads(marker.read_text(encoding="utf-8")).get("synthetic"))
            except (ValueError, AttributeError):
                return True  # a damaged mark still is one
    return False
