"""A Dask cluster of separate processes that speak TLS, started as docs/cluster.md says."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import trustme

BEFORE_GIVING_UP = 60
"""Seconds for processes to start on a busy machine."""


def documented_recipe(directory):
    """PEM files made by the commands of docs/cluster.md."""
    text = (Path(__file__).parents[1] / "docs/cluster.md").read_text()
    commands = "mkdir -m 700 tls" + text.partition("mkdir -m 700 tls")[2].partition("cd ..")[0]
    assert commands.count("openssl") == 3
    subprocess.run(["bash", "-ec", commands], cwd=directory, check=True, capture_output=True)
    return {part: directory / f"tls/{part}.pem" for part in ("ca", "cert", "key")}


def pem_files(directory):
    """PEM files of an authority of its own and of a certificate that it signed."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {part: directory / f"{part}.pem" for part in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    issued.cert_chain_pems[0].write_to_path(files["cert"])
    issued.private_key_pem.write_to_path(files["key"])
    return files


def dask_options(files):
    return [
        *("--tls-ca-file", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"]),
        *("--host", "127.0.0.1", "--no-dashboard"),
    ]


def our_options(files):
    return ["--tls-ca", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"]]


@contextlib.contextmanager
def dask_process(*arguments):
    process = subprocess.Popen(
        [Path(sys.executable).with_name("dask"), *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextlib.contextmanager
def dask_over_tls(base):
    """Address of a scheduler with two workers, and the files that open it."""
    files = documented_recipe(base)
    noted = base / "scheduler.json"
    scheduler = ["scheduler", "--protocol", "tls", "--port", "0", "--scheduler-file", noted]
    with dask_process(*scheduler, *dask_options(files)):
        deadline = time.monotonic() + BEFORE_GIVING_UP
        while not noted.exists() or "tls://" not in noted.read_text():
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        address = noted.read_text().partition('"address": "')[2].partition('"')[0]
        worker = ["worker", address, "--nworkers", "2", "--nthreads", "1"]
        worker += ["--preload", "mol_pipeline.graph.worker_setup", "--local-directory", base]
        with dask_process(*worker, *dask_options(files)):
            yield address, files


@contextlib.contextmanager
def lone_scheduler(directory):
    """Process and address of a plain scheduler without workers: what it is given waits."""
    noted = directory / "scheduler.json"
    arguments = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", noted]
    with dask_process(
        *arguments, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"
    ) as process:
        deadline = time.monotonic() + BEFORE_GIVING_UP
        while not noted.exists() or '"address"' not in noted.read_text():
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        yield process, noted.read_text().partition('"address": "')[2].partition('"')[0]
        process.send_signal(signal.SIGCONT)  # a test may have put it to sleep
