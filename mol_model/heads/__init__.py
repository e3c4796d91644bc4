"""The three heads: expression, optical flow, landmarks."""

from mol_model.heads.expression import ExpressionHead
from mol_model.heads.flow import FlowHead
from mol_model.heads.landmarks import LandmarkHead

__all__ = ["ExpressionHead", "FlowHead", "LandmarkHead"]
