"""Commands that test: a checkpoint, a film, somebody else's predictor; and compare runs."""

import json
from pathlib import Path

import click

from mol_model.cli.options import DEVICE, SHARDS
from mol_model.cli.program import main
from mol_model.config.names import SELECTION_NAMES
from mol_model.reports.text import result_text
from mol_pipeline.command_line import FOLDER, settings_options


@main.command()
@click.option("--checkpoint", type=FOLDER, required=True, help="Of a fold, or of 'pretrain'.")
@SHARDS
@click.option("--out", type=FOLDER, required=True, help="Directory for the tables.")
@click.option(
    "--classes",
    metavar="MAPPING",
    help="Label mapping; default: that of the checkpoint, of imported weights release-3 or -5.",
)
@DEVICE
@click.option(
    "--seen-people",
    type=click.Choice(("refuse", "leave-out")),
    default="refuse",
    show_default=True,
    help="What to do with people whom the checkpoint was trained on.",
)
def evaluate(
    checkpoint: Path,
    shards: tuple[Path, ...],
    out: Path,
    classes: str | None,
    device: str,
    seen_people: str,
) -> None:
    """Test a checkpoint on all videos of the shards."""
    from mol_model.runs.checkpoint_test import evaluate_checkpoint
    from mol_model.runs.failures import named_failures

    with named_failures(out):
        metrics = evaluate_checkpoint(
            checkpoint,
            shards,
            out,
            classes=classes,
            device=device,
            leave_out_seen=seen_people == "leave-out",
        )
    click.echo(result_text(metrics))
    click.echo(f"tables: {out}")


@main.command()
@click.argument("videos", nargs=-1, required=True, type=FOLDER, metavar="VIDEO...")
@click.option("--checkpoint", type=FOLDER, required=True, help="With or without its ending.")
@click.option("--out", type=FOLDER, required=True, help="Directory of the results.")
@click.option(
    "--window",
    type=click.IntRange(min=2),
    metavar="FRAMES",
    help="Give every part of so many frames a class of its own; default: one for the whole video.",
)
@DEVICE
@settings_options(" of 'molprep build'", "detection.no_face=interpolate")
@click.option("--landmark-model", type=FOLDER, help="Dlib's 68-point model, if not the packaged.")
@click.option("--no-film", is_flag=True, help="Leave the annotated film out.")
def predict(
    videos: tuple[Path, ...],
    checkpoint: Path,
    out: Path,
    window: int | None,
    device: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    landmark_model: Path | None,
    no_film: bool,
) -> None:
    """Class, flow and landmarks of films or folders of frames, by a trained checkpoint.

    Faces are found and aligned as 'molprep build' does it. OUT gets one page, index.html, and
    a folder a video with prediction.json, the annotated film and figures. A video without a
    usable face is named, the others go on, and the exit code is 6.
    """
    from mol_model.inference.requirements import require_preparation

    require_preparation()
    from mol_model.inference.page import verdict, write_page
    from mol_model.inference.predict import (
        PredictOptions,
        VideoResult,
        load_preparation,
        predict_videos,
    )
    from mol_model.runs.failures import named_failures
    from mol_model.runs.run import choose_device
    from mol_pipeline.contract.errors import StageError

    def tell(result: VideoResult) -> None:
        if result.rejected is None:
            click.echo(f"{result.name}: {verdict(result)}")
        else:
            click.echo(f"rejected: {result.name}: {result.rejected}", err=True)
        for note in result.document.get("notes", ()):
            click.echo(f"{result.name}: {note}", err=True)

    options = PredictOptions(
        out=out,
        window=window,
        config=load_preparation(checkpoint, config_file, overrides),
        landmark_model=landmark_model,
        film=not no_film,
    )
    with named_failures(out):
        results, identity = predict_videos(
            videos, checkpoint, options, choose_device(device), on_result=tell
        )
    for sentence in identity.limits():
        click.echo(sentence, err=True)
    click.echo(f"page: {write_page(results, identity, out)}")
    failed = [result for result in results if result.rejected is not None]
    if failed:
        raise StageError(f"{len(failed)} of {len(results)} videos gave no answer; reasons above")


@main.command()
@SHARDS
@click.option("--flow-predictor", metavar="MODULE:CALLABLE|raft", help="Frames to flow.")
@click.option("--landmark-predictor", metavar="MODULE:CALLABLE", help="Frames to landmarks.")
@click.option("--weights", type=FOLDER, help="Weights for raft; nothing is downloaded.")
@click.option("--classes", metavar="MAPPING", help="Label mapping; default: the first.")
def peers(
    shards: tuple[Path, ...],
    flow_predictor: str | None,
    landmark_predictor: str | None,
    weights: Path | None,
    classes: str | None,
) -> None:
    """Score flow or landmarks of somebody else's predictor on shards, as ours are scored.

    The predictor is a function of yours; mol_model.scoring.peers says what it gets and gives. One
    JSON object goes to stdout.
    """
    from mol_model.config.settings import ProtocolConfig, RunConfig
    from mol_model.protocols.folds import make_folds
    from mol_model.runs.run import load_data
    from mol_model.scoring.peers import (
        NotInstalled,
        evaluate_peer,
        load_flow_predictor,
        load_predictor,
    )
    from mol_pipeline.contract.errors import ConfigError

    if flow_predictor is None and landmark_predictor is None:
        raise click.UsageError("name a --flow-predictor, a --landmark-predictor, or both")
    flow = load_flow_predictor(flow_predictor, weights) if flow_predictor else None
    if isinstance(flow, NotInstalled):
        raise ConfigError(f"--flow-predictor {flow.name}: {flow.how}")
    points = load_predictor(landmark_predictor) if landmark_predictor else None
    data = load_data(shards, classes, RunConfig())
    folds = make_folds(data.samples, data.classes, ProtocolConfig())
    metrics = evaluate_peer(data, folds, flow=flow, landmarks=points)
    result: dict[str, object] = {"synthetic": data.synthetic, "videos": metrics["videos"]}
    result |= {"manifest_hash": data.manifest_hash}
    result |= {"flow": metrics["flow"]} if flow else {}
    result |= {"landmarks": metrics["landmarks"]} if points else {}
    click.echo(json.dumps(result, indent=1))


@main.command()
@click.option(
    "--predictions",
    type=FOLDER,
    required=True,
    help="CSV: subject, clip, (database), predicted or p_CLASS of each class.",
)
@SHARDS
@click.option("--out", type=FOLDER, required=True, help="Directory for scores and report.")
@click.option("--classes", metavar="MAPPING", help="Label mapping, e.g. 3 or 5.")
@click.option(
    "--selection", type=click.Choice(SELECTION_NAMES), help="How the model was chosen, if known."
)
@click.option("--partial", is_flag=True, help="Score although videos have no prediction.")
def score(
    predictions: Path,
    shards: tuple[Path, ...],
    out: Path,
    classes: str | None,
    selection: str | None,
    partial: bool,
) -> None:
    """Score anybody's predictions as a run is scored: pooled, with intervals, and a report.

    Every video of the shards under the mapping must be predicted once. OUT can be compared with
    runs by 'moltrain compare'.
    """
    from mol_model.reports.page import write_report
    from mol_model.runs.foreign_score import score_predictions

    metrics = score_predictions(
        predictions, shards, out, classes=classes, selection=selection, partial=partial
    )
    click.echo(result_text(metrics))
    click.echo(f"report: {write_report(out, metrics, None)}")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN RUN ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def compare(runs: tuple[Path, ...], as_json: bool) -> None:
    """Put runs beside each other: scores, settings that differ, videos that changed."""
    from mol_model.reports.comparison import compare_runs

    if len(runs) < 2:
        raise click.UsageError("name two runs or more")
    comparison = compare_runs(runs)
    click.echo(json.dumps(comparison.document(), indent=1) if as_json else comparison.text())
