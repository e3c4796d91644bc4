"""Does a network learn more where the alignment leaves less of the head? One subject out each time.

    python benchmarks/alignment_learning.py --portraits DIR --work DIR [--subjects N]
                                            [--seeds 0,1,2] [--steps 200] [--out FILE.json]

A demo database of one person a photograph, heads that sway by 2 px and expressions of 0.5 to 2 px,
is built by each alignment; `tiny` is trained and tested on it by `loso`. Stop it whenever you like
and run it again: finished builds and folds are kept. The table has the mean over the seeds and its
standard deviation; a score of the network stands beside the same without looking ("no motion", the
mean shape). Numbers of a synthetic database say nothing about a real one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mol_model.scoring.scores import SCORES as ALL_SCORES
from mol_pipeline.databases.demo import write_demo

ALIGNMENTS = ("frame", "video", "registered")
PEAKS_PX = (0.5, 2.0)
SWAY_PX = 2.0
SCORES = {
    "accuracy": "accuracy",
    "UF1": "unweighted_f1",
    "AEPE, px": "average_end_point_error_px",
    "NME, %": "inter_ocular_nme_percent",
}


def run(*words: object) -> None:
    """A command of ours, with its words on the screen."""
    print("$", *words, flush=True)
    program, *rest = map(str, words)
    # The command of this environment, whatever else the path leads to.
    subprocess.run([Path(sys.executable).with_name(program), *rest], check=True)


def one_alignment(work: Path, reference: str, options: argparse.Namespace) -> dict[str, Any]:
    """Build and train with one alignment; returns the scores over the seeds."""
    shards, out = work / f"shards-{reference}", work / f"run-{reference}"
    run(
        *("molprep", "build", "--dataset", "samm", "--root", work / "database"),
        *("--out", shards, "--set", f"alignment.reference={reference}"),
    )
    start = time.perf_counter()
    run(
        *("moltrain", "fit", "--shards", shards, "--out", out, "--preset", "tiny"),
        *("--seeds", options.seeds, "--steps", options.steps),
    )
    # One seed is a run of its own; several lie in folders of theirs.
    places = sorted(out.glob("seed-*/metrics.json")) or [out / "metrics.json"]
    runs = [json.loads(place.read_text()) for place in places]
    return {
        "scores": {
            word: spread([ALL_SCORES[key].of(one) for one in runs]) for word, key in SCORES.items()
        },
        "no motion, px": [one["flow"]["zero_flow_end_point_error_px"] for one in runs],
        "mean shape, %": [one["landmarks"]["mean_shape_nme_percent"] for one in runs],
        "seconds of this call": round(time.perf_counter() - start, 1),
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation; None of one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_deviation": deviation}


def table(found: dict[str, dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [f"| alignment | {' | '.join(SCORES)} | no motion, px | mean shape, % |"]
    lines.append("|" + "---|" * (len(SCORES) + 3))
    for reference, one in found.items():
        cells = [reference]
        for word in SCORES:
            score = one["scores"][word]
            spread = score["standard_deviation"]
            cells.append(
                f"{score['mean']:.3f}" + (f" ± {spread:.3f}" if spread is not None else "")
            )
        cells += [
            f"{sum(one[key]) / len(one[key]):.3f}" for key in ("no motion, px", "mean shape, %")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """All alignments, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="kept from call to call")
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    database = options.work / "database"
    if not database.exists():
        # Under another name until it is whole.
        unfinished = options.work / "unfinished"
        if unfinished.exists():
            raise SystemExit(f"{unfinished}: left by a stopped call; remove it")
        summary = write_demo(
            unfinished,
            subjects=options.subjects,
            sway_px=SWAY_PX,
            portraits=options.portraits,
            peaks_px=PEAKS_PX,
        )
        for reason in summary.refused:
            print(f"refused: {reason}")
        unfinished.rename(database)
    found = {reference: one_alignment(options.work, reference, options) for reference in ALIGNMENTS}
    print(table(found))
    if options.out:
        subjects = json.loads((database / "SYNTHETIC.json").read_text())["subjects"]
        document = {"subjects": subjects, "seeds": options.seeds, "steps": options.steps, **found}
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
