"""Tasks in flight while workers come and go, and what is said when the scheduler goes."""

import signal
import time
from types import SimpleNamespace

import pytest
from distributed import as_completed
from distributed.comm import CommClosedError

from mol_pipeline.contract.errors import StageError
from mol_pipeline.graph import ClusterOptions, cluster
from mol_pipeline.graph.cluster import TASKS_PER_WORKER, Crew, connect
from mol_pipeline.graph.dispatch import Dispatcher
from tests.dask_over_tls import lone_scheduler


class ClientOf:
    """A client that counts how often it is asked for the workers."""

    status = "running"

    def __init__(self, workers):
        self.workers = workers
        self.asked = 0
        self.scheduler = self

    def ncores(self):
        self.asked += 1
        return dict.fromkeys(range(self.workers), 1)

    def sync(self, function, callback_timeout):
        return function()


def test_work_waits_for_jobs_that_are_not_there_yet():
    assert Crew(ClientOf(0), at_least=20).window() == 20 * TASKS_PER_WORKER


def test_workers_that_join_later_get_work(monkeypatch):
    now = 100.0
    monkeypatch.setattr(cluster.time, "monotonic", lambda: now)
    client = ClientOf(1)
    crew = Crew(client)
    assert crew.window() == TASKS_PER_WORKER
    client.workers = 30
    assert crew.window() == TASKS_PER_WORKER and client.asked == 1  # not asked for every task
    now += cluster.COUNT_WORKERS_EVERY
    assert crew.window() == 30 * TASKS_PER_WORKER
    client.workers = 0
    now += cluster.COUNT_WORKERS_EVERY
    assert crew.window() == TASKS_PER_WORKER  # never none: somebody may come


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_remote_scheduler_that_dies_or_falls_silent_is_named(tmp_path, monkeypatch, how):
    monkeypatch.setattr(cluster, "SCHEDULER_TIMEOUT", "3s")
    monkeypatch.setattr(cluster, "COUNT_WORKERS_EVERY", 0.2)
    monkeypatch.setattr(cluster, "NO_ANSWER_FOR", 3.0)
    monkeypatch.setattr(cluster, "ASK_FOR", 1.0)
    monkeypatch.setattr(cluster, "LONGEST_GOODBYE", 1.0)
    with lone_scheduler(tmp_path) as (process, address):
        started = time.monotonic()

        def lose_it():
            with connect(ClusterOptions(scheduler=address)) as crew:
                pool = as_completed([crew.client.submit(pow, 2, 5)])
                process.send_signal(how)
                for future in crew.finished(pool):
                    pool.add(crew.client.submit(pow, 3, 5, key=f"again-{future.key}"))

        with pytest.raises(StageError, match=rf"{address} is lost \(.*run again to continue"):
            lose_it()
        assert time.monotonic() - started < 20


def test_a_local_scheduler_that_is_lost_is_named():

    def lose_it():
        with connect(ClusterOptions(workers=1)) as crew:
            pool = as_completed([crew.client.submit(time.sleep, 60)])
            crew.local.sync(crew.local.scheduler.close)
            list(crew.finished(pool))

    with pytest.raises(StageError, match="the scheduler in this process is lost"):
        lose_it()


@pytest.mark.parametrize("question", ["nthreads", "run"])
def test_a_scheduler_that_dies_under_a_question_is_no_crash(question):
    closed = CommClosedError("in <TCP>: ConnectionResetError: Connection reset by peer")
    answers = {"nthreads": {"tcp://worker": 1}, "run": {}, question: closed}

    def answer(name):
        def method(*args, **options):
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return method

    client = SimpleNamespace(status="running", nthreads=answer("nthreads"), run=answer("run"))
    asker = SimpleNamespace(_next_examination=0.0, _examined=set())
    Dispatcher._examine(asker, client)
    assert asker._next_examination == 0.0  # asked again at once, when it is back
    assert not asker._examined
