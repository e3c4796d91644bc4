"""How one database is read: what an adapter is asked, and what all adapters do before and after."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mol_pipeline.contract.manifest import IndexOptions
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.sheets import opened_once
from mol_pipeline.databases.text import tables_encoded


@dataclass(frozen=True)
class IndexRequest:
    """What is to be indexed, and how."""

    root: Path
    """Folder of the release."""
    annotation: Path | None = None
    """The owners' table, if it is not to be found by its name."""
    options: IndexOptions = field(default_factory=IndexOptions)
    """What a manifest keeps of it, so that the same can be read again."""


class Adapter(ABC):
    """Reads one database, or what one of its cameras saw."""

    name: str
    """On the command line."""

    def index(self, root: Path, *, annotation: Path | None = None, **options: Any) -> DatabaseIndex:
        """List the videos under a root without decoding an image.

        Args:
            root: Folder of the release.
            annotation: The owners' table, if it is not to be found by its name.
            options: Fields of `IndexOptions`.

        Raises:
            SourceError: If the root or the annotation is absent, unreadable or of another
                kind, or no annotated clip has a frame.
        """
        return self.read(IndexRequest(root, annotation, IndexOptions(**options)))

    def read(self, request: IndexRequest) -> DatabaseIndex:
        """List the videos of a request; see `index`."""
        with tables_encoded(request.options.encoding), opened_once():
            return self._read(request).only(request.options.expression)

    @abstractmethod
    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """All videos, whatever the kind of expression."""
