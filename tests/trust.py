"""The long tests of what `docs/trust.md` promises: figures as tried and held.

    make trust                       (python -m tests.trust --page docs/trust.md --out FILE.json)

Each tier is pytest with an environment of its own; its tests count through `tests.tally`. Two
tiers run at a time. The figures go to the terminal, to a file, and into the page between its
marks. The exit code is 1 if anything did not hold.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures: make trust -->\n", "<!-- end of figures -->\n"


@dataclass(frozen=True)
class Tier:
    """A group of long tests."""

    name: str
    tests: tuple[str, ...]
    """Arguments of pytest."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What makes them long."""


TIERS = (
    Tier("damaged documents", ("tests/fuzz",), {"MOL_FUZZ_INPUTS": "10000"}),
    Tier(
        "kills of molprep",
        ("tests/pipeline/graph/test_faults.py", "-k", "killed"),
        {"MOL_TEST_KILLS": "20"},
    ),
    Tier(
        "kills of moltrain",
        (
            "tests/model/runs/test_run_faults.py",
            "tests/cli/test_moltrain_runs.py",
            "tests/cli/test_unwritable.py",
            *("-k", "kill or checkpoint_is_the_old or anew_may or branch or unwritable"),
        ),
        {"MOL_TEST_KILLS": "20"},
    ),
    Tier(
        "flips and edits",
        ("tests/pipeline/shards/test_integrity.py", "tests/model/clips/test_changed_shards.py"),
        {"MOL_TEST_FLIPS": "300"},
    ),
    Tier("hostile shards", ("tests/pipeline/shards/test_hostile_shards.py",)),
)
"""Longest first."""


@dataclass(frozen=True)
class Outcome:
    """What a tier came to."""

    tier: str
    passed: bool
    seconds: float
    counts: dict[str, tuple[int, int]]
    """Kind -> tried, held."""
    output: str


def run_tier(tier: Tier, folder: Path) -> Outcome:
    """Run the tests of a tier in processes of their own."""
    place = folder / f"{tier.name.replace(' ', '-')}.jsonl"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tier.tests],
        cwd=ROOT,
        env={**os.environ, **tier.environment, "MOL_TRUST_TALLY": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - started
    return Outcome(tier.name, done.returncode == 0, seconds, read_counts(place), done.stdout)


def read_counts(place: Path) -> dict[str, tuple[int, int]]:
    """Sums of what was tried and what held, by kind."""
    counts: dict[str, tuple[int, int]] = {}
    for line in place.read_text(encoding="utf-8").splitlines() if place.is_file() else []:
        one = json.loads(line)
        tried, held = counts.get(one["kind"], (0, 0))
        counts[one["kind"]] = (tried + one["tried"], held + one["held"])
    return counts


def table(outcomes: list[Outcome]) -> str:
    """The figures as Markdown."""
    lines = ["| what was tried | tried | held | tier, seconds |", "|---|---|---|---|"]
    for outcome in outcomes:
        where = f"{outcome.tier}, {outcome.seconds:.0f}{'' if outcome.passed else ', FAILED'}"
        lines += [
            f"| {kind} | {tried:,} | {held:,} | {where} |"
            for kind, (tried, held) in sorted(outcome.counts.items())
        ] or [f"| (nothing was counted) | 0 | 0 | {where} |"]
    return "\n".join(lines) + "\n"


def into_page(page: Path, figures: str) -> None:
    """Put the figures between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}{figures}{END}{tail}", encoding="utf-8")


def write_figures(outcomes: list[Outcome], page: Path | None, out: Path | None) -> None:
    """Write what is known so far into the page and the file."""
    if page:
        into_page(page, table(outcomes))
    if out:
        document = {
            outcome.tier: {
                "passed": outcome.passed,
                "seconds": round(outcome.seconds),
                "tried_held": outcome.counts,
            }
            for outcome in outcomes
        }
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Run the tiers, two at a time; print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, help="page whose figures are replaced")
    parser.add_argument("--out", type=Path, help="figures as JSON")
    parser.add_argument("--only", help="tiers with this word in their name")
    options = parser.parse_args()
    tiers = [tier for tier in TIERS if not options.only or options.only in tier.name]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for done in as_completed(pool.submit(run_tier, tier, Path(folder)) for tier in tiers):
            outcome = done.result()
            outcomes.append(outcome)
            if not outcome.passed:
                sys.stdout.write(f"\n{outcome.tier}:\n{outcome.output}\n")
            # After each: a run that is stopped has written what it found.
            write_figures(outcomes, options.page, options.out)
    sys.stdout.write(table(outcomes))
    failed = [
        outcome
        for outcome in outcomes
        if not outcome.passed or any(tried != held for tried, held in outcome.counts.values())
    ]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
