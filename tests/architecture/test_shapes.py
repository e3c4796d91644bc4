"""The shapes in signatures are more than words: a wrong one fails in every test."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from mol_model.networks.losses import expression_loss
from mol_model.networks.mol.blocks import Stem
from mol_model.networks.mol.losses import landmark_loss
from mol_model.scoring.metrics import class_f1, end_point_errors, inter_ocular_nme
from mol_pipeline.kernels.alignment import alignment_transform
from mol_pipeline.kernels.flow import tvl1_flow
from mol_pipeline.kernels.geometry import compose

FACE = torch.rand(2, 7, 68, 2)
FLOW = np.zeros((3, 2, 4, 5))

WRONG = {
    "a colour frame": lambda: Stem(channels=(1, 1, 1, 1))(torch.rand(2, 3, 64, 64)),
    "labels of another batch": lambda: expression_loss(torch.rand(2, 5), torch.tensor([0])),
    "labels that are no whole numbers": lambda: expression_loss(torch.rand(1, 5), torch.rand(1)),
    "landmarks of another length": lambda: landmark_loss(FACE, FACE[:, :6]),
    "five landmarks": lambda: inter_ocular_nme(np.zeros((3, 5, 2)), np.zeros((3, 5, 2))),
    "flow with its components last": lambda: end_point_errors(FLOW, np.moveaxis(FLOW, 1, -1)),
    "a confusion matrix that is not square": lambda: class_f1(np.ones((2, 3), int)),
    "landmarks on the first axis": lambda: alignment_transform(np.zeros((2, 68))),
    "a transform of three rows": lambda: compose(np.eye(3), np.eye(3)),
    "frames of two sizes": lambda: tvl1_flow(
        np.zeros((9, 9), np.uint8), np.zeros((9, 8), np.uint8)
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_array_of_another_shape_is_refused(what):
    with pytest.raises(TypeCheckError):
        WRONG[what]()
