"""Long videos with a label for each frame, cut into clips with one label."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from mol_pipeline.config import SegmentConfig
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.gaps import gaps_inside
from mol_pipeline.contract.manifest import RejectedVideo
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo


def videos_to_build(index: DatabaseIndex, config: SegmentConfig) -> DatabaseIndex:
    """The index with its long videos cut, and its root as other processes find it.

    Raises:
        ConfigError: If no video is in it.
    """
    index = replace(cut_long_videos(index, config), root=index.root.absolute())
    if not index.videos:
        raise ConfigError(
            f"{index.root}: no video to build ({len(index.rejected)} rejected while indexing); "
            f"see 'molprep index --dataset {index.database} --root {index.root}'"
        )
    return index


def cut_long_videos(index: DatabaseIndex, config: SegmentConfig) -> DatabaseIndex:
    """The index with every frame-labelled video replaced by its segments.

    A segment is a run of neighbouring frames; its label is that of most of its frames, and
    a segment without such a majority is rejected by name.
    """
    if not any(video.frame_labels for video in index.videos):
        return index
    videos: list[SourceVideo] = []
    rejected = list(index.rejected)
    for video in index.videos:
        if not video.frame_labels:
            videos.append(video)
            continue
        for segment in _segments(video, config):
            label, share = _majority(segment)
            if share > config.majority:
                videos.append(replace(segment, raw_label=label, frame_labels=()))
            else:
                rejected.append(
                    RejectedVideo(
                        database=segment.database,
                        subject=segment.subject,
                        clip=segment.clip,
                        code="mixed-labels",
                        message=f"{label} has {share:.0%} of its frames, no majority",
                    )
                )
    return replace(index, videos=tuple(videos), rejected=tuple(rejected))


def _segments(video: SourceVideo, config: SegmentConfig) -> Iterator[SourceVideo]:
    start = 0
    for position in range(1, len(video.frames) + 1):
        full = position - start == config.frames
        ends = position == len(video.frames)
        broken = not ends and (
            video.frames[position][0] - video.frames[position - 1][0] > config.largest_gap
        )
        if full or broken or ends:
            frames = video.frames[start:position]
            first, last = frames[0][0], frames[-1][0]
            yield replace(
                video,
                clip=f"{video.clip}@{first:05d}",
                frames=frames,
                missing=gaps_inside(video.missing, first + 1, last - 1),
                frame_labels=video.frame_labels[start:position],
            )
            start = position


def _majority(segment: SourceVideo) -> tuple[str, float]:
    word, count = Counter(segment.frame_labels).most_common(1)[0]
    return word, count / len(segment.frame_labels)
