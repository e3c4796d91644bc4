"""The three heads: expression, optical flow, landmarks."""

from mol_model.networks.mol.heads.expression import ExpressionHead
from mol_model.networks.mol.heads.flow import FlowHead
from mol_model.networks.mol.heads.landmarks import LandmarkHead

__all__ = ["ExpressionHead", "FlowHead", "LandmarkHead"]
