"""Published counts of the databases, to hold a user's copy against.

Sources: the owners' papers and tables, and MOL Tables II and III.
"""

from collections import Counter
from collections.abc import Sequence

from mol_pipeline.contract.labels import LABEL_MAPPINGS
from mol_pipeline.contract.manifest import CountCheck
from mol_pipeline.databases.index import SourceVideo

PUBLISHED: dict[str, dict[str, int]] = {
    "samm": {"videos": 159, "subjects": 29, "videos in 5 classes": 136, "videos in 3 classes": 133},
}


def compare_with_published(database: str, videos: Sequence[SourceVideo]) -> tuple[CountCheck, ...]:
    """What was found against what is published, for every count that is known."""
    found = Counter({"videos": len(videos), "subjects": len({video.subject for video in videos})})
    for mapping in LABEL_MAPPINGS.get(database, ()):
        taking_part = [video for video in videos if mapping.class_of(video.raw_label)]
        found[f"videos in {mapping.name} classes"] = len(taking_part)
    return tuple(
        CountCheck(what=what, found=found[what], expected=expected)
        for what, expected in PUBLISHED.get(database, {}).items()
    )
