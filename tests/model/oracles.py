"""Slow, obvious versions of the equations: one loop per index."""

import torch


def fcc_vertical(x, position, kernel):
    """Eq. 1 and 2, `[n, C, H, W]`."""
    count, channels, height, width = x.shape
    out = torch.zeros_like(x)
    for n in range(count):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    total = 0.0
                    for s in range(height):
                        row = (i + s) % height
                        total = total + kernel[c, s] * (x[n, c, row, j] + position[c, row])
                    out[n, c, i, j] = total
    return out


def fcc_horizontal(x, position, kernel):
    """Eq. 3: the same along the width."""
    turned = fcc_vertical(x.transpose(2, 3), position, kernel)
    return turned.transpose(2, 3)


def ccc(x, centre, difference, neighbours):
    """Eq. 4 and 5 with V = centre, U = difference, `[n, C, H, W]`."""
    count, channels = x.shape[:2]
    nodes = x.flatten(2)
    out = []
    for n in range(count):
        for i in range(channels):
            f_i = nodes[n, i]
            similarity = [
                torch.dot(f_i, nodes[n, j]) / (f_i.norm() * nodes[n, j].norm())
                if j != i
                else torch.tensor(-2.0)
                for j in range(channels)
            ]
            nearest = sorted(range(channels), key=lambda j: -similarity[j].item())[:neighbours]
            edges = [torch.relu(centre @ f_i + difference @ (nodes[n, j] - f_i)) for j in nearest]
            out.append(torch.stack(edges).amax(dim=0))
    return torch.stack(out).view_as(x)


def correlation(first, second, displacements, dilation):
    """Shifted-window correlation with zeros outside, `[n, D^2, H, W]`."""
    count, channels, height, width = first.shape
    radius = displacements // 2
    out = torch.zeros(count, displacements**2, height, width)
    for n in range(count):
        for p in range(displacements):
            for q in range(displacements):
                for i in range(height):
                    for j in range(width):
                        y, x = i + dilation * (p - radius), j + dilation * (q - radius)
                        if 0 <= y < height and 0 <= x < width:
                            out[n, p * displacements + q, i, j] = (
                                torch.dot(first[n, :, i, j], second[n, :, y, x]) / channels
                            )
    return out
