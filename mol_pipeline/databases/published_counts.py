"""Published counts of the databases (`published_counts.csv`), to hold a copy against.

    edition  of the annotation, where the owners issued several with other counts
    kind     total (videos, subjects), mapping (clips that take part under it), word (the
             owners' label), expression (micro, macro), rows (the same, of a table whose rows nobody
             has published to be all possible: those that contradict themselves come off) or subject

Aggregates only, from the owners' papers and tables and from MOL Tables II and III; no
clip of a licensed database is named here.
"""

import csv
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from types import MappingProxyType

from mol_pipeline.contract.labels import LABEL_MAPPINGS
from mol_pipeline.contract.manifest import CountCheck
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.databases.objective_classes import FIELD as OBJECTIVE_CLASS

TITLES = {
    "total": "{}",
    "word": "videos labelled {}",
    "subject": "videos of subject {}",
    "expression": "{}-expressions",
    "rows": "{}-expressions of possible rows",
    "mapping": "videos in {} classes",
}
"""What a count of each kind is called."""


@functools.cache
def published_counts() -> tuple[dict[str, str], ...]:
    """Rows of the table."""
    text = resources.files(__package__).joinpath("published_counts.csv")
    return tuple(csv.DictReader(text.read_text(encoding="utf-8").splitlines()))


def compare_with_published(
    database: str,
    videos: Sequence[SourceVideo],
    edition: str = "",
    impossible: Mapping[str, int] = MappingProxyType({}),
) -> tuple[CountCheck, ...]:
    """What was found against what is published, for every count that is known.

    Args:
        database: Its name.
        videos: All of its clips that were found.
        edition: Of the annotation.
        impossible: Rows that no copy can satisfy, by kind of expression.
    """
    found: dict[str, Counter[str]] = {
        "total": Counter(videos=len(videos), subjects=len({video.subject for video in videos})),
        "word": Counter(video.raw_label.strip().lower() for video in videos),
        "subject": Counter(video.subject for video in videos),
        "expression": Counter(video.annotations.get("expression", "micro") for video in videos),
        "rows": Counter(video.annotations.get("expression", "micro") for video in videos),
        "mapping": Counter(
            mapping.name
            for mapping in LABEL_MAPPINGS.get(database, ())
            for video in videos
            if mapping.class_of(video) is not None
        ),
    }
    absent = mappings_without_column(database, videos)
    checks = [
        CountCheck(
            what=TITLES[row["kind"]].format(row["name"]),
            found=found[row["kind"]][row["name"]],
            expected=int(row["count"])
            - (impossible.get(row["name"], 0) if row["kind"] == "rows" else 0),
        )
        for row in published_counts()
        if row["database"] == database
        and row["edition"] == edition
        # A copy without the column at all is none with wrong classes.
        and not (row["kind"] == "mapping" and row["name"] in absent)
    ]
    known = {
        row["name"]
        for row in published_counts()
        if row["database"] == database and row["edition"] == edition and row["kind"] == "subject"
    }
    if known:
        checks += [
            CountCheck(what=TITLES["subject"].format(subject), found=count, expected=0)
            for subject, count in sorted(found["subject"].items())
            if subject not in known
        ]
    return tuple(checks)


def mappings_without_column(database: str, videos: Sequence[SourceVideo]) -> list[str]:
    """Names of the mappings whose cell no clip of a copy has; its table lacks the column."""
    return [
        mapping.name
        for mapping in LABEL_MAPPINGS.get(database, ())
        if mapping.field == OBJECTIVE_CLASS
        and not any(video.annotations.get(mapping.field) for video in videos)
    ]
