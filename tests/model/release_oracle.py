"""The release's forward pass, written from its description on its own key names.

Independent of `mol_model`: it takes a state dict under the published names and works
pair by pair, channel half by channel half, displacement by displacement. A mistake in
the key map or in a layout therefore cannot hide in both sides of a comparison.
"""

import math

import torch
from torch.nn import functional

EPSILON = 1e-5  # of torch's batch norm


def published_shapes(classes):
    """Name -> shape of every entry of the release's state dict, batch norms included."""
    shapes = {}

    def layer(name, *weight, bias=True, transposed=False):
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = (weight[1] if transposed else weight[0],)

    def norm(name, width):
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{entry}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    stem = [(8, 1, 4, 4), (32, 8, 3, 3), (64, 32, 2, 2), (128, 64, 1, 1)]
    for i, weight in enumerate(stem):
        layer(f"conv_stack.conv_stack.{i}", *weight)
    for number in (1, 2):
        fcc, ccc = f"FCC_{number}", f"CCC_{number}"
        for order in (1, 2):
            shapes[f"{fcc}.meta_kernel_{order}_H"] = (64, 1, 32, 1)
            shapes[f"{fcc}.meta_kernel_{order}_W"] = (64, 1, 1, 32)
            shapes[f"{fcc}.meta_{order}_H_bias"] = (64,)
            shapes[f"{fcc}.meta_{order}_W_bias"] = (64,)
            shapes[f"{fcc}.meta_pe_{order}_H"] = (1, 64, 32, 1)
            shapes[f"{fcc}.meta_pe_{order}_W"] = (1, 64, 1, 32)
            norm(f"{fcc}.pre_Norm_{order}", 64)
            layer(f"{ccc}.conv{order}", 256, 1, 256)
        # Stored, never used; their sizes do not matter to a reader.
        norm(f"{fcc}.ffn.0", 128)
        layer(f"{fcc}.ffn.1", 2, 128, 1, 1)
        layer(f"{fcc}.ffn.4", 128, 2, 1, 1)
    layer("mer_3dcnn.conv3d", 32, 128, 2, 2, 5)
    layer("mer_3dcnn.fc1", 256, 2560)
    layer("mer_3dcnn.fc2", classes, 256)
    layer("ldm_predictor.convldm", 32, 128, 3, 3)
    layer("ldm_predictor.fc1", 512, 6272)
    layer("ldm_predictor.fc2", 136, 512)
    convolutions = {
        "conv1": (64, 1, 6, 6),
        "conv2": (128, 64, 4, 4),
        "conv3": (256, 128, 2, 2),
        "conv_redir": (32, 256, 1, 1),
        "conv3_1": (256, 729, 3, 3),
        "conv4": (512, 256, 3, 3),
        "conv4_1": (512, 512, 3, 3),
        "conv5": (512, 512, 3, 3),
        "conv5_1": (512, 512, 3, 3),
        "conv6": (1024, 512, 3, 3),
        "conv6_1": (1024, 1024, 3, 3),
    }
    for name, weight in convolutions.items():
        layer(f"flownet.{name}.0", *weight, bias=False)
        norm(f"flownet.{name}.1", weight[0])
    inputs, outputs = (1024, 1026, 770, 386, 258, 130), (512, 256, 128, 128, 64, 32)
    for level, a, b in zip((5, 4, 3, 2, 1, 0), inputs, outputs, strict=True):
        layer(f"flownet.deconv{level}.0", a, b, 4, 4, bias=False)
        layer(f"flownet.upsampled_flow{level + 1}_to_{level}", 2, 2, 4, 4, bias=False)
    for level, a in zip((6, 5, 4, 3, 2, 1, 0), (*inputs, 35), strict=True):
        layer(f"flownet.predict_flow{level}", 2, a, 3, 3, bias=False)
    return shapes


def random_state(classes, seed=0):
    """A float64 state dict; weights keep the scale of what passes through them."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in published_shapes(classes).items():
        numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + numbers.abs()
        elif len(shape) > 1 and "meta_pe" not in name:
            fan_in = math.prod(shape[1:])
            state[name] = numbers * fan_in**-0.5
        elif name.endswith(".weight"):  # of a batch norm
            state[name] = 1 + 0.2 * numbers
        else:
            state[name] = 0.2 * numbers
    return state


class Release:
    """The description, step by step, for one state dict in eval mode."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, **options):
        return functional.conv2d(
            x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), **options
        )

    def norm(self, name, x):
        mean, variance, weight, bias = (
            self.state[f"{name}.{entry}"][:, None, None]
            for entry in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + EPSILON) * weight + bias

    def linear(self, name, x):
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def stem(self, x):
        for i, (stride, padding) in enumerate(((2, 0), (2, 0), (2, 1), (1, 0))):
            x = self.conv(f"conv_stack.conv_stack.{i}", x, stride=stride, padding=padding)
        return x

    def fcc(self, name, x):
        def kernel(order, axis):
            return self.state[f"{name}.meta_kernel_{order}_{axis}"].reshape(64, 32)[:, :16]

        def bias(order, axis):
            return self.state[f"{name}.meta_{order}_{axis}_bias"][:, None, None]

        def circular(y, order, axis):
            dim = {"H": 2, "W": 3}[axis]
            shifts = [
                kernel(order, axis)[:, s, None, None] * torch.roll(y, -s, dims=dim)
                for s in range(16)
            ]
            return sum(shifts) + bias(order, axis)

        def position(order, axis):
            stored = self.state[f"{name}.meta_pe_{order}_{axis}"]
            return stored[:, :, :16] if axis == "H" else stored[:, :, :, :16]

        a, b = x[:, :64], x[:, 64:]
        a1 = self.norm(f"{name}.pre_Norm_1", a + position(1, "H"))
        b1 = self.norm(f"{name}.pre_Norm_2", b + position(1, "W"))
        a3 = circular(a1, 1, "H") + position(2, "W")
        b3 = circular(b1, 1, "W") + position(2, "H")
        return torch.cat([a + circular(a3, 2, "W"), b + circular(b3, 2, "H")], dim=1)

    def ccc(self, name, x):
        first, second = (self.state[f"{name}.conv{i}.weight"][:, 0] for i in (1, 2))
        bias = self.state[f"{name}.conv1.bias"] + self.state[f"{name}.conv2.bias"]
        results = []
        for maps in x.flatten(2):  # [128, 256]
            unit = maps / maps.norm(dim=0, keepdim=True)
            index = (unit.T @ unit).topk(4, dim=1).indices  # [256, 4]
            edges = []
            for j in range(4):
                g = maps[:, index[:, j]] - maps
                edges.append(torch.relu(maps @ first.T + (g - maps) @ second.T + bias))
            results.append(torch.stack(edges).amax(dim=0))
        return torch.stack(results).view_as(x)

    def branch(self, number, x):
        x = self.fcc(f"FCC_{number}", x)
        return x + self.ccc(f"CCC_{number}", x)

    def expression(self, maps):
        x = functional.conv3d(
            torch.stack(maps, dim=-1),
            self.state["mer_3dcnn.conv3d.weight"],
            self.state["mer_3dcnn.conv3d.bias"],
            stride=(2, 2, 1),
        )
        x = functional.max_pool3d(x, 2).flatten(1)
        return self.linear("mer_3dcnn.fc2", torch.relu(self.linear("mer_3dcnn.fc1", x)))

    def landmarks(self, x):
        x = torch.relu(self.conv("ldm_predictor.convldm", x)).flatten(1)
        return self.linear("ldm_predictor.fc2", torch.relu(self.linear("ldm_predictor.fc1", x)))

    def leaky(self, x):
        return torch.where(x > 0, x, 0.1 * x)

    def down(self, name, x, **options):
        name = f"flownet.{name}"
        return self.leaky(self.norm(f"{name}.1", self.conv(f"{name}.0", x, **options)))

    def up(self, name, x):
        weight = self.state[f"flownet.{name}.weight"]
        return functional.conv_transpose2d(x, weight, stride=2, padding=1)

    def encode(self, frame):
        half = self.down("conv1", frame, stride=2, padding=2)
        quarter = self.down("conv2", half, stride=2, padding=1)
        return half, quarter, self.down("conv3", quarter, stride=2)

    def correlate(self, a, b):
        padded = functional.pad(b, (20, 20, 20, 20))
        planes = [
            (a * padded[:, :, 20 + dy : 36 + dy, 20 + dx : 36 + dx]).sum(dim=1) / 256
            for dy in range(-20, 21, 2)
            for dx in range(-20, 21, 2)
        ]
        return self.leaky(torch.stack(planes, dim=1))

    def flow(self, frame, other, first, second):
        half, quarter, eighth = self.encode(frame)
        x = torch.cat(
            [
                self.down("conv_redir", eighth),
                self.correlate(eighth, self.encode(other)[2]),
                first,
                second,
            ],
            dim=1,
        )
        skips = {0: frame, 1: half, 2: quarter}
        skips[3] = self.down("conv3_1", x, padding=1)
        skips[4] = self.down(
            "conv4_1", self.down("conv4", skips[3], stride=2, padding=1), padding=1
        )
        skips[5] = self.down(
            "conv5_1", self.down("conv5", skips[4], stride=2, padding=1), padding=1
        )
        x = self.down("conv6_1", self.down("conv6", skips[5], stride=2, padding=1), padding=1)
        for level in (5, 4, 3, 2, 1, 0):
            rough = self.conv(f"flownet.predict_flow{level + 1}", x, padding=1)
            rough = self.up(f"upsampled_flow{level + 1}_to_{level}", rough)
            x = torch.cat([skips[level], self.leaky(self.up(f"deconv{level}.0", x)), rough], dim=1)
        return self.conv("flownet.predict_flow0", x, padding=1)

    def __call__(self, clips):
        """`[B, 1, 8, 128, 128]` -> `[B, classes]`, `[B, 2, 128, 128, 7]`, `[B, 136, 7]`."""
        maps, flows, points = [], [], []
        for k in range(7):
            frame, other = clips[:, :, k], clips[:, :, k + 1]
            first = self.branch(1, self.stem(frame))
            second = self.branch(2, self.stem(other))
            maps += [first, second]
            flows.append(self.flow(frame, other, first, second))
            points.append(self.landmarks(second))
        return self.expression(maps), torch.stack(flows, dim=-1), torch.stack(points, dim=-1)
