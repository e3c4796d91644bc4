"""Action units as the answer of a network: several at once, each 1, 0 or unknown.

The mapping `action-units` is of every database whose table names units. A clip takes part if at
least one of the units is known; what is unknown of it neither trains nor is scored.

Sources: Varanka et al., arXiv 2211.11425 (CD6ME: six databases, twelve units, each database tested
by a model of the other five); decision record 0022.
"""

from mol_pipeline.contract.action_units import CD6ME_UNITS, values_of
from mol_pipeline.contract.manifest import ClipRecord

UNITS_MAPPING = "action-units"
"""Label mapping whose classes do not exclude each other."""

UNIT_CLASSES = tuple(f"AU{unit}" for unit in CD6ME_UNITS)

UNKNOWN = -1
"""Value of a unit of which nothing is known."""

CD6ME = {"casme": 189, "casme2": 256, "samm": 159, "4dme": 267, "mmew": 300, "casme3": 860}
"""Clips of each database in CD6ME: 2,031 in all. CASME II's table has 255 rows; the authors' copy
of it has one more."""


def units_of(clip: ClipRecord) -> tuple[int, ...] | None:
    """Values of the units of a clip; None if none is known, or it is a macro-expression."""
    if clip.annotations.get("expression", "micro") != "micro":
        return None
    values = tuple(values_of(clip.known_units))
    return values if any(value != UNKNOWN for value in values) else None
