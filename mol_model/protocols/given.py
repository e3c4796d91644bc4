"""Whether databases that are given together can be one set of videos: whole, once, of known people.

Everything that opens shards or plans folds asks here first.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.index_document import IndexDocument
from mol_pipeline.contract.manifest import ClipRecord, Manifest, VideoRecord
from mol_pipeline.contract.people import spelled_in_two_ways
from mol_pipeline.contract.shard_layout import FIRST_WITH_KEY_FRAMES


def clips_of_document(document: Manifest | IndexDocument) -> Sequence[ClipRecord]:
    """The clips of a manifest or an index."""
    return document.videos if isinstance(document, Manifest) else document.clips


def check_given_together(
    places: Sequence[Path], documents: Sequence[Manifest | IndexDocument]
) -> None:
    """Refuse parts of a build, videos that are given twice, and people spelled in two ways.

    Args:
        places: Where each document lies, for messages.
        documents: Manifests and indexes, at least one.

    Raises:
        ConfigError: With the place, the video or the person, and what to do.
    """
    for place, document in zip(places, documents, strict=True):
        part = document.part if isinstance(document, Manifest) else None
        if part is not None and part.of > 1:
            raise ConfigError(
                f"{place}: is part {part.number} of {part.of} of a build of {document.database}, "
                "not the whole database; join the parts with 'molprep merge'"
            )
    clips = [clip for document in documents for clip in clips_of_document(document)]
    counts = Counter((clip.database, clip.subject, clip.clip) for clip in clips)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        more = f" and {len(repeated) - 1} more videos are" if len(repeated) > 1 else " is"
        raise ConfigError(
            f"{'/'.join(repeated[0])}{more} given twice, in "
            f"{', '.join(dict.fromkeys(map(str, places)))}; name each database once"
        )
    people = spelled_in_two_ways(clip.person for clip in clips)
    if people:
        raise ConfigError(
            f"{' and '.join(people[0])} may be one person in two spellings ({len(people)} such): "
            "a fold would train on one and test on the other; write each person in one way and "
            "prepare the videos again"
        )


def check_key_frames(
    places: Sequence[Path], manifests: Sequence[Manifest], videos: Sequence[VideoRecord]
) -> None:
    """Refuse videos without a record of key frames, for a network that sees nothing else.

    Args:
        places: Where the manifests lie.
        manifests: Of all shards.
        videos: Those that take part.

    Raises:
        ConfigError: With the videos, and with which command they are built again.
    """
    for place, manifest in zip(places, manifests, strict=True):
        if manifest.schema_version < FIRST_WITH_KEY_FRAMES:
            raise ConfigError(
                f"{place}: was built before key frames were stored (schema version "
                f"{manifest.schema_version}), and this network sees key frames; build it again "
                "with 'molprep build'"
            )
    without = [video.key for video in videos if video.stored_key_frames is None]
    if without:
        raise ConfigError(
            f"{len(without)} of {len(videos)} videos have no record of key frames, which this "
            f"network sees, e.g. {', '.join(without[:3])}: the table gives no apex that can be "
            "used; build with '--set key_frames.apex=middle' or '=largest-flow' to choose one by "
            "rule, or leave these videos out"
        )
