"""Views of a few made-up clips whose class can be learned: where a face moves, and whereto."""

import json
import math

import torch

from mol_model.networks.dynamic_image import dynamic_image

P = 64
"""Side of the crop."""

CENTRES = ((20, 20), (44, 20), (20, 44), (44, 44))
"""`(x, y)` of what moves, by class."""


def face_points(count, side=P):
    """Eyes, nose and mouth at rough places of the crop, all other points in the middle."""
    points = torch.full((68, 2), side / 2)
    spots = {range(36, 42): (0.3, 0.35), range(42, 48): (0.7, 0.35), range(48, 68): (0.5, 0.75)}
    for group, (x, y) in spots.items():
        for i, point in enumerate(group):
            turn = 2 * math.pi * i / len(group)
            points[point, 0] = side * (x + 0.05 * math.cos(turn))
            points[point, 1] = side * (y + 0.05 * math.sin(turn))
    points[48], points[54] = torch.tensor([0.35, 0.75]) * side, torch.tensor([0.65, 0.75]) * side
    return points.expand(count, 68, 2).clone()


def bump(label, side=P, width=6.0):
    """A round hill where the class moves, `[side, side]`, 1 at its top."""
    x, y = CENTRES[label]
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    far = (columns - x * side / P) ** 2 + (rows - y * side / P) ** 2
    return torch.exp(-far / (2 * width**2))


def some_views(count=8, classes=3, frames=8, side=P, seed=0):
    """All views of clips of classes 0, 1, 2, 0, ..., and their labels.

    Returns:
        Views by name as `mol_model.networks.interface` describes them, and int64 `[count]`.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    hills = torch.stack([bump(int(label), side) for label in labels])
    strength = 0.5 + torch.rand(count, 1, 1, generator=generator)
    direction = torch.stack([labels.float().cos(), labels.float().sin()], dim=1)
    moved = direction[:, :, None, None] * (hills * strength)[:, None] * 2
    noise = 0.05 * torch.randn(count, 2, 2, side, side, generator=generator)
    faces = torch.randn(count, 1, side // 8, side // 8, generator=generator)
    faces = torch.nn.functional.interpolate(faces, size=(side, side), mode="bilinear")
    change = (hills * strength)[:, None]
    time = torch.linspace(0, 1, frames)[:, None, None]
    pixel_noise = 0.02 * torch.randn(count, frames, side, side, generator=generator)
    key_time = torch.tensor([0.0, 1.0, 0.2])[:, None, None]
    points = face_points(count, side)
    clips = faces + change * time + pixel_noise
    views = {
        "frames": clips,
        "flow": moved[:, None].repeat(1, frames - 1, 1, 1, 1) / frames,
        "landmarks": points[:, None].repeat(1, frames - 1, 1, 1),
        "key-frames": faces + change * key_time,
        "key-landmarks": points[:, None].repeat(1, 3, 1, 1),
        "key-flow": torch.stack([moved, -moved], dim=1) + noise,
        "dynamic-image": dynamic_image(clips),
    }
    return views, labels


def taken(network, views):
    """What the forward pass of a network takes of the views."""
    return [views[name] for name in network.views]


def model_of(network, preset="tiny", **settings):
    """The network of a preset's settings with some changed; its settings too."""
    document = {**network.presets[preset].get("model", {}), "crop_px": P, **settings}
    found = network.settings.model_validate_json(json.dumps(document))
    return network.build(found), found


def ramp_(module):
    """Fill all parameters with a fixed wave: expected numbers need no random generator."""
    with torch.no_grad():
        for parameter in module.parameters():
            index = torch.arange(parameter.numel(), dtype=torch.float32)
            parameter.copy_((torch.sin(0.7 * index + 0.3) * 0.5).reshape(parameter.shape))
    return module
