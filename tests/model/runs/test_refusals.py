"""What the network and its settings refuse, and what the release's rules are."""

import pytest
import torch

from mol_model.config.mol import TINY
from mol_model.config.settings import PRESETS
from mol_model.networks.mol.build import build_network
from mol_model.networks.mol.losses import joint_loss
from mol_model.networks.mol.release.blocks import (
    ReleaseChannelCorrespondence,
    ReleaseFullyConnectedConvolution,
)
from mol_model.networks.summary import summarise
from mol_model.training.release_import import load_release
from mol_pipeline.contract.errors import ConfigError, TrainingError


@pytest.mark.parametrize("pairs", [[], [7], [-1], [0, 9]])
def test_pairs_that_do_not_exist_are_refused(pairs):
    with pytest.raises(ValueError, match="name pairs from 0 to 6"):
        build_network(TINY)(torch.zeros(1, 8, 128, 128), pairs)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"flavour": "release", "mixer": "fcc_v"}, "the release has no such block"),
        ({"flavour": "release", "neighbours": 257}, "256 positions"),
        ({"flavour": "release", "stem_channels": (2, 3, 4, 5)}, "even number of channels"),
        ({"flavour": "release", "crop_px": 320}, "maps up to 32x32"),
        ({"mixer": "transformer", "stem_channels": (2, 3, 4, 12)}, "multiple of"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(update, words):
    with pytest.raises(ConfigError, match=words):
        build_network(TINY.model_copy(update=update))


def test_the_graph_of_the_release_may_have_more_neighbours_than_channels():
    build_network(TINY.model_copy(update={"flavour": "release", "neighbours": 40}))


def test_the_fcc_of_the_release_refuses_sizes_it_cannot_have():
    with pytest.raises(ValueError, match="channels=5"):
        ReleaseFullyConnectedConvolution(channels=5, height=4, width=3)
    with pytest.raises(ValueError, match="33x3"):
        ReleaseFullyConnectedConvolution(channels=4, height=33, width=3)


def test_the_neighbours_of_the_release_do_not_change_under_autocast(monkeypatch):
    seen = []
    original = torch.Tensor.topk

    def note(self, *arguments, **options):
        seen.append(self.dtype)
        return original(self, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "topk", note)
    block = ReleaseChannelCorrespondence(height=4, width=3, neighbours=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        block(torch.randn(2, 5, 4, 3))
        block(torch.randn(2, 5, 4, 3, dtype=torch.bfloat16))
    assert seen == [torch.float32, torch.float32]


def test_an_empty_file_of_weights_is_a_deliberate_error(tmp_path):
    (tmp_path / "empty.pth").touch()
    with pytest.raises(TrainingError, match="cannot be read as weights"):
        load_release(tmp_path / "empty.pth", classes=3)


def test_the_scaling_of_the_release_divides_flow_and_sums_landmarks():
    points = torch.zeros(1, 4, 68, 2)
    points[..., 42:48, 0] = 50.0
    given = {
        "logits": torch.zeros(1, 3),
        "labels": torch.tensor([1]),
        "flow": torch.ones(1, 4, 2, 5, 6),
        "true_flow": torch.zeros(1, 4, 2, 5, 6),
        "landmarks": points + 1,
        "true_landmarks": points,
        "flow_weight": 10.0,
        "landmark_weight": 0.1,
    }
    ours, theirs = joint_loss(**given), joint_loss(**given, release_scaling=True)
    torch.testing.assert_close(theirs.flow, ours.flow / 4)
    torch.testing.assert_close(theirs.landmarks, ours.landmarks * 4)
    torch.testing.assert_close(theirs.expression, ours.expression)
    torch.testing.assert_close(
        theirs.total, theirs.expression + 10 * theirs.flow + 0.1 * theirs.landmarks
    )


def test_the_summary_lists_layers_with_their_shapes():
    layers = summarise(PRESETS["tiny"])["layers"]
    assert layers[0]["name"] == "stem.layers.0"
    assert layers[0]["output_shape"] == [8, 8, 63, 63]
    assert {"name": "flow.predictions.6", "kind": "Conv2d"}.items() <= layers[-1].items()
