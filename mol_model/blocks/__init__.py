"""Blocks of the network: stem, FCC, CCC, F5C. Plug-and-play, flat arguments, no config."""

from mol_model.blocks.ccc import ChannelCorrespondenceConvolution
from mol_model.blocks.f5c import F5CBlock
from mol_model.blocks.fcc import FullyConnectedConvolution
from mol_model.blocks.stem import Stem
from mol_model.blocks.transformer import TransformerMixer

__all__ = [
    "ChannelCorrespondenceConvolution",
    "F5CBlock",
    "FullyConnectedConvolution",
    "Stem",
    "TransformerMixer",
]
