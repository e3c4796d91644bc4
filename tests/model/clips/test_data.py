"""Reading shards and augmenting them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_model.clips.batch import ClipBatch
from mol_model.clips.shards import ShardSet
from mol_model.clips.views import MIRRORED, Normalisation, View, apply_view, centre_view
from mol_pipeline.contract.errors import ConfigError, ManifestError
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.contract.shard_layout import SCHEMA_VERSION
from tests.model.shard_fixture import write_shards

PLAIN = Normalisation(0.0, 1.0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


def test_clips_labels_and_subjects_come_from_the_manifest(shards):
    data = ShardSet([shards])
    assert data.classes == ("anger", "happiness", "contempt", "surprise", "others")
    assert len(data.videos) == 15
    assert data.clips_of([0, 2]) == [0, 1, 4, 5]
    batch = data.read([4, 0])
    assert batch["frames"].shape == (2, 4, 144, 144)
    assert batch["frames"].dtype == torch.uint8
    assert batch["flow"].dtype == torch.float16
    assert batch.labels.tolist() == [2, 0]


def test_another_mapping_takes_other_videos(shards):
    data = ShardSet([shards], mapping="3")
    assert data.classes == ("negative", "positive", "surprise")
    assert len(data.videos) == 12  # `Other` takes no part


def test_streaming_without_a_cache_gives_the_same_clips(shards):
    cached, streamed = ShardSet([shards]), ShardSet([shards], cache_mb=0)
    plan = [[0, 5], [7, 1], [0, 5]]
    for a, b in zip(cached.batches(plan), streamed.batches(plan), strict=True):
        assert torch.equal(a["frames"], b["frames"])
        assert torch.equal(a["flow"], b["flow"])
        assert a.clips == b.clips


def test_an_error_while_reading_ahead_reaches_the_reader(shards):
    data = ShardSet([shards])
    with pytest.raises(IndexError):
        list(data.batches([[0], [10_000]]))


def test_damage_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"no manifest\.json"):
        ShardSet([tmp_path])

    shards = write_shards(tmp_path / "a")
    (shards / "shard-00000.h5").unlink()
    with pytest.raises(ManifestError, match="not on disk"):
        ShardSet([shards])

    shards = write_shards(tmp_path / "b")
    with (shards / "shard-00000.h5").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ManifestError, match="the manifest says"):
        ShardSet([shards])

    shards = write_shards(tmp_path / "c")
    path = shards / MANIFEST_NAME
    path.write_text(
        path.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99')
    )
    with pytest.raises(ManifestError, match="schema version 99"):
        ShardSet([shards])

    path.write_text("[]")
    with pytest.raises(ManifestError, match="is not a JSON object"):
        ShardSet([shards])


def test_clips_of_two_lengths_or_an_unknown_mapping_are_refused(tmp_path, shards):
    other = write_shards(tmp_path, frames=3, first_subject=9)
    with pytest.raises(ConfigError, match="3 and 4 frames"):
        ShardSet([shards, other])
    with pytest.raises(ConfigError, match="samm has no such mapping"):
        ShardSet([shards], mapping="7")


def test_mirroring_twice_changes_nothing():
    assert sorted(MIRRORED.tolist()) == list(range(68))
    assert torch.equal(MIRRORED[MIRRORED], torch.arange(68))
    # The eye at the left of the picture becomes the one at the right, the nose tip stays.
    assert set(MIRRORED[36:42].tolist()) == set(range(42, 48))
    assert MIRRORED[30] == 30
    assert MIRRORED[48] == 54


def moving_dot(x, y, u, v):
    """A clip of two frames in which one bright pixel moves by `(u, v)`, and its batch."""
    frames = torch.zeros(1, 2, 144, 144, dtype=torch.uint8)
    frames[0, 0, y, x] = 255
    frames[0, 1, y + v, x + u] = 255
    flow = torch.zeros(1, 1, 2, 144, 144, dtype=torch.float16)
    flow[0, 0, 0], flow[0, 0, 1] = u, v
    landmarks = torch.zeros(1, 2, 68, 2)
    landmarks[0, 0, 48] = torch.tensor([x, y])
    landmarks[0, 1, 48] = torch.tensor([x + u, y + v])
    return ClipBatch(
        {"frames": frames, "flow": flow, "landmarks": landmarks}, torch.tensor([0]), (0,)
    )


@settings(max_examples=40, deadline=None)
@given(
    x=st.integers(30, 110),
    y=st.integers(30, 110),
    u=st.integers(-6, 6),
    v=st.integers(-6, 6),
    top=st.integers(0, 16),
    left=st.integers(0, 16),
    flip=st.booleans(),
)
def test_frames_flow_and_landmarks_stay_consistent(x, y, u, v, top, left, flip):
    batch = moving_dot(x, y, u, v)
    one = torch.ones(1)
    view = View(torch.tensor([top]), torch.tensor([left]), torch.tensor([flip]), one, one * 0)
    out = apply_view(batch, view, PLAIN, 128)

    def dot(frame):
        row, column = np.unravel_index(int(frame.argmax()), frame.shape)
        return np.array([column, row])

    first, second = dot(out["frames"][0, 0]), dot(out["frames"][0, 1])
    # The flow at the dot leads from the first frame's dot to the second's.
    np.testing.assert_array_equal(out["flow"][0, 0, :, first[1], first[0]], second - first)
    # The landmark on the dot is still on it, under the mirrored number if mirrored.
    point = MIRRORED.tolist().index(48) if flip else 48
    np.testing.assert_array_equal(out["landmarks"][0, 0, point], second)


def test_the_centre_view_takes_eight_pixels_off_each_side():
    batch = moving_dot(70, 70, 0, 0)
    view = centre_view(1, 144, 128, torch.device("cpu"))
    out = apply_view(batch, view, Normalisation(5.0, 2.0), 128)
    assert out["frames"][0, 0, 62, 62] == (255 - 5) / 2
    np.testing.assert_array_equal(out["landmarks"][0, 0, 48], [62, 62])
