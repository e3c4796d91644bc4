"""What every network's settings have, and how a network is found by its name.

Nothing of torch is imported before a network is asked for: command lines stay quick.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.shard_layout import ALIGNED_PX

NETWORKS: dict[str, str] = {
    "mol": "mol_model.networks.mol.definition:network",
    "ststnet": "mol_model.networks.ststnet:network",
    "off-apexnet": "mol_model.networks.off_apexnet:network",
    "sssnet": "mol_model.networks.sssnet:network",
    "rcn-a": "mol_model.networks.rcn:network",
    "htnet": "mol_model.networks.htnet:network",
    "mmnet": "mol_model.networks.mmnet:network",
    "fdp": "mol_model.networks.fdp.definition:network",
    "bi-woof": "mol_model.networks.features.bi_woof:network",
    "lbp-top": "mol_model.networks.features.lbp_top:network",
    "mean-flow": "mol_model.networks.features.controls:mean_flow",
    "majority": "mol_model.networks.features.controls:majority",
}
"""Networks that come with the project: name to `module:attribute`."""

DEFAULT_NETWORK = "mol"


class NetworkSettings(Settings):
    """Base of the settings of a network: what the data fix, and how much of a frame it sees."""

    classes: int = Field(default=5, ge=2, le=1000)
    """Expression classes, or action units; taken from the shards."""
    frames: int = Field(default=8, ge=2, le=1000)
    """t, frames of a clip; taken from the shards."""
    crop_px: int = Field(default=ALIGNED_PX, ge=16, le=1024)
    """Side of the square that the network sees of an aligned frame of 144 px."""

    def tasks(self) -> frozenset[str]:
        """What is estimated, of `expression`, `flow`, `landmarks` and `dynamic-image`."""
        return frozenset({"expression"})


def find_network(reference: str) -> Any:
    """The definition of a network (`mol_model.networks.interface.Network`).

    Args:
        reference: A name of `NETWORKS`, or `module:attribute` of a module that is installed or
            lies in the working folder.

    Raises:
        ConfigError: If there is none.
    """
    module, separator, attribute = NETWORKS.get(reference, reference).partition(":")
    if not separator or not module or not attribute:
        raise ConfigError(
            f"network {reference!r}: there are {', '.join(NETWORKS)}; your own is named as "
            "my_package.my_module:network"
        )
    folder = str(Path.cwd())
    if reference not in NETWORKS and folder not in sys.path:
        sys.path.insert(0, folder)  # as `python -m` does
    try:
        definition = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"network {reference}: no module {error.name!r}, neither installed nor in {folder}"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"network {reference}: {error}") from error
    kind = getattr(definition, "settings", None)
    if not (isinstance(kind, type) and issubclass(kind, NetworkSettings)):
        raise ConfigError(
            f"network {reference}: is no network definition; make one with "
            "mol_model.networks.interface.Network, see docs/your-own-network.md"
        )
    return definition
