"""Action units of a clip: what its table says of each, as 0, 1 or unknown.

The owners' text stays as it is in `annotations["action_units"]`; this is its reading. It is made
by `contract.unit_notation` while a database is indexed, and stored beside the text.

A unit has the value 1 where it certainly moves, 0 where the text leaves it out or calls it static,
and none where nobody can say: the text is absent, asks a question, offers a choice, or holds a
piece that could not be read. What could not be read is never 0.

Source:
    Ekman, Friesen and Hager, Facial Action Coding System, 2002; decision record 0022.
"""

from collections.abc import Iterable
from typing import Literal

from mol_pipeline.contract.records import Record

CD6ME_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
"""The twelve of the protocol CD6ME (Varanka et al., arXiv 2211.11425), in its order."""

UNIT_NAMES = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    8: "lips toward each other",
    9: "nose wrinkler",
    10: "upper lip raiser",
    11: "nasolabial furrow deepener",
    12: "lip corner puller",
    13: "sharp lip puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    18: "lip pucker",
    19: "tongue show",
    20: "lip stretcher",
    21: "neck tightener",
    22: "lip funneler",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    27: "mouth stretch",
    28: "lip suck",
    29: "jaw thrust",
    30: "jaw sideways",
    31: "jaw clencher",
    32: "lip bite",
    33: "cheek blow",
    34: "cheek puff",
    35: "cheek suck",
    36: "tongue bulge",
    37: "lip wipe",
    38: "nostril dilator",
    39: "nostril compressor",
    40: "sniff",
    41: "lid droop",
    42: "slit",
    43: "eyes closed",
    44: "squint",
    45: "blink",
    46: "wink",
    51: "head turn left",
    52: "head turn right",
    53: "head up",
    54: "head down",
    55: "tilt left",
    56: "tilt right",
    57: "head forward",
    58: "head back",
    61: "eyes turn left",
    62: "eyes turn right",
    63: "eyes up",
    64: "eyes down",
    65: "walleye",
    66: "cross-eye",
}
"""Units and what the manual calls them; 41, 42 and 44 are those of 1978."""

_HEAD_AND_EYES = (*range(50, 70), *range(80, 86), 91, 92, 97, 98)
NOT_VISIBLE = frozenset(range(70, 75))
"""Codes that say that a part of the face cannot be seen: no unit is then known to be absent."""

UNITS = frozenset({*UNIT_NAMES, *_HEAD_AND_EYES, *NOT_VISIBLE})
"""Every number that the manual gives a meaning."""

State = Literal["present", "possible", "static"]
"""`possible`: doubted, or one of a choice; `static`: there all the time, no movement."""
Side = Literal["", "left", "right", "both", "one"]
"""Of the face, as written; empty where no side is written, which the manual reads as both."""


class CodedUnit(Record):
    """One unit as it is written; a text may name a unit more than once, e.g. for each side."""

    unit: int
    state: State = "present"
    side: Side = ""
    asymmetric: bool = False
    """On both sides, stronger on one (`A/L12`)."""
    part: Literal["", "top", "bottom"] = ""
    """Of the lips (`T18`, `B28`)."""
    intensity: Literal["", "A", "B", "C", "D", "E"] = ""
    """From a trace to the maximum; empty where none or several are written."""


class ActionUnits(Record):
    """What a text says of action units."""

    coded: tuple[CodedUnit, ...] = ()
    """In the order of the text."""
    complete: bool = False
    """Whether a unit that is not named is absent; else it is unknown."""
    unread: tuple[str, ...] = ()
    """Pieces of the text that no rule could read."""

    def value(self, unit: int) -> int | None:
        """1 where a unit moves, 0 where it does not, None where that is unknown."""
        states = {one.state for one in self.coded if one.unit == unit}
        if "present" in states:
            return 1
        if "possible" in states:
            return None
        return 0 if self.complete or states else None

    def vector(self, units: Iterable[int] = CD6ME_UNITS) -> tuple[int | None, ...]:
        """The values of some units, in their order."""
        return tuple(map(self.value, units))

    def side(self, unit: int) -> Side:
        """On which side a unit moves, over all places that name it."""
        sides = {one.side for one in self.coded if one.unit == unit and one.state == "present"}
        if len(sides) == 1:
            return sides.pop()
        return "both" if sides >= {"left", "right"} or "both" in sides else ""


def values_of(reading: ActionUnits | None, units: Iterable[int] = CD6ME_UNITS) -> list[int]:
    """Values of units as stored: 1, 0, and -1 where unknown, also where there is no text."""
    known = (reading or ActionUnits()).vector(units)
    return [-1 if value is None else value for value in known]
