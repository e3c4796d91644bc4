"""The page of networks says what they are."""

import re
from pathlib import Path

import pytest
import torch

from mol_model.config.network import NETWORKS, find_network
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
