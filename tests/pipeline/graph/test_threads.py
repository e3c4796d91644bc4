"""Several threads of one process: what a Dask worker with `--nthreads 4` does at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mol_pipeline.config import BuildConfig, DetectionConfig, FlowConfig, SamplingConfig
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.kernels.threads import PerThread
from mol_pipeline.shards.files import write_shard
from mol_pipeline.stages import alignment as video_alignment
from mol_pipeline.stages.video import load_kernels, prepare_video
from tests.fakes import FakeClip, write_samm_tree
from tests.pipeline.shards.test_shards import prepared

THREADS = 4


def at_once(work, items):
    """Results of `work`, in order, by threads that begin together."""
    gate = threading.Barrier(THREADS)

    def begin():
        gate.wait()

    with ThreadPoolExecutor(THREADS, initializer=begin) as pool:
        return list(pool.map(work, items))


def test_threads_prepare_the_videos_of_one_thread(tmp_path):
    """Every step: reading, detection in each frame, landmarks, alignment, flow."""
    clips = [
        FakeClip(f"{6 + n:03d}_1_1", onset=1, apex=2, offset=3, shift_px=2 * n + 1)
        for n in range(THREADS)
    ]
    write_samm_tree(tmp_path, clips, real_faces=True)
    videos = Samm().index(tmp_path).videos
    config = BuildConfig(
        sampling=SamplingConfig(frames=3, phases="centre"),
        detection=DetectionConfig(detect_every=1),
        flow=FlowConfig(warps=2, outer_iterations=3),  # quicker; the scratch memory is the same
    )

    def prepare(video):
        return prepare_video(video, tmp_path, config).arrays

    alone = [prepare(video) for video in videos] * 2
    together = at_once(prepare, videos * 2)
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_the_models_are_loaded_once_whoever_asks_first():
    video_alignment._load_kernels.cache_clear()
    video_alignment._load_predictor.cache_clear()
    asked = [FlowConfig(), FlowConfig(warps=3)] * 2
    found = at_once(lambda flow: load_kernels(flow, None), asked)
    assert len({id(kernels) for kernels in found}) == 2
    assert len({id(kernels.predictor) for kernels in found}) == 1
    assert cv2.getNumThreads() == 1


def test_an_object_of_a_thread_is_its_own_and_goes_with_it():
    class Scratch:
        made = 0

        def __init__(self):
            Scratch.made += 1

    own = PerThread(Scratch)
    gate = threading.Barrier(THREADS)

    def ask(_):
        gate.wait()  # so that each thread takes one
        return own.get() is own.get(), id(own.get())

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(ask, range(THREADS)))
    assert all(kept for kept, _ in found)
    assert len({name for _, name in found}) == Scratch.made == THREADS


@pytest.mark.parametrize("compression", ["blosc2-zstd", "blosc2-lz4", "gzip", "none"])
def test_threads_write_the_shards_of_one_thread(tmp_path, compression):
    videos = [prepared(seed, clips=3) for seed in range(3)]

    def write(number):
        path = tmp_path / f"shard-{number:05d}.h5"
        content = [videos[number % 3]]
        return write_shard(path, content, compression=compression, config_hash="0" * 64).sha256

    alone = [write(number) for number in range(3)]
    assert at_once(write, range(9)) == alone * 3
