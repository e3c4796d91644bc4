"""What is noticed of many rows alike: kept with each clip, and summed up once for the copy."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["rounded", "unannotated", "outside", "open", "bound"]

SUMMARIES: dict[Kind, str] = {
    "rounded": (
        "{cells} frame number(s) of {rows} row(s) are fractions, rounded to the nearest frame, "
        "half up"
    ),
    "unannotated": "{cells} apex(es) of -1 mean that none is annotated: left absent",
    "outside": (
        "{cells} apex(es) lie outside their onset .. offset: the rows are kept, the apex is absent"
    ),
    "open": "{cells} onset(s) or offset(s) of {rows} row(s) are below 0: taken as not annotated",
    "bound": (
        "{cells} first or last frame(s) of long videos lie far outside their own folders, which "
        "count"
    ),
}
"""What is said of all rows of a kind."""


@dataclass(frozen=True)
class Notice:
    """Something about one cell of a row."""

    kind: Kind
    words: str


class Noticed:
    """Collects notices by clip; what is noticed twice counts once."""

    def __init__(self) -> None:
        self._of: dict[Kind, dict[tuple[str, str], list[str]]] = {}

    def add(self, subject: str, clip: str, notice: Notice) -> None:
        """Enter a notice on a clip."""
        words = self._of.setdefault(notice.kind, {}).setdefault((subject, clip), [])
        if notice.words not in words:
            words.append(notice.words)

    def remarks(self, subject: str, clip: str) -> tuple[str, ...]:
        """Everything that was noticed of a clip."""
        return tuple(words for rows in self._of.values() for words in rows.get((subject, clip), ()))

    def notes(self) -> list[str]:
        """A sentence for each kind: how many, and the first."""
        sentences = []
        for kind, rows in self._of.items():
            (subject, clip), (first, *_) = next(iter(rows.items()))
            summary = SUMMARIES[kind].format(cells=sum(map(len, rows.values())), rows=len(rows))
            sentences.append(f"{summary}; first: {subject}/{clip}: {first}")
        return sentences
