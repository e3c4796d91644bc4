"""One holder of a directory, whatever its file system can do."""

import errno
import multiprocessing
import os
import signal
import threading
import time

import pytest

from mol_pipeline.contract import holding
from mol_pipeline.contract.holding import Busy, held

BEAT = 0.05


@pytest.fixture(params=["locks", "no locks"])
def file_system(request, monkeypatch):
    if request.param == "no locks":
        monkeypatch.setattr(holding, "_lock", _no_locks)
    return request.param


def refuse(directory, words):
    with pytest.raises(Busy, match=words), held(directory, "x", beat_s=BEAT):
        pass


def _no_locks(descriptor):
    return None


def test_a_second_holder_is_told_who_the_first_is(file_system, tmp_path):
    with held(tmp_path, "x", beat_s=BEAT) as hold:
        refuse(tmp_path, f"held by process {os.getpid()} on .* since")
        hold.check()
        with held(tmp_path, "another program", beat_s=BEAT):
            pass
    with held(tmp_path, "x", beat_s=BEAT):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".another program.lock", ".x.lock"]


def _hold_for_ever(directory, ready, without_locks):
    if without_locks:
        holding._lock = _no_locks
    with held(directory, "x", beat_s=BEAT):
        ready.set()
        time.sleep(600)


def test_a_killed_holder_does_not_keep_others_out(file_system, tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(
        target=_hold_for_ever, args=(tmp_path, ready, file_system == "no locks")
    )
    other.start()
    assert ready.wait(60)
    with pytest.raises(Busy, match=f"process {other.pid} "), held(tmp_path, "x", beat_s=BEAT):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with held(tmp_path, "x", beat_s=BEAT):
        pass


def test_the_lock_of_this_machine_says_nothing_about_a_holder_on_another(tmp_path, monkeypatch):
    with held(tmp_path, "x", beat_s=BEAT):
        # As where each machine has locks of its own.
        monkeypatch.setattr(holding, "_lock", lambda descriptor: True)
        monkeypatch.setattr(holding, "_machine", lambda: "another machine")
        with pytest.raises(Busy, match="held by process"), held(tmp_path, "x", beat_s=BEAT):
            pass


def test_of_many_who_find_a_dead_holder_one_gets_in(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "_lock", _no_locks)
    (tmp_path / ".x.holder").write_text('{"pid": 1, "host": "gone", "machine": "gone"}')
    inside, most, refused = [], [], []
    start = threading.Barrier(8)

    def ask():
        start.wait()
        try:
            with held(tmp_path, "x", beat_s=BEAT) as hold:
                inside.append(1)
                most.append(len(inside))
                time.sleep(1.0)
                hold.check()
                inside.pop()
        except Busy as busy:
            refused.append(str(busy))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and len(refused) == 7


def test_a_holder_that_stood_still_learns_that_it_was_replaced(tmp_path, monkeypatch):
    with held(tmp_path, "x", beat_s=BEAT) as hold:
        (tmp_path / ".x.holder").rename(tmp_path / "aside")
        (tmp_path / ".x.holder").write_text('{"pid": 7, "host": "quick", "since": "today"}')
        with pytest.raises(Busy, match="process 7 on quick"):
            hold.check()
    assert (tmp_path / ".x.holder").exists()  # the other's


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_no_locks_are_told_from_a_lock_that_is_taken(tmp_path, monkeypatch, number, caplog):
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, flags):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with held(tmp_path, "x", beat_s=BEAT):
        assert "has no locks" in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}', "\0" * 512])
def test_a_damaged_note_is_no_obstacle_for_ever(tmp_path, content):
    (tmp_path / ".x.holder").write_text(content)
    with held(tmp_path, "x", beat_s=BEAT):
        pass
