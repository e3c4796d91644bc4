"""Names of clips: every event has one of its own, and documents can hold it."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

from mol_pipeline.contract.files import legible
from mol_pipeline.contract.rejections import RejectionCode
from mol_pipeline.databases.annotated import AnnotatedClip


class ClipNames:
    """Remembers the clips of a database by subject and name, case aside."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], AnnotatedClip] = {}
        self._rows: set[tuple[str, ...]] = set()
        self._given: set[tuple[str, str]] = set()

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._taken

    def apart(self, clip: AnnotatedClip, cells: Iterable[str], suffix: str) -> AnnotatedClip:
        """The clip, renamed if another event has its name; an equal row keeps it.

        Args:
            clip: As the row names it.
            cells: Everything that the row says.
            suffix: What tells the event apart.
        """
        content = (*clip.key, *cells)
        if content in self._rows:
            return clip
        self._rows.add(content)
        names = itertools.chain(
            [clip.clip, f"{clip.clip}{suffix}"],
            (f"{clip.clip}{suffix}#{count}" for count in itertools.count(2)),
        )
        named = (replace(clip, clip=name) for name in names)
        clip = next(one for one in named if one.key not in self._given)
        self._given.add(clip.key)
        return clip

    def take(self, clip: AnnotatedClip) -> tuple[RejectionCode, str] | None:
        """Enter a clip, or say why it cannot be: reason code and words."""
        texts = [clip.subject, clip.clip, clip.raw_label, clip.person, *clip.annotations.values()]
        if any(legible(text) != text for text in texts):
            words = (
                "a name or a cell of it is no text (bytes that are not UTF-8, or NUL); rename it"
            )
            return "impossible-row", words
        if clip.key in self._taken:
            first = self._taken[clip.key].where
            return "duplicate-row", f"{clip.clip} is annotated twice, first in {first}"
        self._taken[clip.key] = clip
        return None
