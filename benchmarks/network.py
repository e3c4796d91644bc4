"""Time the network against a straightforward version of the same equations, in one run.

    python benchmarks/network.py [--preset paper|tiny] [--batch 2] [--runs 3] [--out FILE.json]

On a CPU: forward and backward of one batch, of CCC and of the correlation alone, with the
ratio of medians; the share of the flow head's convolutions, which are the floor; the peak of
memory of each in a process of its own. On CUDA also a bf16 training step with and without
torch.compile, and its share of the peak that --peak-tflops gives.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from straightforward import ccc, correlation, straightforward
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mol_model.config.settings import PRESETS
from mol_model.networks.mol.build import build_network
from mol_model.networks.mol.network import MOL

H200_DENSE_BF16_TFLOPS = 989.0


def make(preset: str, batch: int, device: str) -> tuple[MOL, Tensor]:
    """A network with fixed weights and a batch of clips."""
    torch.manual_seed(0)
    config = PRESETS[preset].model.model_copy(update={"dropout": 0.0})
    model = build_network(config).to(device)
    return model, torch.randn(batch, config.frames, config.crop_px, config.crop_px, device=device)


def total(outputs: Any) -> Tensor:
    """A scalar that every output takes part in."""
    given = [one for one in outputs if one is not None]
    return torch.stack([one.float().square().mean() for one in given]).sum()


def seconds(work: Callable[[], object], runs: int, device: str) -> float:
    """Median time of a call, after one to warm up."""
    times = []
    for _ in range(runs + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def step(model: MOL, forward: Callable[[], Any]) -> None:
    """Forward and backward."""
    model.zero_grad(set_to_none=True)
    total(forward()).backward()


def compare(name: str, ours: float, theirs: float) -> dict[str, Any]:
    """Print and return one row."""
    ratio = theirs / ours
    print(f"{name:34} ours {ours:9.4f} s   straightforward {theirs:9.4f} s   {ratio:7.1f} x")
    return {"what": name, "ours_s": ours, "straightforward_s": theirs, "ratio": ratio}


def blocks(model: MOL, batch: int, runs: int, device: str) -> list[dict[str, Any]]:
    """CCC and the correlation alone, forward and backward, at the sizes of the network.

    The straightforward CCC goes pair by pair, as the whole does.
    """
    block = model.first[0].ccc
    layer = model.flow.correlation
    pairs = batch * (model.frames - 1)
    size = block.height
    channels = model.first[0].exit.in_channels
    x = torch.randn(pairs, channels, size, size, device=device, requires_grad=True)
    depth = model.flow.encoder.conv3[0].out_channels
    a = torch.randn(pairs, depth, size, size, device=device, requires_grad=True)
    b = torch.randn(pairs, depth, size, size, device=device, requires_grad=True)
    rows = [
        (
            "CCC",
            lambda: block(x).square().mean().backward(),
            lambda: [ccc(block, pair).square().mean().backward() for pair in x.split(batch)],
        ),
        (
            "correlation",
            lambda: layer(a, b).square().mean().backward(),
            lambda: (
                correlation(a, b, layer.displacements, layer.dilation).square().mean().backward()
            ),
        ),
    ]
    return [
        compare(name, seconds(ours, runs, device), seconds(theirs, runs, device))
        for name, ours, theirs in rows
    ]


def flow_convolutions(model: MOL, clips: Tensor, runs: int, device: str) -> float:
    """Seconds of a step of the flow head without its correlation: what cannot be saved."""
    batch, pairs, size = len(clips), model.frames - 1, model.flow.correlation.height
    channels = model.first[0].exit.in_channels
    features = torch.randn(batch, pairs, channels, size, size, device=device)
    planes = torch.zeros(
        batch * pairs, model.flow.correlation.displacements**2, size, size, device=device
    )
    head, layer = model.flow, model.flow.correlation
    original = layer.forward
    layer.forward = lambda a, b: planes
    try:
        return seconds(lambda: step(model, lambda: [head(clips, features, features)]), runs, device)
    finally:
        layer.forward = original


def peak_memory(preset: str, batch: int, which: str) -> int:
    """Bytes that a step adds to the peak of a fresh process."""
    command = [sys.executable, __file__, "--preset", preset, "--batch", str(batch)]
    done = subprocess.run(
        [*command, "--memory-of", which], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def print_peak_memory(preset: str, batch: int, which: str) -> None:
    """Body of the process that `peak_memory` starts."""
    model, clips = make(preset, batch, "cpu")
    forward = {"ours": lambda: model(clips), "theirs": lambda: straightforward(model, clips)}
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
    before = resident("VmRSS")
    step(model, forward[which])
    print(resident("VmHWM") - before)


def resident(field: str) -> int:
    """Bytes of this process in memory now (`VmRSS`) or at most (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def on_cuda(preset: str, batch: int, runs: int, peak_tflops: float) -> list[dict[str, Any]]:
    """A training step in bf16, plain and compiled, and its share of the peak."""
    model, clips = make(preset, batch, "cuda")
    with FlopCounterMode(display=False) as counter:
        step(model, lambda: model(clips))
    flops = counter.get_total_flops()
    rows = []
    for compiled in (False, True):
        run = torch.compile(model) if compiled else model

        def forward(run: Any = run) -> Any:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                return run(clips)

        used = seconds(lambda forward=forward: step(model, forward), runs, "cuda")
        share = flops / used / (peak_tflops * 1e12)
        print(f"bf16 step, compile={compiled}: {used * 1e3:.2f} ms, {100 * share:.1f} % of peak")
        rows.append(
            {
                "what": "bf16 step",
                "compile": compiled,
                "batch": batch,
                "seconds": used,
                "clips_per_second": batch / used,
                "model_flops_utilisation": share,
            }
        )
    return rows


def main() -> None:
    """Run everything that this machine can."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cuda-batch", type=int, default=32)
    parser.add_argument("--peak-tflops", type=float, default=H200_DENSE_BF16_TFLOPS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory-of", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print_peak_memory(options.preset, options.batch, options.memory_of)
        return
    model, clips = make(options.preset, options.batch, "cpu")
    model.eval()
    with torch.no_grad():
        pairs = zip(model(clips)[:3], straightforward(model, clips)[:3], strict=True)
        difference = max(float((a - b).abs().max()) for a, b in pairs)
    print(f"largest difference of the two outputs in eval mode: {difference:.2e}")
    model.train()
    threads = torch.get_num_threads()
    print(
        f"CPU, {threads} threads, preset {options.preset}, batch {options.batch}, medians of "
        f"{options.runs}; forward and backward"
    )
    ours = seconds(lambda: step(model, lambda: model(clips)), options.runs, "cpu")
    theirs = seconds(
        lambda: step(model, lambda: straightforward(model, clips)), options.runs, "cpu"
    )
    rows = [
        compare("whole network", ours, theirs),
        *blocks(model, options.batch, options.runs, "cpu"),
    ]
    floor = flow_convolutions(model, clips, options.runs, "cpu")
    print(
        f"{'floor: flow head convolutions':34} {floor:14.4f} s   {100 * floor / ours:.0f} % of ours"
    )
    memory = {
        which: peak_memory(options.preset, options.batch, which) for which in ("ours", "theirs")
    }
    print(
        f"peak memory of a step: ours {memory['ours'] / 2**20:.0f} MiB, straightforward "
        f"{memory['theirs'] / 2**20:.0f} MiB ({memory['ours'] / memory['theirs']:.2f})"
    )
    document: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": threads,
        "preset": options.preset,
        "batch": options.batch,
        "largest_difference": difference,
        "cpu": rows,
        "flow_convolutions_s": floor,
        "peak_memory_bytes": memory,
        "cuda": "not measured",
    }
    if torch.cuda.is_available():
        document["device"] = torch.cuda.get_device_name()
        document["cuda"] = on_cuda(
            options.preset, options.cuda_batch, max(options.runs, 10), options.peak_tflops
        )
    else:
        print("CUDA: not measured, there is no device here")
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
