"""Measure training as it runs: waiting for clips, the loader alone, a whole LOSO.

    python benchmarks/train.py SHARDS [--preset paper|tiny] [--steps N] [--out FILE.json]

SHARDS is a directory that `molprep build` wrote. In one run on one machine:
- steps of `moltrain` with clips resident and streamed: clips per second, share of time waiting;
- the loader alone, streaming in a random order with no clip kept in memory, against what a step
  consumes;
- on CUDA, bf16 steps of batch 32, plain and compiled: clips per second, share of the peak that
  --peak-tflops gives, 27 folds of 1000 steps extrapolated, and the straightforward loops beside it.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import H200_DENSE_BF16_TFLOPS
from straightforward import straightforward
from torch.utils.flop_counter import FlopCounterMode

from mol_model.clips.source import open_source
from mol_model.clips.sums import clip_statistics
from mol_model.clips.views import Normalisation, apply_view, centre_view
from mol_model.config.settings import PRESETS, RunConfig
from mol_model.networks.build import build
from mol_model.protocols.folds import Fold
from mol_model.runs.run import fit_to_data, load_data
from mol_model.training.fold import model_loss, train_fold
from mol_model.training.metric_log import read_metric_log
from mol_model.training.optimiser import make_optimiser
from mol_pipeline.contract.shard_layout import ALIGNED_PX

LOSO_FOLDS, LOSO_STEPS = 27, 1000
"""Subjects of CASME II, and the release's steps of a fold."""


def settings(preset: str, steps: int, batch: int | None, **training: Any) -> RunConfig:
    """A preset with a line of the log for every step."""
    config = PRESETS[preset]
    changed = {"steps": steps, "log_every": 1, "checkpoint_every": steps, **training}
    if batch:
        changed["batch_size"] = batch
    return config.model_copy(update={"training": config.training.model_copy(update=changed)})


def steps_of(shards: Path, config: RunConfig, device: torch.device, cache: str) -> dict[str, Any]:
    """Real steps of a fold; the first quarter warms up."""
    data = load_data([shards], None, config)
    config = fit_to_data(config, data)
    source = open_source(data, device, cache)
    everybody = Fold("all", tuple(range(len(data.videos))), ())
    statistics_of_clips = clip_statistics(source)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        train_fold(source, everybody, config, directory, statistics=statistics_of_clips)
        lines = read_metric_log(directory)
    lines = lines[len(lines) // 4 :]
    rates = [line["clips_per_second"] for line in lines]
    seconds = [config.training.batch_size / rate for rate in rates]
    waiting = sum(line["waiting"] * s for line, s in zip(lines, seconds, strict=True))
    row = {
        "cache": cache,
        "batch": config.training.batch_size,
        "steps": len(lines),
        "seconds_per_step": statistics.median(seconds),
        "clips_per_second": statistics.median(rates),
        "waiting_share": waiting / sum(seconds),
    }
    print(
        f"{device.type}, clips {cache:7}: {row['seconds_per_step'] * 1e3:9.1f} ms a step, "
        f"{row['clips_per_second']:8.1f} clips/s, waiting {100 * row['waiting_share']:.2f} %"
    )
    return row


def loader_alone(shards: Path, config: RunConfig, workers: int) -> float:
    """Clips per second that the loader gives when nobody computes and nothing is kept."""
    uncached = config.model_copy(update={"data": config.data.model_copy(update={"cache_mb": 0})})
    data = load_data([shards], None, uncached)
    clips = len(data.video_of_clip)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(clips), 2000 // clips + 1))
    plan = np.array_split(order, len(order) // 16)
    rates = []
    for _ in range(3):
        batches = data.batches([part.tolist() for part in plan], workers=workers)
        count, start = 0, None
        for batch in batches:
            if start is None:  # processes and files are open
                start = time.perf_counter()
                continue
            count += len(batch.clips)
        rates.append(count / (time.perf_counter() - (start or 0.0)))
    return statistics.median(rates)


def loops_on(shards: Path, config: RunConfig, device: torch.device, steps: int) -> float:
    """Seconds of a step of the straightforward loops, forward, backward and Adam."""
    data = load_data([shards], None, config)
    config = fit_to_data(config, data)
    network = build(config).to(device)
    model: Any = network.module
    optimiser = make_optimiser(model, config.training, device)
    size = config.training.batch_size
    batch = data.read([i % len(data.video_of_clip) for i in range(size)]).to(device)
    view = centre_view(size, ALIGNED_PX, config.model.crop_px, device)
    inputs = apply_view(batch, view, Normalisation(127.0, 50.0), config.model.crop_px)

    class Loops(torch.nn.Module):
        def forward(self, frames: torch.Tensor, pairs: object) -> Any:
            return straightforward(model, frames)

    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        model_loss(network.through(Loops()), inputs, config)["total"].backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def flops_of_a_step(config: RunConfig, device: torch.device) -> int:
    """Floating-point operations of forward and backward of a batch."""
    model: Any = build(config).to(device).module
    side = config.model.crop_px
    clips = torch.randn(1, config.model.frames, side, side, device=device)
    with FlopCounterMode(display=False) as counter:
        outputs = model(clips)
        torch.stack(
            [one.float().square().mean() for one in outputs if one is not None]
        ).sum().backward()
    return counter.get_total_flops() * config.training.batch_size


def on_cuda(shards: Path, steps: int, peak_tflops: float) -> dict[str, Any]:
    """What a whole LOSO would take on this device."""
    device = torch.device("cuda")
    result: dict[str, Any] = {"device": torch.cuda.get_device_name(), "rows": []}
    for compiled in (False, True):
        config = settings("paper", max(steps, 140), 32, precision="bf16", compile=compiled)
        row = steps_of(shards, config, device, "device")
        used = row["seconds_per_step"]
        row["compile"] = compiled
        row["model_flops_utilisation"] = (
            flops_of_a_step(config, device) / used / (peak_tflops * 1e12)
        )
        row["loso_minutes"] = LOSO_FOLDS * LOSO_STEPS * used / 60
        result["rows"].append(row)
        print(
            f"  compile={compiled}: {100 * row['model_flops_utilisation']:.1f} % of peak, "
            f"{LOSO_FOLDS} folds x {LOSO_STEPS} steps in {row['loso_minutes']:.1f} min (5 asked)"
        )
    loops = loops_on(shards, settings("paper", 1, 32), device, 3)
    best = min(row["seconds_per_step"] for row in result["rows"])
    result |= {"straightforward_seconds_per_step": loops, "ratio": loops / best}
    print(
        f"  straightforward loops: {loops:.2f} s a step, {loops / best:.0f} times ours (100 asked)"
    )
    return result


def main() -> None:
    """Run everything that this machine can."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4, help="on the CPU")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--peak-tflops", type=float, default=H200_DENSE_BF16_TFLOPS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cpu = torch.device("cpu")
    config = settings(options.preset, options.steps, options.batch)
    rows = [steps_of(options.shards, config, cpu, cache) for cache in ("device", "stream")]
    loader = loader_alone(options.shards, config, options.workers)
    ratio = loader / rows[1]["clips_per_second"]
    print(f"loader alone: {loader:.0f} clips/s, {ratio:.0f} times what the step takes (20 asked)")
    document: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "preset": options.preset,
        "cpu": rows,
        "loader_clips_per_second": loader,
        "loader_workers": options.workers,
        "loader_over_step": ratio,
        "cuda": "not measured",
    }
    if torch.cuda.is_available():
        document["cuda"] = on_cuda(options.shards, options.steps, options.peak_tflops)
    else:
        print("CUDA: not measured, there is no device here")
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
