"""The release's flavour against loop versions of its description, and its key names."""

import pytest
import torch

from mol_model.config.mol import ModelConfig
from mol_model.networks.mol.build import build_network
from mol_model.networks.mol.release.blocks import (
    ReleaseChannelCorrespondence,
    ReleaseFullyConnectedConvolution,
)
from mol_model.networks.mol.release.weights import _key_map, convert_state
from mol_model.training.release_import import load_release
from mol_pipeline.contract.errors import TrainingError


def test_fcc_of_the_release_equals_its_description():
    torch.manual_seed(0)
    block = ReleaseFullyConnectedConvolution(channels=6, height=5, width=4).double().eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
        for norm in (block.norm_1, block.norm_2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)

    def along(y, kernel, bias, axis):
        # y[.., i, ..] = sum_s w[s] y[.., (i + s) mod n, ..]
        total = torch.zeros_like(y)
        for s in range(y.shape[axis]):
            total += kernel[:, s, None, None] * torch.roll(y, -s, dims=axis)
        return total + bias[:, None, None]

    a, b = x[:, :3], x[:, 3:]
    a1 = block.norm_1(a + block.position_1_h[:, :5, None])
    b1 = block.norm_2(b + block.position_1_w[:, None, :4])
    a2 = along(a1, block.kernel_1_h, block.bias_1_h, 2)
    b2 = along(b1, block.kernel_1_w, block.bias_1_w, 3)
    a4 = along(a2 + block.position_2_w[:, None, :4], block.kernel_2_w, block.bias_2_w, 3)
    b4 = along(b2 + block.position_2_h[:, :5, None], block.kernel_2_h, block.bias_2_h, 2)
    torch.testing.assert_close(block(x), torch.cat([a4, b4], dim=1), atol=1e-11, rtol=1e-11)


def test_ccc_of_the_release_equals_its_description():
    torch.manual_seed(0)
    block = ReleaseChannelCorrespondence(height=3, width=4, neighbours=2).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    maps = x.flatten(2)
    expected = torch.empty_like(maps)
    for n in range(2):
        unit = maps[n] / maps[n].norm(dim=0, keepdim=True)
        index = [(unit.T @ unit[:, p]).topk(2).indices for p in range(12)]
        for c in range(5):
            f = maps[n, c]
            edges = []
            for j in range(2):
                g = torch.stack([f[index[p][j]] - f[p] for p in range(12)])
                edges.append(torch.relu(block.centre(f) + block.difference(g - f)))
            expected[n, c] = torch.stack(edges).amax(dim=0)
    torch.testing.assert_close(block(x), expected.view_as(x), atol=1e-11, rtol=1e-11)


def release_state(model):
    """State dict under the release's names and shapes, with random numbers."""
    back = {ours: theirs for theirs, ours in _key_map().items()}
    state = {}
    for name, value in model.state_dict().items():
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            prefix = back.get(".".join(parts[:cut]))
            if prefix is not None:
                key = ".".join([prefix, *parts[cut:]])
                break
        else:
            raise AssertionError(f"no name in the release for {name}")
        if "meta_kernel" in key or "meta_pe" in key:
            half = len(value)
            tall = key.endswith("_H")
            shape = (half, 1, 32, 1) if tall else (half, 1, 1, 32)
            value = value.reshape(shape if "kernel" in key else (1, half, *shape[2:]))
        elif key.startswith("CCC") and key.endswith("weight"):
            value = value.reshape(256, 1, 256)
        state[key] = torch.rand_like(value.double()) if value.is_floating_point() else value
    state["FCC_1.ffn.0.weight"] = torch.zeros(3)
    return state


@pytest.fixture(scope="module")
def release():
    return build_network(ModelConfig(flavour="release", classes=3))


def test_a_state_dict_of_the_release_fills_the_whole_network(release):
    state = release_state(release)
    assert state["mer_3dcnn.fc2.weight"].shape == (3, 256)
    assert state["flownet.conv3_1.0.weight"].shape == (256, 729, 3, 3)
    assert state["flownet.deconv5.0.weight"].shape == (1024, 512, 4, 4)
    assert state["flownet.upsampled_flow6_to_5.weight"].shape == (2, 2, 4, 4)
    converted, report = convert_state(state, release)
    assert not report.missing
    assert not report.unknown
    assert report.unused == ("FCC_1.ffn.0.weight",)
    for name, value in converted.items():
        assert value.shape == release.state_dict()[name].shape
    loaded = load_release(state, classes=3)
    assert not loaded.training
    assert loaded.stem.layers[0].weight.dtype == torch.float64
    torch.testing.assert_close(
        loaded.flow.predictions[6].weight, state["flownet.predict_flow0.weight"]
    )


def test_the_release_has_its_number_of_parameters(release):
    parts = {name: sum(p.numel() for p in m.parameters()) for name, m in release.named_children()}
    five = build_network(ModelConfig(flavour="release", classes=5))
    assert sum(p.numel() for p in five.parameters()) == pytest.approx(44.1e6, rel=2e-3)
    # FCC without the unused `ffn`, and CCC.
    assert parts["first"] == 4 * 64 * 32 * 2 + 4 * 64 + 4 * 64 + 2 * (256 * 256 + 256)


def test_missing_unknown_or_misfit_keys_are_named(release, tmp_path):
    state = release_state(release)
    with pytest.raises(TrainingError, match="number of classes"):
        load_release(state, classes=5)
    del state["mer_3dcnn.fc1.bias"]
    with pytest.raises(TrainingError, match=r"missing \['expression\.hidden\.bias'\]"):
        load_release(state, classes=3)
    (tmp_path / "weights.pth").write_bytes(b"not weights")
    with pytest.raises(TrainingError, match="cannot be read as weights"):
        load_release(tmp_path / "weights.pth", classes=3)
