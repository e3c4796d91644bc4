"""Label mappings: from a database's raw expression words to class sets.

Data, not code. A mapping is a fixed, ordered tuple of classes and a table from
the raw word (lower case) to a class; a raw word outside the table takes no part
under that mapping. Class order is part of the contract: it is the order of the
network's outputs.

Sources: class sets of MOL Sec. 4.1.1 and of MEGC 2019 (negative, positive, surprise).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class LabelMapping:
    """One way to turn raw labels into classes."""

    name: str
    """Key in manifests and on the command line, e.g. `5`."""
    classes: tuple[str, ...]
    """Class names; the position is the label index."""
    table: Mapping[str, str]
    """Raw word in lower case -> class name."""

    def class_of(self, raw_label: str) -> str | None:
        """Class of a raw label, or None if it takes no part."""
        return self.table.get(raw_label.strip().lower())


def _mapping(name: str, classes: tuple[str, ...], **raw: tuple[str, ...]) -> LabelMapping:
    table = {word: class_name for class_name, words in raw.items() for word in words}
    if set(raw) != set(classes):
        raise ValueError(f"mapping {name}: classes {classes} but a table for {sorted(raw)}")
    return LabelMapping(name, classes, MappingProxyType(table))


THREE_CLASSES = ("negative", "positive", "surprise")
"""MEGC 2019 order."""

_SAMM = (
    _mapping(
        "5",
        ("anger", "happiness", "contempt", "surprise", "others"),
        anger=("anger",),
        happiness=("happiness",),
        contempt=("contempt",),
        surprise=("surprise",),
        others=("other", "others"),
    ),
    _mapping(
        "3",
        THREE_CLASSES,
        negative=("anger", "contempt", "disgust", "fear", "sadness"),
        positive=("happiness",),
        surprise=("surprise",),
    ),
)

LABEL_MAPPINGS: Mapping[str, tuple[LabelMapping, ...]] = MappingProxyType({"samm": _SAMM})
"""Per database, every mapping it supports; the first is its default."""


def label_mapping(database: str, name: str) -> LabelMapping:
    """Find a mapping.

    Raises:
        KeyError: If the database or the mapping is unknown; the message lists what there is.
    """
    if database not in LABEL_MAPPINGS:
        raise KeyError(f"no label mapping for {database!r}; known: {sorted(LABEL_MAPPINGS)}")
    for mapping in LABEL_MAPPINGS[database]:
        if mapping.name == name:
            return mapping
    known = [mapping.name for mapping in LABEL_MAPPINGS[database]]
    raise KeyError(f"{database} has no mapping {name!r}; it has {known}")


def labels_under_every_mapping(database: str, raw_label: str) -> dict[str, str]:
    """Class of a raw label under each mapping of the database that includes it."""
    found = {}
    for mapping in LABEL_MAPPINGS.get(database, ()):
        class_name = mapping.class_of(raw_label)
        if class_name is not None:
            found[mapping.name] = class_name
    return found
