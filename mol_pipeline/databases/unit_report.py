"""What was read of the action units of a database, for people: counts, and every doubtful text."""

import logging
from collections import Counter
from collections.abc import Iterable

from mol_pipeline.contract.action_units import ActionUnits
from mol_pipeline.contract.agreement import printable
from mol_pipeline.contract.manifest import ClipRecord
from mol_pipeline.contract.unit_notation import ACTION_UNITS

logger = logging.getLogger(__name__)

WHOLE, DOUBTED, NOT_READ = "read whole", "unknown in part", "with a piece that no rule reads"


def unit_lines(clips: Iterable[ClipRecord]) -> list[str]:
    """How many texts were read how well, and in how many clips each unit moves."""
    readings = [clip.known_units for clip in clips]
    found = [reading for reading in readings if reading is not None]
    if not found:
        return []
    kinds = Counter(map(_kind, found))
    listed = ", ".join(f"{kinds[kind]} {kind}" for kind in (WHOLE, DOUBTED, NOT_READ))
    absent = len(readings) - len(found)
    more = " (molprep -v index names them)" if kinds[WHOLE] < len(found) else ""
    lines = ["", f"  action units: {listed}, {absent} without a text{more}"]
    moving = Counter(
        unit for one in found for unit in {coded.unit for coded in one.coded} if one.value(unit)
    )
    if moving:
        lines.append("    " + ", ".join(f"AU{unit} {moving[unit]}" for unit in sorted(moving)))
    return lines


def log_doubtful_units(clips: Iterable[ClipRecord]) -> None:
    """Name every text that leaves something unknown, at the level of `-v`."""
    for clip in clips:
        reading = clip.known_units
        if reading is None or _kind(reading) == WHOLE:
            continue
        text = printable(clip.annotations.get(ACTION_UNITS, ""))
        logger.info("%s: action units %r: %s", printable(clip.key), text, _unknown(reading))


def _kind(reading: ActionUnits) -> str:
    if reading.unread:
        return NOT_READ
    doubted = any(reading.value(one.unit) is None for one in reading.coded)
    return WHOLE if reading.complete and not doubted else DOUBTED


def _unknown(reading: ActionUnits) -> str:
    """What is unknown after a reading, in words."""
    doubted = sorted({one.unit for one in reading.coded if reading.value(one.unit) is None})
    words = [f"no rule reads {', '.join(map(repr, map(printable, reading.unread)))}"]
    words = words if reading.unread else []
    words += [f"unknown are {', '.join(f'AU{unit}' for unit in doubted)}"] if doubted else []
    words += [] if reading.complete else ["every unit that it does not name is unknown"]
    return "; ".join(words)
