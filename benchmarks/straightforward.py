"""The equations of MOL as one writes them down first, for `benchmarks/network.py`.

Loops over pairs, channels, neighbours, shifts and displaced windows; the stem and the encoder
run for both frames of each pair. It uses the parameters of a network that `mol_model` built, so
that both compute the same.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mol_model.networks.interface import Estimates
from mol_model.networks.mol.blocks import (
    ChannelCorrespondenceConvolution,
    F5CBlock,
    FullyConnectedConvolution,
)
from mol_model.networks.mol.blocks.fcc import DirectionalConvolution
from mol_model.networks.mol.heads import FlowHead
from mol_model.networks.mol.heads.flow import SLOPE
from mol_model.networks.mol.network import MOL


def directional(block: DirectionalConvolution, x: Tensor) -> Tensor:
    """Eq. 1 to 3: one shifted copy of the map per kernel entry."""
    axis = 2 if block.vertical else 3
    shape = (1, -1, block.size, 1) if block.vertical else (1, -1, 1, block.size)
    x = x + block.position.view(shape)
    total = torch.zeros_like(x)
    for s in range(block.size):
        total = total + block.kernel[:, s].view(1, -1, 1, 1) * torch.roll(x, -s, dims=axis)
    return total


def fcc(block: FullyConnectedConvolution, x: Tensor) -> Tensor:
    """Both orders of directions, concatenated and fused."""
    x = block.entry(x)
    branches = []
    for branch in block.branches:
        y = x
        for one in branch if isinstance(branch, nn.Sequential) else [branch]:
            y = directional(one, y)
        branches.append(y)
    return block.fusion(torch.cat(branches, dim=1))


def ccc(block: ChannelCorrespondenceConvolution, x: Tensor) -> Tensor:
    """Eq. 4 and 5: a loop over channels and over their neighbours."""
    nodes = x.flatten(2)
    index = block.nearest(nodes)
    batch = torch.arange(len(nodes), device=x.device)
    results = []
    for i in range(nodes.shape[1]):
        centre = block.centre(nodes[:, i])
        edges = []
        for j in range(block.neighbours):
            neighbour = nodes[batch, index[:, i, j]]
            edges.append(functional.relu(centre + block.difference(neighbour - nodes[:, i])))
        results.append(torch.stack(edges).amax(dim=0))
    return torch.stack(results, dim=1).view_as(x)


def f5c(block: F5CBlock, x: Tensor) -> Tensor:
    """FCC and CCC with their residuals."""
    if not isinstance(block.mixer, FullyConnectedConvolution):
        raise TypeError("the straightforward version knows FCC only")
    if not isinstance(block.ccc, ChannelCorrespondenceConvolution):
        raise TypeError("the straightforward version knows the paper's CCC only")
    x = x + fcc(block.mixer, x)
    return x + block.exit(ccc(block.ccc, x))


def correlation(first: Tensor, second: Tensor, displacements: int, dilation: int) -> Tensor:
    """One shifted window per displacement, zeros outside the map."""
    radius = dilation * (displacements // 2)
    height, width = first.shape[-2:]
    padded = functional.pad(second, (radius, radius, radius, radius))
    planes = []
    for p in range(displacements):
        for q in range(displacements):
            y, x = dilation * p, dilation * q
            window = padded[:, :, y : y + height, x : x + width]
            planes.append((first * window).mean(dim=1))
    return torch.stack(planes, dim=1)


def flow(head: FlowHead, frames: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The flow head for one pair of frames `[B, 2, P, P]`."""
    half, quarter, eighth = head.encoder(frames[:, :1])
    _, _, eighth_second = head.encoder(frames[:, 1:])
    layer = head.correlation
    planes = correlation(eighth, eighth_second, layer.displacements, layer.dilation)
    merged = [head.redirection(eighth), functional.leaky_relu(planes, SLOPE), first, second]
    level3 = head.conv3_1(torch.cat(merged, dim=1))
    level4 = head.conv4_1(head.conv4(level3))
    level5 = head.conv5_1(head.conv5(level4))
    x = head.conv6_1(head.conv6(level5))
    skips = (level5, level4, level3, quarter, half, frames[:, :1])
    for level, skip in enumerate(skips):
        rough = head.upsamplings[level](head.predictions[level](x))
        x = torch.cat([skip, head.deconvs[level](x), rough], dim=1)
    return head.predictions[-1](x)


def straightforward(model: MOL, clips: Tensor) -> Estimates:
    """The whole network, pair by pair."""
    if model.expression is None or model.flow is None or model.landmarks is None:
        raise TypeError("the straightforward version needs all three heads")
    maps, flows, points = [], [], []
    for k in range(model.frames - 1):
        first, second = model.stem(clips[:, k : k + 1]), model.stem(clips[:, k + 1 : k + 2])
        for block in model.first:
            first = f5c(block, first)
        for block in model.second:
            second = f5c(block, second)
        maps += [first, second]
        flows.append(flow(model.flow, clips[:, k : k + 2], first, second))
        points.append(model.landmarks(second))
    return Estimates(
        expression=model.expression(torch.stack(maps, dim=-1)),
        flow=torch.stack(flows, dim=1),
        landmarks=torch.stack(points, dim=1),
    )
