"""A build on a Dask cluster of separate processes that speak TLS to each other."""

import os
import signal

import dask
import pytest

from mol_pipeline.cli import main
from mol_pipeline.graph import ClusterOptions, dispatch
from mol_pipeline.graph.cluster import connect
from tests.dask_over_tls import dask_over_tls, lone_scheduler, our_options, pem_files
from tests.fakes import FakeClip, write_samm_tree
from tests.in_process import invoke

CLIPS = [FakeClip(f"{s:03d}_1_1", 1, 2, 3, "Anger", shift_px=1) for s in range(6, 10)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with dask_over_tls(tmp_path_factory.mktemp("tls")) as opened:
        yield opened


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_samm_tree(tmp_path_factory.mktemp("database"), CLIPS, real_faces=True)


def run(database, out, *options):
    command = ["build", "--dataset", "samm", "--root", database, "--out", out, *options]
    command += ["--set", "sampling.frames=2", "--set", "shards.videos_per_shard=2"]
    return invoke(main, *command)


def content(directory):
    return {path.name: path.read_bytes() for path in directory.glob("[!.]*")}


def test_with_the_certificate_the_bytes_are_those_of_a_local_build(cluster, database, tmp_path):
    address, files = cluster
    result = run(database, tmp_path / "tls", "--scheduler", address, *our_options(files))
    assert result.exit_code == 0, result.output
    assert run(database, tmp_path / "local", "--workers", "1").exit_code == 0
    assert len(content(tmp_path / "local")) == 3
    assert content(tmp_path / "tls") == content(tmp_path / "local")


def test_a_build_that_is_asked_to_stop_leaves_the_scheduler_to_others(
    cluster, database, tmp_path, monkeypatch
):
    address, files = cluster
    ask = dispatch.Dispatcher._hear

    def ask_to_stop(*arguments):
        ask(*arguments)
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(dispatch.Dispatcher, "_hear", ask_to_stop)
    options = ["--scheduler", address, *our_options(files)]
    stopped = run(database, tmp_path / "out", *options)
    assert stopped.exit_code == 75
    assert "stopped on request: what is finished is kept; run again" in stopped.stderr
    monkeypatch.undo()
    assert run(database, tmp_path / "out", *options).exit_code == 0


def test_a_scheduler_without_tls_is_warned_of_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("mol_pipeline.graph.cluster.SCHEDULER_TIMEOUT", "3s")
    with lone_scheduler(tmp_path) as (_, address), connect(ClusterOptions(scheduler=address)):
        pass
    warned = [one.message for one in caplog.records if one.name == "mol_pipeline.graph.cluster"]
    assert warned == [
        f"{address}: not encrypted, and whoever reaches it runs programs as you; use tls:// "
        "(docs/cluster.md)"
    ]


def test_dask_settings_may_name_the_certificate(cluster, database, tmp_path):
    address, files = cluster
    tls = {
        "distributed.comm.tls.ca-file": str(files["ca"]),
        "distributed.comm.tls.client.cert": str(files["cert"]),
        "distributed.comm.tls.client.key": str(files["key"]),
    }
    with dask.config.set(tls):
        result = run(database, tmp_path / "out", "--scheduler", address)
    assert result.exit_code == 0, result.output


def test_nobody_is_admitted_without_a_certificate(cluster, database, tmp_path):
    address, _ = cluster
    result = run(database, tmp_path / "out", "--scheduler", address)
    assert result.exit_code == 3
    assert "admits only those with a certificate; give --tls-ca" in result.output


def test_nobody_is_admitted_in_plain_text(cluster, database, tmp_path, monkeypatch):
    address, _ = cluster
    monkeypatch.setattr("mol_pipeline.graph.cluster.SCHEDULER_TIMEOUT", "3s")
    result = run(database, tmp_path / "out", "--scheduler", address.replace("tls://", "tcp://"))
    assert result.exit_code == 3
    assert "no Dask scheduler answers there" in result.output


def test_a_certificate_of_another_authority_is_refused(cluster, database, tmp_path, monkeypatch):
    address, files = cluster
    monkeypatch.setattr("mol_pipeline.graph.cluster.SCHEDULER_TIMEOUT", "3s")
    # Trusts the scheduler, but is not trusted by it.
    theirs = {**pem_files(tmp_path), "ca": files["ca"]}
    result = run(database, tmp_path / "out", "--scheduler", address, *our_options(theirs))
    assert result.exit_code == 3
    assert "are its certificate and yours signed by --tls-ca?" in result.output


def test_tls_files_that_cannot_be_used_are_named(cluster, database, tmp_path):
    address, files = cluster
    missing = {**files, "key": tmp_path / "nothing.pem"}
    result = run(database, tmp_path / "out", "--scheduler", address, *our_options(missing))
    assert result.exit_code == 3
    assert f"{missing['key']}: cannot be used as TLS certificates" in result.output
    result = run(database, tmp_path / "out", "--scheduler", address, "--tls-ca", files["ca"])
    assert result.exit_code == 2
    assert "--tls-ca, --tls-cert and --tls-key belong together" in result.output
    plain = run(database, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9", *our_options(files))
    assert plain.exit_code == 3
    assert "are for an address that begins with tls://" in plain.output
