"""Known errors of the releases: a table (`corrections.csv`), not code.

A correction applies only where the wrong value is present; what was applied is
logged and listed in the manifest.
"""

import csv
import functools
import logging
from importlib import resources

from mol_pipeline.contract.manifest import Correction

logger = logging.getLogger(__name__)


@functools.cache
def known_corrections(database: str) -> dict[tuple[str, str], Correction]:
    """Corrections of one database by (clip, field)."""
    text = resources.files(__package__).joinpath("corrections.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        if row.pop("database") == database:
            correction = Correction.model_validate(row)
            found[correction.clip, correction.field] = correction
    return found


def correct(
    database: str, clip: str, field: str, value: int | None, applied: list[Correction]
) -> int | None:
    """Put a known wrong value right, and note it in `applied`."""
    known = known_corrections(database).get((clip, field))
    if known is None or str(value) != known.wrong:
        return value
    logger.info("%s: %s %s -> %s (%s)", clip, field, known.wrong, known.right, known.source)
    applied.append(known)
    return int(known.right)
