"""How many tasks are in flight while workers come and go."""

from mol_pipeline.graph import cluster
from mol_pipeline.graph.cluster import TASKS_PER_WORKER, Crew


class ClientOf:
    """A client that counts how often it is asked for the workers."""

    def __init__(self, workers):
        self.workers = workers
        self.asked = 0

    def nthreads(self):
        self.asked += 1
        return dict.fromkeys(range(self.workers), 1)


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
