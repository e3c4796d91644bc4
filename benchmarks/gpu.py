"""Everything about CUDA in one call, on a machine with a GPU, Python and torch. 8 minutes at most.

    python benchmarks/gpu.py [--wheels DIR] [--seconds 480] [--out benchmarks/results/gpu.json]
    python benchmarks/gpu.py --needs        what to carry there, and the command that fetches it
    python benchmarks/gpu.py --device cpu   a rehearsal: the same stages, small, without a GPU

Stages, each a process with what is left of the time: the tests marked `cuda`; a bf16 step of the
network, plain and compiled, its memory and share of the peak; steps of training, and from them the
time of a whole LOSO. The JSON is written after each stage, so that one that fails costs no other.
The exit code is 1 if a test failed or a stage gave nothing, 3 if something must be carried first.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TESTS = "tests/model/test_on_device.py"
FOR_TESTS = ("beartype", "pytest", "pytest-timeout")
STAGES = ("tests", "step", "training")
LEAST_S = 20
"""A stage with less time than this is not begun."""


def needs() -> list[str]:
    """Distributions beside torch: what the package and the extra `train` ask for, and pytest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    names = [re.split(r"[<>=\[;! ]", one)[0] for one in asked]
    return sorted({*names, *FOR_TESTS} - {"torch"})


def missing() -> list[str]:
    """Those that this Python lacks."""
    found = {one.metadata["Name"].lower().replace("_", "-") for one in metadata.distributions()}
    return [name for name in needs() if name.lower().replace("_", "-") not in found]


def fetch_command() -> str:
    """What fetches the wheels, on a machine with a network, for the Python that runs here."""
    version = ".".join(platform.python_version_tuple()[:2])
    return (
        f"pip download -c constraints.txt --only-binary=:all: --python-version {version} "
        f"--platform manylinux_2_28_x86_64 -d wheels {' '.join(needs())}"
    )


def carried(wheels: Path, into: Path) -> None:
    """Install what is missing from a folder of wheels, beside this Python, which stays as it is.

    Raises:
        SystemExit: If a wheel is not there.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    command += ["--find-links", str(wheels), "--target", str(into), *missing()]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{wheels}: lacks something of: {' '.join(missing())}")


def tests(folder: Path, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """Outcome of each test."""
    report = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cuda"]
    try:
        subprocess.run(
            [*command, f"--junitxml={report}", TESTS],
            cwd=ROOT,
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {seconds:.0f} s"}
    if not report.is_file():
        return {"failed": "pytest wrote no report"}
    cases = {}
    for case in ElementTree.parse(report).iter("testcase"):
        problem = next((one for one in case if one.tag in {"failure", "error", "skipped"}), None)
        outcome = "passed" if problem is None else f"{problem.tag}: {problem.get('message')}"
        cases[case.get("name")] = {"outcome": outcome[:2000], "seconds": float(case.get("time"))}
    bad = [name for name, one in cases.items() if one["outcome"].startswith(("failure", "error"))]
    return {"cases": cases, **({"failed": f"{len(bad)} tests"} if bad or not cases else {})}


def stage(name: str, folder: Path, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """What a stage found, or why it found nothing; a process of its own."""
    place = folder / f"{name}.json"
    command = [sys.executable, __file__, "--stage", name, "--out", str(place)]
    command += ["--device", environment["MOL_TEST_DEVICE"]]
    try:
        done = subprocess.run(
            command,
            env=environment,
            timeout=seconds,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {seconds:.0f} s"}
    if done.returncode:
        return {"failed": done.stderr[-2000:]}
    found: dict[str, Any] = json.loads(place.read_text())
    return found


def measured(name: str, device: str) -> dict[str, Any]:
    """The work of a stage, in its process."""
    import torch
    from network import H200_DENSE_BF16_TFLOPS, make, step
    from network import on_cuda as steps_of_network
    from network import seconds as median_seconds
    from train import on_cuda as training_on_cuda
    from train import settings, steps_of

    from tests.model.shard_fixture import write_shards

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if name == "step":
        if device == "cuda":
            rows = steps_of_network("paper", 32, 20, H200_DENSE_BF16_TFLOPS)
            peak = torch.cuda.max_memory_allocated()
            return {"peak_tflops": H200_DENSE_BF16_TFLOPS, "rows": rows, "peak_bytes": peak}
        module, clips = make("tiny", 2, device)
        return {
            "rehearsal_s": median_seconds(lambda: step(module, lambda: module(clips)), 1, device)
        }
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder), subjects=8, frames=8, phases=4)
        if device == "cuda":
            found = training_on_cuda(shards, 140, H200_DENSE_BF16_TFLOPS)
            streamed = steps_of(
                shards, settings("paper", 60, 32, precision="bf16"), torch.device("cuda"), "stream"
            )
            return {**found, "streamed": streamed, "peak_bytes": torch.cuda.max_memory_allocated()}
        row = steps_of(shards, settings("tiny", 4, 2), torch.device(device), "device")
        return {"rehearsal": row}


def about(device: str) -> dict[str, Any]:
    """The machine."""
    import torch

    facts: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version()}
    if device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("no CUDA device here; --device cpu rehearses without one")
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "device": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    return {**facts, "rehearsal": device != "cuda"}


def run_all(device: str, seconds: float, out: Path, folder: Path) -> bool:
    """Every stage that there is time for; whether all gave something."""
    deadline = time.monotonic() + seconds
    environment = {
        **os.environ,
        "MOL_TEST_DEVICE": device,
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    document: dict[str, Any] = about(device)
    for name in STAGES:
        left = deadline - time.monotonic()
        started = time.monotonic()
        if left < LEAST_S:
            document[name] = {"failed": f"not begun: {left:.0f} s were left"}
        elif name == "tests":
            document[name] = tests(folder, left, environment)
        else:
            document[name] = stage(name, folder, left, environment)
        document[name]["stage_seconds"] = round(time.monotonic() - started, 1)
        out.write_text(json.dumps(document, indent=1) + "\n")
        print(f"{name}: {document[name].get('failed', 'done')}", flush=True)
    return not any("failed" in document[name] for name in STAGES)


def main() -> None:
    """All stages, or one, or what is needed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, help="folder of what this Python lacks")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--needs", action="store_true", help="say what to carry, and end")
    parser.add_argument("--stage", choices=STAGES[1:], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.needs:
        print(f"carry the repository, and the wheels of: {' '.join(needs())}\n{fetch_command()}")
        return
    if options.stage:
        found = measured(options.stage, options.device)
        options.out.write_text(json.dumps(found))
        return
    if missing() and options.wheels is None:
        print(f"missing here: {' '.join(missing())}", file=sys.stderr)
        print(f"carry them: {fetch_command()}, then --wheels wheels", file=sys.stderr)
        raise SystemExit(3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if missing():
            carried(options.wheels, folder)
        if not run_all(options.device, options.seconds, options.out, folder):
            raise SystemExit(1)
    print(f"written: {options.out}; commit it as benchmarks/results/gpu.json")


if __name__ == "__main__":
    main()
