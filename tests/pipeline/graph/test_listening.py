"""Who can reach the processes of a build: nobody from outside, and here only who holds its key."""

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from mol_pipeline.graph import ClusterOptions
from mol_pipeline.graph import local as local_module
from mol_pipeline.graph.cluster import connect
from mol_pipeline.graph.local import private_scratch

ATTACK = """
import asyncio, json, os, sys
from distributed import Security
from distributed.core import connect
from distributed.protocol.pickle import dumps

async def take(address, operation, security):
    '''Number of the process in which a function of ours ran, or what kept it from running.'''
    try:
        comm = await asyncio.wait_for(
            connect(address, timeout=5, **security.get_connection_args("client")), 8
        )
        await comm.write({"op": operation, "function": dumps(os.getpid), "args": dumps(())})
        return (await asyncio.wait_for(comm.read(), 5))["result"]
    except Exception as error:
        return type(error).__name__

async def main(user, targets):
    ours = Security.temporary()
    if user:
        os.setgroups([]), os.setgid(user), os.setuid(user)
    found = []
    for address, operation in targets:
        plain = address.replace("tls://", "tcp://")
        found.append(await take(plain, operation, Security()))
        found.append(await take(address, operation, ours))
    print(json.dumps([os.getuid(), found]))

asyncio.run(main(*json.loads(sys.argv[1])))
"""
NOBODY = 65534


def attack(scheduler):
    """What a stranger reaches of a cluster; as root, he is another user of the machine."""
    targets = [(scheduler.address, "run_function")]
    for address, worker in scheduler.workers.items():
        targets += [(address, "run"), (worker.nanny, "run")]
    stranger = NOBODY if os.getuid() == 0 else 0
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, json.dumps([stranger, targets])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    user, found = json.loads(done.stdout)
    assert user == (stranger or os.getuid())
    return found


def processes():
    """This process and all below it."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def listening():
    """Addresses at which this process and those below it wait to be called."""
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    }


def test_nobody_is_admitted_to_a_local_build():
    before = listening()
    with connect(ClusterOptions(workers=1)) as crew:
        opened = listening() - before
        scheduler = crew.local.scheduler
        found = attack(scheduler)
        worked = crew.client.submit(os.getppid).result()  # whose key is right
    # Scheduler, dashboard, nanny, worker and its web server.
    assert len(opened) == 5
    assert {address for address, _ in opened} == {"127.0.0.1"}
    assert scheduler.address.startswith("tls://127.0.0.1:")
    assert found and all(isinstance(what, str) for what in found), found
    assert worked == os.getpid()


def test_the_same_attack_takes_a_plain_cluster():
    """Otherwise the test above could not fail."""
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=":0",
            silence_logs=50,
        ) as cluster,
        Client(cluster),
    ):
        everywhere = {address for address, _ in listening()}
        found = attack(cluster.scheduler)
        reached = [pid for pid in found if isinstance(pid, int)]
        ours = {process.pid for process in processes()}
    assert {"0.0.0.0"} <= everywhere
    assert len(reached) == 3 and set(reached) <= ours  # scheduler, worker, nanny


def test_the_web_server_of_a_worker_shows_nothing():
    with connect(ClusterOptions(workers=1)) as crew:
        (worker,) = crew.local.scheduler.workers.values()
        port = worker.services["dashboard"]
        said = b""
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /info/main/workers.html HTTP/1.0\r\n\r\n")
            while part := connection.recv(4096):
                said += part
    assert said.startswith(b"HTTP/1.1 404")


@pytest.fixture
def shared_temporary(tmp_path, monkeypatch):
    """A folder for temporary files in which everybody may write."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_workers_put_on_disk_is_for_nobody_else(shared_temporary):
    with connect(ClusterOptions(workers=1)) as crew:
        (worker,) = crew.local.scheduler.workers.values()
        assert Path(worker.local_directory).is_relative_to(private_scratch())
        # Dask looks there for modules: in the folder of another user it would find his.
        assert str(shared_temporary / "dask-scratch-space") not in sys.path
    (made,) = shared_temporary.glob("molprep-*")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert not (shared_temporary / "dask-scratch-space").exists()


@pytest.mark.parametrize("kind", ["open to all", "a link", "of another user"])
def test_a_folder_that_somebody_else_prepared_is_not_taken(shared_temporary, monkeypatch, kind):
    name = shared_temporary / f"molprep-{os.getuid()}"
    if kind == "a link":
        (shared_temporary / "elsewhere").mkdir(mode=0o700)
        name.symlink_to(shared_temporary / "elsewhere")
    else:
        name.mkdir(mode=0o700)
    if kind == "open to all":
        name.chmod(0o777)
    if kind == "of another user":
        monkeypatch.setattr(local_module.os, "getuid", lambda: NOBODY)
        name.rename(shared_temporary / f"molprep-{NOBODY}")
    taken = private_scratch()
    assert taken.parent == shared_temporary
    assert taken.name not in {f"molprep-{os.getuid()}", f"molprep-{NOBODY}"}
    assert stat.S_IMODE(taken.stat().st_mode) == 0o700
