"""The page of networks says what they are."""

import re
from pathlib import Path

import pytest
import torch

from mol_model.config.network import NETWORKS, find_network
from mol_model.config.settings import resolve_settings
from mol_model.networks.build import build
from tests.model.networks.clips import model_of

PAGE = (Path(__file__).parents[3] / "docs/networks.md").read_text()
NAMES = [name for name in NETWORKS if name != "mol"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_views_and_parameters_of_each_network(name):
    network = find_network(name)
    views, parameters = re.search(
        rf"^\| `{name}` \| (.*?) \| ([\d,]+) \|", PAGE, re.MULTILINE
    ).groups()
    assert re.findall(r"`([\w-]+)`", views) == [*network.views, *network.targets]
    with torch.device("meta"):
        model, _ = model_of(network, next(iter(network.presets)), classes=3)
    found = sum(weights.numel() for weights in model.parameters())
    assert int(parameters.replace(",", "")) == found
    assert next(iter(network.presets)) == "paper" and "tiny" in network.presets


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_a_run_that_can_be_built(name):
    for preset in find_network(name).presets:
        config = resolve_settings(preset, network=name)
        with torch.device("meta"):
            built = build(config)
        assert built.definition.name == name
        assert built.fits_at_once or any(True for _ in built.module.parameters())
        assert config.data.random_crop is (config.model.crop_px < 144 and name == "mmnet")
