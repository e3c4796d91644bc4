"""Settings of a build: which go together, and what their clips are called."""

import math

import numpy as np
import pytest

from mol_pipeline.config import AlignmentConfig, BuildConfig, SamplingConfig, SegmentConfig
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.stages.video import choose_phases


def load(*overrides):
    return load_settings(BuildConfig, None, overrides)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sampling.phases=keyframes"], "sampling.frames is 8; set sampling.frames=2 too"),
        (
            ["sampling.phases=keyframes", "sampling.frames=2", "sampling.short_video=repeat"],
            "short_video=repeat has no meaning",
        ),
        (
            ["sampling.phases=keyframes", "sampling.frames=2", "sampling.cuts=split"],
            "cuts=split has no meaning",
        ),
        (["segments.frames=6"], "less than the 8 frames of a clip"),
        (["sampling.frames=16", "segments.frames=12"], "less than the 16 frames"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load(*overrides)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["sampling.phases=keyframes", "sampling.frames=2"],
        ["sampling.frames=64"],  # of a database without segments
        ["segments.frames=6", "sampling.short_video=repeat"],
        ["segments.frames=8"],
    ],
)
def test_settings_that_go_together_are_taken(overrides):
    config = load(*overrides)
    assert BuildConfig.model_validate_json(config.model_dump_json()) == config


FLOW = ("tau", "attachment", "tightness", "epsilon", "scale_step")
COUNTS = ("scales", "warps", "inner_iterations", "outer_iterations")


@pytest.mark.parametrize(
    "override",
    [
        *(f"flow.{name}={value}" for name in FLOW for value in (0, -0.1, ".nan", ".inf")),
        *(f"flow.{name}={value}" for name in COUNTS for value in (0, -1, 1.5)),
        *(f"flow.median_filtering={value}" for value in (-1, 2, 4, 7)),
        "flow.scale_step=1.0",
        "detection.largest_drift=.nan",
        "detection.largest_growth=.inf",
        "detection.least_score=.nan",
        "detection.largest_turn=0",
        "segments.majority=1.0",
        "segments.majority=.nan",
    ],
)
def test_numbers_out_of_their_range_are_refused(override):
    with pytest.raises(ConfigError, match=override.split("=", maxsplit=1)[0].replace(".", r"\.")):
        load(override)


def test_later_settings_leave_the_hash_of_earlier_builds():
    earlier = BuildConfig().model_dump(mode="json")
    assert {"person", "doubtful", "least_score", "largest_turn"} <= earlier["detection"].keys()
    by_frame = BuildConfig(alignment=AlignmentConfig(reference="frame"))
    document = dict(by_frame.document)
    # Shards of schema version 4 hold more: a build that was begun with 3 is not continued.
    assert document.pop("key_frames") == {"apex": "annotated"}
    was = "0fd4d60a73ec7096eb36d9ae7a00ab9b02e1116b43bc51d200af8958fa1da872"
    assert hash_document(document) == was
    assert load("sampling.cuts=split").hash != BuildConfig().hash


def video_of(count, times=()):
    return SourceVideo(
        database="own",
        subject="1",
        person="1",
        clip="1",
        raw_label="x",
        key_frames=KeyFrames(onset=2, apex=5),
        folder="1",
        frames=tuple((n, f"{n}.png") for n in range(count)),
        times=times,
    )


def phases(count, times=(), **settings):
    config = BuildConfig(sampling=SamplingConfig(**settings))
    return {
        phase: clip.tolist()
        for phase, clip in choose_phases(video_of(count, times), config).items()
    }


def test_phases_are_called_what_they_are():
    assert phases(17, frames=4) == {p: [p, p + 4, p + 8, p + 12] for p in range(4)}
    assert phases(17, frames=4, phases="centre") == {2: [2, 6, 10, 14]}
    assert phases(17, frames=2, phases="keyframes") == {0: [2, 5]}
    assert phases(2, frames=4, short_video="repeat") == {0: [0, 0, 1, 1]}
    assert phases(4, frames=4, phases="centre") == {0: [0, 1, 2, 3]}


def test_phases_in_time_are_unique_and_the_middle_one_keeps_its_number():
    times = tuple(np.cumsum([0, *([0.04] * 8), *([0.16] * 8)]).round(6).tolist())
    every = phases(17, times, frames=4)
    assert len(every) > 1
    for clip in every.values():
        assert sorted(set(clip)) == clip
    numbers = sorted(every)
    middle = numbers[len(numbers) // 2]
    assert phases(17, times, frames=4, phases="centre") == {middle: every[middle]}


def test_ranges_hold_where_a_setting_is_made_in_a_program():
    with pytest.raises(ValueError, match="keyframes"):
        BuildConfig(sampling=SamplingConfig(phases="keyframes"))
    with pytest.raises(ValueError, match="every segment"):
        BuildConfig(segments=SegmentConfig(frames=4))
    with pytest.raises(ValueError, match="finite"):
        SegmentConfig(majority=math.nan)
