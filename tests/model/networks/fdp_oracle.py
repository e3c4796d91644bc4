"""FDP's release, written from its description on its own key names, function by function.

Independent of `mol_model`: it takes a state dict under the published names. Batch norms use their
running statistics.
"""

import torch
from torch.nn import functional

WIDTHS = (96,) * 3 + (192,) * 4 + (384,) * 10 + (768,) * 3
ENTRIES = (0, 3, 7, 17)
SEGNET = {
    "11": (64, 8),
    "12": (64, 64),
    "21": (128, 64),
    "22": (128, 128),
    "31": (256, 128),
    **dict.fromkeys(("32", "33"), (256, 256)),
    "41": (512, 256),
    **dict.fromkeys(("42", "43", "51", "52", "53"), (512, 512)),
    **dict.fromkeys(("53d", "52d", "51d", "43d", "42d"), (512, 512)),
    "41d": (256, 512),
    **dict.fromkeys(("33d", "32d"), (256, 256)),
    "31d": (128, 256),
    "22d": (128, 128),
    "21d": (64, 128),
    "12d": (64, 64),
    "11d": (1, 64),
}


def published_shapes(classes):
    """Name -> shape of every entry of the release's state dict."""
    shapes = {}

    def layer(name, *weight, bias=True):
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = (weight[0],)

    def norm(name, width):
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{entry}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    for i, weight in enumerate([(64, 1), (32, 64), (64, 32), (64, 64)]):
        layer(f"frame_rep.stem.{i}.conv", *weight, 3, 3, bias=False)
        norm(f"frame_rep.stem.{i}.norm", weight[0])
    before = 64
    for i, width in enumerate(WIDTHS):
        name = f"frame_rep.features.{i}"
        if i in ENTRIES:
            layer(f"{name}.patch_embed.conv", width, before, 1, 1, bias=False)
            norm(f"{name}.patch_embed.norm", width)
        layer(f"{name}.mhca.group_conv3x3", width, width, 3, 3, bias=False)
        norm(f"{name}.norm", width)
        layer(f"{name}.mlp.conv1", 3 * width, width, 1, 1)
        layer(f"{name}.mlp.conv2", width, 3 * width, 1, 1)
        before = width
    norm("frame_rep.norm", 768)
    layer("frame_rep.proj_head.0", 4096, 768)
    layer("mer.conv3d", 8, 1, 3, 3, 8)
    layer("mer.fc1", 256, 3528)
    layer("mer.fc2", classes, 256)
    for number, weight in SEGNET.items():
        layer(f"dyimg_net.conv{number}", *weight, 3, 3)
        if number != "11d":
            norm(f"dyimg_net.bn{number}", weight[0])
    return shapes


def forward(state, clips):  # noqa: C901  every layer in its order
    """Logits `[B, classes]` and images `[B, 64, 64]` of clips `[B, 1, 8, 1, 64, 64]`."""

    def norm(name, x):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        gain, shift = state[f"{name}.weight"], state[f"{name}.bias"]
        shape = (1, -1, 1, 1)
        scale = gain / torch.sqrt(variance + 1e-5)
        return x * scale.view(shape) + (shift - mean * scale).view(shape)

    def conv(name, x, **how):
        return functional.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **how)

    features = []
    for frame in range(8):
        x = clips[:, 0, frame]
        for i, stride in enumerate((2, 1, 1, 2)):
            name = f"frame_rep.stem.{i}"
            x = norm(f"{name}.norm", conv(f"{name}.conv", x, stride=stride, padding=1)).relu()
        for i in range(20):
            name = f"frame_rep.features.{i}"
            if i in ENTRIES:
                if i:
                    x = functional.avg_pool2d(x, 2)
                x = norm(f"{name}.patch_embed.norm", conv(f"{name}.patch_embed.conv", x))
            x = x + conv(f"{name}.mhca.group_conv3x3", x, padding=1)
            y = conv(f"{name}.mlp.conv1", norm(f"{name}.norm", x)).relu()
            x = x + conv(f"{name}.mlp.conv2", y)
        x = norm("frame_rep.norm", x).mean(dim=(2, 3))
        weight, bias = (state[f"frame_rep.proj_head.0.{part}"] for part in ("weight", "bias"))
        features.append(x @ weight.T + bias)
    plane = torch.zeros(len(clips), 8, 64, 64, dtype=clips.dtype)  # depth first
    for frame, vector in enumerate(features):
        for a in range(8):
            for k in range(8):
                plane[:, k, 8 * frame + a] = vector[:, 512 * a + k : 512 * a + 512 : 8]
    kernel = state["mer.conv3d.weight"][:, 0].permute(0, 3, 1, 2)
    maps = functional.conv2d(plane, kernel, state["mer.conv3d.bias"], padding=1)
    hidden = functional.max_pool2d(maps, 3).flatten(1)
    hidden = (hidden @ state["mer.fc1.weight"].T + state["mer.fc1.bias"]).relu()
    logits = hidden @ state["mer.fc2.weight"].T + state["mer.fc2.bias"]

    x, places = maps, []
    for level in (
        ("11", "12"),
        ("21", "22"),
        ("31", "32", "33"),
        ("41", "42", "43"),
        ("51", "52", "53"),
    ):
        for number in level:
            x = norm(f"dyimg_net.bn{number}", conv(f"dyimg_net.conv{number}", x, padding=1)).relu()
        x, place = functional.max_pool2d(x, 2, return_indices=True)
        places.append(place)
    for level in (
        ("53d", "52d", "51d"),
        ("43d", "42d", "41d"),
        ("33d", "32d", "31d"),
        ("22d", "21d"),
        ("12d", "11d"),
    ):
        x = functional.max_unpool2d(x, places.pop(), 2)
        for number in level:
            x = conv(f"dyimg_net.conv{number}", x, padding=1)
            if number != "11d":
                x = norm(f"dyimg_net.bn{number}", x).relu()
    return logits, torch.sigmoid(x)[:, 0]
