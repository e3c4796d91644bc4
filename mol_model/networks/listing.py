"""The networks that come with the project, in a table."""

from dataclasses import dataclass

import torch

from mol_model.config.network import NETWORKS
from mol_model.config.settings import resolve_settings
from mol_model.networks.build import build, network_of


@dataclass(frozen=True)
class ListedNetwork:
    """A row of the table."""

    name: str
    views: tuple[str, ...]
    parameters: int
    """Of five classes and the first preset."""
    presets: tuple[str, ...]
    source: str


def list_networks() -> list[ListedNetwork]:
    """A row for each of `NETWORKS`, in its order; no network's weights are held."""
    rows = []
    for name in NETWORKS:
        definition = network_of(name)
        with torch.device("meta"):
            parameters = build(resolve_settings(None, network=name)).parameter_count()
        presets = tuple(definition.presets)
        rows.append(ListedNetwork(name, definition.views, parameters, presets, definition.source))
    return rows
