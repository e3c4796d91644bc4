"""Is a worker what the builder is? Results must not depend on who computes.

Workers are started by other people, on other machines, perhaps weeks ago: they may have
another version of a library, another state of this program, another landmark model under the
same path, or not see the same disks. Each task carries the identity of the process that asked
for the build, and the worker compares it with its own before it begins; so a worker that joins
late is asked too. Versions can be equal while numbers are not (another processor, another build
of a library): so each worker also computes a small picture through the kernels, and the builder
compares what came out.
"""

import functools
import hashlib
import importlib
import platform
import threading
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

import mol_pipeline
from mol_pipeline.config import FlowConfig
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.manifest import Record
from mol_pipeline.kernels.alignment import FrameView, warp_to_aligned
from mol_pipeline.kernels.flow import TVL1
from mol_pipeline.kernels.geometry import similarity
from mol_pipeline.kernels.landmarks import find_landmark_model, landmark_model_sha256
from mol_pipeline.kernels.light import match_light
from mol_pipeline.kernels.registration import FaceReference

DISTRIBUTIONS = (
    ("mol-micro-expression",),
    ("numpy",),
    ("opencv-contrib-python", "opencv-contrib-python-headless"),
    ("dlib-bin", "dlib"),
    ("h5py",),
    ("hdf5plugin",),
    ("av",),
    ("face_recognition_models",),
)
"""What touches the numbers; of several names for one module, those that are installed."""

TOUCHES_NO_NUMBER = ("cli.py", "preview.py", "doctor.py", "progress.py", "export.py")
"""Our own files without a part in what is stored."""


class UnfitWorker(Exception):  # it is mapped to a ConfigError of the build
    """A worker that would compute something else, or cannot compute at all."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(worker, reason)
        self.worker = worker
        self.reason = reason

    def __str__(self) -> str:
        return f"worker {self.worker} {self.reason}"


class Identity(Record):
    """What must be equal in every process of a build."""

    python: str
    """Major and minor version: pickles and float formatting may differ between them."""
    versions: dict[str, str]
    """See `versions`."""
    code: str
    """SHA-256 over every source file of the package."""

    def differences(self, other: "Identity") -> list[str]:
        """What differs, in words: `numpy 2.1.0 instead of 2.4.6`."""
        mine = {"Python": self.python, **self.versions}
        theirs = {"Python": other.python, **other.versions}
        found = [
            f"{name} {theirs.get(name, 'not installed')} instead of {mine.get(name, 'none')}"
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        ]
        if not found and self.code != other.code:
            found.append("another state of the source files of mol_pipeline")
        return found


def versions() -> dict[str, str]:
    """Versions of what touches the numbers, our own source by its hash.

    A module that no package manager put there (Dlib built from source) says its version itself.
    """
    found = {}
    for names in DISTRIBUTIONS:
        for name in names:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    if not {"dlib", "dlib-bin"} & found.keys():
        found["dlib"] = f"{_own_version('dlib')} (not from a package)"
    if not any(name.startswith("opencv") for name in found):
        found["opencv"] = f"{cv2.__version__} (not from a package)"
    found["mol_pipeline source"] = _hash_of_code(everything=False)[:16]
    return found


def _own_version(module: str) -> str:
    return str(getattr(importlib.import_module(module), "__version__", "unknown"))


@functools.cache
def _hash_of_code(*, everything: bool) -> str:
    """SHA-256 over names and contents of the package's source files."""
    root = Path(mol_pipeline.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not everything and (
            name in TOUCHES_NO_NUMBER or name.startswith(("graph/", "databases/demo/"))
        ):
            continue
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


THIS_PROCESS = Identity(
    python=".".join(platform.python_version_tuple()[:2]),
    versions=versions(),
    code=_hash_of_code(everything=True),
)
"""Read when the program is loaded: a worker that runs for weeks may outlive its files."""


def model_here(path: Path, sha256: str) -> Path:
    """The landmark model on this machine: by its hash, wherever it lies.

    Raises:
        SourceError: If neither the named file nor the installed one is that model.
    """
    for candidate in (path, None):
        try:
            found = find_landmark_model(candidate)
        except SourceError:
            continue
        if landmark_model_sha256(found) == sha256:
            return found
    raise SourceError(f"has no landmark model with SHA-256 {sha256[:12]}... ({path} is another)")


_computing = threading.Lock()


def numbers() -> str:
    """Hash of what this process computes of a small picture: processor and builds included.

    Computed once, before the first task of a process: OpenCV makes tables when they are first
    used, and two threads could meet there.
    """
    with _computing:
        return _numbers()


@functools.cache
def _numbers() -> str:
    """The same, computed.

    Through everything whose result OpenCV and NumPy let the processor decide: decoding, resizing,
    warping, registration, TV-L1.
    """
    y, x = np.mgrid[0:96, 0:96]  # whole numbers: NumPy's sine depends on the processor too
    picture = abs((3 * x + 2 * y) % 64 - 32) * 4 + abs((2 * x - 5 * y) % 48 - 24) * 4
    encoded = cv2.imencode(".jpg", picture.astype(np.uint8))[1]
    first = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    small = cv2.resize(first, (61, 61), interpolation=cv2.INTER_AREA)
    turns = [
        similarity(angle=angle, scale=scale, centre=np.full(2, 47.5), target=np.full(2, 71.5))
        for angle, scale in ((0.0, 1.5), (0.02, 1.52), (0.3, 0.7))
    ]
    faces = [warp_to_aligned(first, turn) for turn in turns]
    flow = TVL1(FlowConfig())(faces[0], match_light(faces[0], faces[1]))
    reference = FaceReference(faces[0], _points_of_no_face())
    placed = reference.register(FrameView(first, turns[0]), turns[1]).transform
    digest = hashlib.sha256()
    for array in (first, small, *faces, flow, placed):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _points_of_no_face() -> np.ndarray:
    """68 points `[68, 2]` that lie about as those of an aligned face do, in whole numbers."""
    jaw = [(16 + 7 * i, 132 - (i - 8) ** 2) for i in range(17)]
    brows = [(30 + 9 * i, 42) for i in range(10)]
    nose = [(72, 52 + 6 * i) for i in range(5)] + [(64 + 4 * i, 80) for i in range(4)]
    eyes = [(x + 4 * (i % 3), 54 + 4 * (i // 3)) for x in (42, 94) for i in range(6)]
    mouth = [(56 + 3 * (i % 10), 100 + 6 * (i // 10)) for i in range(20)]
    return np.array([*jaw, *brows, *nose, *eyes, *mouth], dtype=np.float64)
