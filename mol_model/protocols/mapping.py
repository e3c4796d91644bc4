"""The label mapping that databases have in common, by which their videos are one set."""

from collections.abc import Sequence
from typing import Protocol

from mol_model.protocols.units import UNIT_CLASSES, UNITS_MAPPING
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.labels import WITHOUT_TRUTH

COMPOSITE_MAPPING = "megc2019"
"""Label mapping by which the composite leaves out what MEGC 2019 leaves out."""


class ClipDocument(Protocol):
    """What a protocol needs of a manifest or of an index."""

    @property
    def database(self) -> str:
        """Name of the database."""
        ...

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Mapping name -> its classes; the first is the default."""
        ...


def common_mapping(
    documents: Sequence[ClipDocument], name: str | None, protocol: str = "loso"
) -> tuple[str, tuple[str, ...]]:
    """A mapping that all databases have with the same classes, and the classes.

    Args:
        documents: Manifests or indexes.
        name: As given by the user; None for the first that all have.
        protocol: The composite takes its own mapping for three classes, CD6ME action units.

    Raises:
        ConfigError: If a database lacks it, has other classes under it, or has no truth at all.
    """
    untold = sorted({one.database for one in documents if one.database in WITHOUT_TRUTH})
    if untold:
        raise ConfigError(
            f"{', '.join(untold)}: its owners keep the truth, so nothing can be trained or scored "
            "on it; 'moltrain predict' takes its folders"
        )
    if protocol == "cd6me":
        if name not in {None, UNITS_MAPPING}:
            raise ConfigError(
                f"--classes {name}: cd6me is about action units; leave --classes out, or choose "
                "--protocol leave-one-database-out"
            )
        name = UNITS_MAPPING
    if name == UNITS_MAPPING:
        return name, UNIT_CLASSES
    if protocol == "composite" and name in {None, "3"}:
        name = COMPOSITE_MAPPING
    if name is None:
        shared = [
            mapping
            for mapping, classes in documents[0].classes.items()
            if all(other.classes.get(mapping) == classes for other in documents)
        ]
        if not shared:
            databases = ", ".join(sorted({document.database for document in documents}))
            raise ConfigError(f"{databases}: no label mapping is common to all of them")
        name = shared[0]
    for document in documents:
        if name not in document.classes:
            raise ConfigError(
                f"--classes {name}: {document.database} has no such mapping; "
                f"it has {', '.join(document.classes)}"
            )
    found = {document.classes[name] for document in documents}
    if len(found) > 1:
        databases = " and ".join(sorted({document.database for document in documents}))
        raise ConfigError(f"--classes {name}: {databases} have different classes under it")
    return name, found.pop()
