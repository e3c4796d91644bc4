"""Blocks of the network: stem, FCC, CCC, F5C. Plug-and-play, flat arguments, no config."""

from mol_model.networks.mol.blocks.ccc import ChannelCorrespondenceConvolution
from mol_model.networks.mol.blocks.f5c import F5CBlock
from mol_model.networks.mol.blocks.fcc import FullyConnectedConvolution
from mol_model.networks.mol.blocks.stem import Stem
from mol_model.networks.mol.blocks.transformer import TransformerMixer

__all__ = [
    "ChannelCorrespondenceConvolution",
    "F5CBlock",
    "FullyConnectedConvolution",
    "Stem",
    "TransformerMixer",
]
