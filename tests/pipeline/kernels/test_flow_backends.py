"""Both solvers of TV-L1 give the same bytes; where they cannot, OpenCV does the work.

`MOL_TEST_FLOW_PAIRS=all` compares every pair of `tests.flow_pairs` (some 500) with OpenCV's
optimised code on and off: five minutes.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mol_pipeline.config import BuildConfig, FlowConfig, SamplingConfig, ShardConfig
from mol_pipeline.contract.errors import ConfigError, StoppedOnRequest
from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.graph import ClusterOptions, build
from mol_pipeline.kernels import flow as flow_module
from mol_pipeline.kernels import flow_compiled, flow_sweeps
from mol_pipeline.kernels.flow import BACKEND_VARIABLE, NUMBA, OPENCV, TVL1, Backend, backend
from tests.fakes import FakeClip, write_samm_tree
from tests.flow_pairs import FACES, KINDS, SIZES, demo_pairs, drawn_pair, real_pairs
from tests.tally import tally

ALL = os.environ.get("MOL_TEST_FLOW_PAIRS") == "all"


@pytest.fixture(params=[True, False], ids=["optimised", "plain"])
def optimised(request):
    """OpenCV with and without its code for this processor."""
    before = cv2.useOptimized()
    cv2.setUseOptimized(request.param)
    yield request.param
    cv2.setUseOptimized(before)


@pytest.fixture
def afresh():
    """The proof of the compiled solver is made anew, now and afterwards."""
    flow_module._proved.cache_clear()
    yield
    flow_module._proved.cache_clear()


def solvers(config=None):
    """The compiled solver and OpenCV's, both behind the interface."""
    config = config or FlowConfig()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BACKEND_VARIABLE, NUMBA)
        compiled = TVL1(config)
        patch.setenv(BACKEND_VARIABLE, OPENCV)
        reference = TVL1(config)
    assert (compiled.backend.name, reference.backend.name) == (NUMBA, OPENCV)
    return compiled, reference


def assert_same_bytes(pair, compiled, reference, what=""):
    found, expected = compiled(*pair), reference(*pair)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes(), (what, np.abs(found - expected).max())


def every_pair():
    """Each pair with a name."""
    for kind, size in itertools.product(KINDS, SIZES):
        for seed in range(4):
            yield f"{kind} {size} {seed}", drawn_pair(kind, *size, seed)
    for number, pair in enumerate(demo_pairs(subjects=4, frames=16)):
        yield f"demo {number}", pair
    if FACES.is_dir():
        for number, pair in enumerate(real_pairs(films=9, every=2, portraits=27)):
            yield f"real {number}", pair


@pytest.mark.skipif(not ALL, reason="five minutes: MOL_TEST_FLOW_PAIRS=all")
def test_every_pair_gives_the_bytes_of_opencv(optimised):
    compiled, reference = solvers()
    with tally("pairs of pictures that both solvers of flow solved") as tried:
        for name, pair in every_pair():
            with tried():
                assert_same_bytes(pair, compiled, reference, name)
    assert tried.held >= (300 if FACES.is_dir() else 200)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_each_kind_give_the_bytes_of_opencv(kind, optimised):
    compiled, reference = solvers()
    for size in ((33, 47), (24, 90)):
        assert_same_bytes(drawn_pair(kind, *size, 0), compiled, reference, size)


def test_faces_give_the_bytes_of_opencv():
    compiled, reference = solvers()
    for pair in demo_pairs(subjects=1, frames=2):
        assert_same_bytes(pair, compiled, reference)


CONFIGS = st.builds(
    FlowConfig,
    tau=st.floats(0.01, 1.0),
    attachment=st.floats(0.001, 20.0),
    tightness=st.floats(0.01, 3.0),
    scales=st.integers(1, 8),
    warps=st.integers(1, 3),
    epsilon=st.floats(1e-4, 0.5),
    inner_iterations=st.integers(1, 12),
    outer_iterations=st.integers(1, 3),
    scale_step=st.floats(0.3, 0.95),
    median_filtering=st.sampled_from([0, 1, 3, 5]),
)


@settings(
    max_examples=400 if ALL else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    config=CONFIGS,
    height=st.integers(3, 70),
    width=st.integers(3, 70),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
def test_any_settings_and_sizes_give_the_bytes_of_opencv(config, height, width, kind, seed):
    pair = drawn_pair(kind, height, width, seed)
    smallest = min(round(side * config.scale_step) for side in pair[0].shape)
    if smallest < 1:
        return  # refused by OpenCV
    reference = flow_module._OpenCVSolver(config)
    assert_same_bytes(pair, flow_compiled.CompiledSolver(config), reference)


def test_a_solver_forgets_the_pair_and_the_size_before():
    """OpenCV's own keeps the number of scales of the smallest pair that it saw."""
    small, large = drawn_pair("texture", 20, 24, 0), drawn_pair("texture", 60, 64, 1)
    for solver in solvers(FlowConfig(warps=2)):
        first = solver(*large)
        solver(*small)
        assert solver(*large).tobytes() == first.tobytes()


@given(
    values=st.lists(st.floats(0, 1e6, width=32), min_size=12, max_size=12),
    ulps=st.integers(-2, 2),
)
def test_the_stopping_rule_is_that_of_the_serial_sum(values, ulps):
    change = np.zeros((4, 32), np.float32)
    change[1:, 1:5] = np.reshape(np.float32(values), (3, 4))
    change[0] = change[1:].sum(axis=0)
    serial = np.float32(0)
    for value in change[1:, 1:5].ravel():
        serial += value
    limit = np.float32(serial)
    for _ in range(abs(ulps)):
        limit = np.nextafter(limit, np.float32(np.copysign(np.inf, ulps)))
    assert flow_sweeps._is_above(change, 4, limit) == (serial > limit)


def test_threads_give_the_bytes_of_one_thread():
    solver, _ = solvers(FlowConfig(warps=2))
    pairs = [drawn_pair("texture", 40 + 9 * (n % 3), 50, n) for n in range(12)]
    alone = [solver(*pair).tobytes() for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda pair: solver(*pair).tobytes(), pairs)) == alone


@pytest.mark.parametrize("kind", ["overflow", "a strided view", "a row"])
def test_what_the_compiled_solver_does_not_cover_is_left_to_opencv(kind):
    config = FlowConfig(attachment=1e30) if kind == "overflow" else FlowConfig(warps=1)
    pair = drawn_pair("noise", 20, 30, 0)
    if kind == "a strided view":
        pair = tuple(picture[::2, ::2] for picture in pair)
    compiled, reference = solvers(config)
    if kind == "a row":
        pair = tuple(picture[:2] for picture in pair)
        for picture in pair:
            assert not flow_module._is_regular(picture, picture)
    assert_same_bytes(pair, compiled, reference)


def test_a_backend_that_is_not_equal_is_not_used_and_that_is_said_once(afresh, monkeypatch, caplog):
    right = flow_compiled.CompiledSolver.__call__

    def wrong(self, first, second):
        flow = right(self, first, second)
        flow[0, 3, 3] = np.nextafter(flow[0, 3, 3], np.float32(9))
        return flow

    monkeypatch.setattr(flow_compiled.CompiledSolver, "__call__", wrong)
    pair = drawn_pair("texture", 30, 30, 0)
    config = FlowConfig(warps=1)
    for _ in range(2):
        solver = TVL1(config)
        assert solver.backend.name == OPENCV
        assert "differs from OpenCV" in solver.backend.reason
        expected = flow_module._OpenCVSolver(config)(*pair)
        assert solver(*pair).tobytes() == expected.tobytes()
    assert caplog.text.count("differs from OpenCV") == 1
    monkeypatch.setenv(BACKEND_VARIABLE, NUMBA)
    with pytest.raises(ConfigError, match="differs from OpenCV"):
        TVL1(config)


def test_a_compiler_that_fails_leaves_the_work_to_opencv(afresh, monkeypatch, caplog):
    def full(self, first, second):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flow_compiled.CompiledSolver, "__call__", full)
    found = backend()
    assert found.name == OPENCV and "No space left on device" in found.reason
    assert "NUMBA_CACHE_DIR" in caplog.text


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_stop_while_loops_are_compiled_is_no_fault_of_the_compiler(
    afresh, monkeypatch, caplog, wrapped
):
    def stopped(self, first, second):
        try:
            raise StoppedOnRequest("stopped on request")
        except StoppedOnRequest as error:
            if not wrapped:
                raise
            raise RuntimeError("failed in the pipeline") from error  # as numba tells of errors

    monkeypatch.setattr(flow_compiled.CompiledSolver, "__call__", stopped)
    with pytest.raises(StoppedOnRequest):
        backend()
    assert not caplog.text


def test_a_name_that_no_backend_has_is_refused(monkeypatch):
    monkeypatch.setenv(BACKEND_VARIABLE, "cuda")
    with pytest.raises(ConfigError, match=r"MOL_FLOW_BACKEND=cuda.*opencv or numba"):
        TVL1()


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


def test_without_numba_opencv_does_the_work_and_doctor_says_so(tmp_path):
    code = """
import sys
sys.modules["numba"] = None
from mol_pipeline.kernels.flow import TVL1
import numpy as np
solver = TVL1()
assert solver.backend.name == "opencv", solver.backend
assert solver(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)).shape == (2, 20, 20)
from mol_pipeline.doctor import _flow_backend
print(_flow_backend())
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert "pip install 'mol-micro-expression[fast]'" in done.stdout
    assert not done.stderr  # nothing is wrong


def test_where_no_cache_can_be_written_a_private_folder_takes_it(tmp_path):
    """An installation and a home that are read-only."""
    code = """
from numba.core import caching
for locator in (caching.InTreeCacheLocator, caching.UserWideCacheLocator):
    locator.from_function = classmethod(lambda *arguments: None)
from mol_pipeline.kernels.flow import backend
print(backend().name)
"""
    done = run_python(code, TMPDIR=str(tmp_path), NUMBA_CACHE_DIR="")
    assert (done.returncode, done.stdout) == (0, "numba\n"), done.stderr
    (folder,) = tmp_path.glob("molprep-numba-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.rglob("*.nbc"))) >= 8


def test_shards_of_both_backends_are_equal_and_the_manifest_notes_which_ran(tmp_path, monkeypatch):
    clips = [
        FakeClip("006_1_1", 1, 2, 3, "Anger", shift_px=2),
        FakeClip("007_1_1", 1, 2, 3, "Fear"),
    ]
    index = Samm().index(write_samm_tree(tmp_path / "root", clips, real_faces=True))
    config = BuildConfig(
        sampling=SamplingConfig(frames=3, phases="centre"),
        flow=FlowConfig(warps=2),
        shards=ShardConfig(videos_per_shard=1),
    )
    manifests = {}
    for name in (NUMBA, OPENCV):
        monkeypatch.setenv(BACKEND_VARIABLE, name)
        out = tmp_path / name
        build(index, config, out, cluster=ClusterOptions(workers=1))
        manifests[name] = read_manifest(out)
        assert manifests[name].provenance.flow_backends == (name,)
    ours, theirs = (manifests[name].model_dump(mode="json") for name in (NUMBA, OPENCV))
    del ours["provenance"]["flow_backends"], theirs["provenance"]["flow_backends"]
    assert json.dumps(ours) == json.dumps(theirs)
    for shard in manifests[NUMBA].shards:
        one, other = (tmp_path / name / shard.file for name in (NUMBA, OPENCV))
        assert one.read_bytes() == other.read_bytes()
    # One shard made anew by the other backend: both are noted, and no byte is another.
    mixed = tmp_path / "mixed"
    shutil.copytree(tmp_path / NUMBA, mixed)
    (mixed / manifests[NUMBA].shards[1].file).unlink()
    again = build(index, config, mixed, cluster=ClusterOptions(workers=1))
    assert (again.shards_written, again.shards_kept) == (1, 1)
    assert again.manifest.provenance.flow_backends == (NUMBA, OPENCV)
    assert again.manifest.shards == manifests[NUMBA].shards


def test_a_backend_is_named_by_one_word():
    assert backend() == Backend(NUMBA)
