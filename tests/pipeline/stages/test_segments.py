"""Frame-labelled videos become clips with one label."""

from pathlib import Path

from mol_pipeline.config import SegmentConfig
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.stages.segments import cut_long_videos


def video(numbers, labels):
    return SourceVideo(
        database="affwild2",
        subject="v",
        person="affwild2/v",
        clip="v",
        raw_label="",
        key_frames=KeyFrames(),
        folder="v",
        frames=tuple((number, f"{number:05d}.jpg") for number in numbers),
        missing=(3, 40),
        frame_labels=tuple(labels),
    )


def cut(*videos, **settings):
    index = DatabaseIndex("affwild2", Path("root"), tuple(videos))
    return cut_long_videos(index, SegmentConfig(**settings))


def test_segments_are_full_until_a_gap_or_the_end():
    numbers = [1, 2, 4, 5, 6, 7, 20, 21]
    index = cut(video(numbers, ["anger"] * 8), frames=4)
    found = {one.clip: [number for number, _ in one.frames] for one in index.videos}
    assert found == {"v@00001": [1, 2, 4, 5], "v@00006": [6, 7], "v@00020": [20, 21]}
    assert {one.raw_label for one in index.videos} == {"anger"}
    assert [one.missing for one in index.videos] == [(3,), (), ()]
    assert not any(one.frame_labels for one in index.videos)


def test_the_majority_labels_a_segment_and_a_tie_rejects_it():
    labels = ["fear", "fear", "anger", "fear", "anger", "anger", "fear", "fear"]
    index = cut(video(range(1, 9), labels), frames=4)
    assert [(one.clip, one.raw_label) for one in index.videos] == [("v@00001", "fear")]
    (rejected,) = index.rejected
    assert (rejected.clip, rejected.code) == ("v@00005", "mixed-labels")
    assert cut(video(range(1, 9), labels), frames=4, majority=0.8).videos == ()


def test_other_videos_stay_as_they_are():
    one = video([1, 2], [])
    assert cut(one).videos == (one,)
