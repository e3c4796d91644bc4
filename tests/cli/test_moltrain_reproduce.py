"""A table from raw frames: demo layout, the build that the table asks for, the table."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mol_model.reproduction.document import read_reproduction
from mol_pipeline.databases.demo import write_demo

BIN = Path(sys.executable).parent


def command(*words, **more):
    words = [str(BIN / words[0]), *map(str, words[1:])]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, **more)


@pytest.mark.journey
def test_the_build_that_a_table_asks_for_makes_the_shards_that_it_finds(tmp_path):
    root, shards, out = tmp_path / "CASME2", tmp_path / "shards", tmp_path / "table"
    write_demo(root, layout="casme2", subjects=2)
    need = read_reproduction("table-13").data["casme2-t2"]
    places = {"ROOT": str(root), "DIR": str(shards)}
    built = command(*(places.get(word, word) for word in shlex.split(need.command())))
    # As in the real table, one clip has no apex: it is named, the others are written.
    assert built.returncode == 6, built.stderr
    assert "EP02_01f: no-key-frames" in built.stderr

    arguments = ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--seeds", "0"]
    made = command(
        "moltrain", "reproduce", "table-13", "--shards", shards, "--out", out, *arguments
    )
    assert made.returncode == 0, made.stderr
    assert f"report: {out / 'report.html'}" in made.stdout
    assert "SYNTHETIC" in made.stdout
    assert "79.88" not in made.stdout  # the paper's, of real data
    rows = {row["run"]: row for row in json.loads((out / "table.json").read_text())["rows"]}
    assert rows["t-2"]["state"] == "done"
    assert 0 <= rows["t-2"]["scores"]["accuracy"]["ours"] <= 100
    assert {rows[run]["state"] for run in ("t-4", "mol", "t-16")} == {"shards not given"}
    assert "--set sampling.frames=16" in rows["t-16"]["note"]
    states = json.loads(command("moltrain", "status", out / "t-2/seed-0", "--json").stdout)
    assert [one["state"] for one in states] == ["done", "done"]
