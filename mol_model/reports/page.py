"""One HTML page per run that opens without a network."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from mol_model.config.run_layout import (
    CONFUSION_NAME,
    CURVES_NAME,
    PICTURE_NAMES,
    REPORT_NAME,
    finished_directories,
    seed_directory,
)
from mol_model.config.settings import RunConfig
from mol_model.pictures.example import draw_confusion, draw_curves
from mol_model.runs.seeds import spreads_of
from mol_model.scoring.predictions import load_predictions
from mol_model.scoring.remarks import remarks
from mol_model.scoring.scores import TASK_TITLES, scores_of
from mol_model.training.metric_log import read_metric_log
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.settings import dump_settings

MOST_EXAMPLES = 3
"""Folds whose pictures are shown; the others' lie in their directories."""

STYLE = """<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; color: #222 }
 .synthetic { background: #fff3cd; border: 1px solid #e0c060; padding: .6rem 1rem }
 .facts td:first-child { color: #666 }
 table { border-collapse: collapse; margin: .6rem 0 }
 td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top }
 img { max-width: 100% } pre { background: #f6f6f6; padding: .8rem; overflow: auto }
</style>"""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>MOL: {{ title }}</title>
{{ style }}
<h1>{{ title }}</h1>
{% if m.synthetic %}<p class="synthetic"><b>Synthetic data.</b> The faces are photographs moved by
a program. These numbers show that the software works; they say nothing about any real database
and must not stand beside published results.</p>{% endif %}

{% if m.shuffled_labels %}<p class="synthetic"><b>Control experiment.</b> The labels of the
training videos were shuffled. What is recognised beyond chance here comes from a leak, or from
choosing the model on the test fold.</p>{% endif %}
{% if m.selection == "test-best" %}<p class="synthetic"><b>Optimistic.</b> The model of each fold
was chosen on its test part. These numbers must not stand beside honest ones.</p>{% endif %}

{% for words in remarks %}<p class="synthetic">{{ words }}</p>
{% endfor %}
<h2>Held-out results, pooled over {{ m.folds }} folds ({{ m.videos }} videos)</h2>
{% if m.folds < m.folds_of_protocol %}<p class="synthetic">{{ m.folds }} of
{{ m.folds_of_protocol }} folds of the protocol: not its result yet.</p>{% endif %}
{% macro scores(part) %}
<table>
{% for task, title in tasks.items() if part[task] %}
<tr><th>{{ title }}<th>this model<th>95 % interval<th>{{ scores_of(task)[0].trivial.name }}
{%- if task == "recognition" %}: “{{ part.majority_class.class }}”{% endif %}
{% for score in scores_of(task) %}
<tr><td>{{ score.title }}<td>{{ score.text(score.of(part)) }}<td>{{ score.interval_of(part) }}
 <td>{{ score.text(score.of_trivial(part)) if score.trivial }}
{% endfor %}{% endfor %}
</table>
{% endmacro %}
{{ scores(m) }}
{% if m.intervals %}<p>Intervals are over people: {{ m.intervals.people }} of them, drawn with
replacement {{ m.intervals.resamples }} times; the videos of one person are alike. They say how the
score would differ with other people, not with other seeds.</p>{% endif %}
{% set parts = m.by_fold or m.by_database or {} %}
{% for name, part in parts.items() if m.by_fold or parts|length > 1 %}
<h3>{{ name }} ({{ part.videos }} videos)</h3>
{{ scores(part) }}
{% endfor %}
{% if m.published %}<h3>Published of this protocol</h3>
<table><tr><th>method<th>binary F1 over units<th>over databases
{% for method, one in m.published.items() %}
<tr><td>{{ method }}<td>{{ "%.1f %%"|format(100 * one.f1_over_units) }}
 <td>{{ "%.1f %%"|format(100 * one.f1_over_databases) }}
{% endfor %}</table>
<p>Varanka et al., arXiv 2211.11425; mean of five runs.</p>{% endif %}
{% if not m.videos %}<p>No video was tested: all of them trained the model.</p>{% endif %}

<h2>How these numbers were made</h2>
<table class="facts">
<tr><td>data<td>{{ m.databases|join(", ") }}{% if m.synthetic %} layout, synthetic{% endif %}
<tr><td>protocol<td>{{ m.protocol }}
{%- if settings %}: nobody is tested by a model that saw them{% endif %}
<tr><td>pooling<td>scores come from the pooled predictions of all folds; a video's phases are
 averaged
<tr><td>model choice<td><b>{{ m.selection_means }}</b>
<tr><td>classes<td>{{ m.classes|join(", ") }} (mapping {{ m.label_mapping }}, in this order)
{% if settings %}<tr><td>network<td>{{ network }}
<tr><td>weights before training<td>{{ m.init_from or "drawn by the seed" }}
<tr><td>seed<td>{{ m.seed }} (one seed shows no spread: <code>--seeds 0,1,2</code> does)
{% endif %}<tr><td>manifest<td><code>{{ m.manifest_hash }}</code>
{% if m.alignment %}<tr><td>alignment<td>{{ m.alignment|join(", ") }}{% endif %}
</table>

{% if pictures.confusion %}<h2>Confusion matrix</h2>
<img alt="confusion matrix" src="data:image/png;base64,{{ pictures.confusion }}">{% endif %}
{% if pictures.curves %}<h2>Training</h2>
<img alt="loss curves" src="data:image/png;base64,{{ pictures.curves }}">{% endif %}

{% if folds %}<h2>Folds</h2>{% endif %}
<table>{% if folds %}
<tr><th>fold<th>videos<th>right<th>end-point error, px<th>no motion, px<th>NME, %{% endif %}
{% for row in folds %}<tr>{% for cell in row %}<td>{{ cell }}{% endfor %}
{% endfor %}</table>

{% if examples %}<h2>Flow and landmarks of held-out subjects</h2>{% endif %}
{% for fold, images in examples %}{% for image in images %}
<p><img alt="example of fold {{ fold }}" src="data:image/png;base64,{{ image }}"></p>
{% endfor %}{% endfor %}

{% if settings %}<h2>Settings</h2><pre>{{ settings }}</pre>{% endif %}
</html>
"""


SEEDS_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>MOL: {{ title }}</title>
{{ style }}
<h1>{{ title }}</h1>
{% if m.synthetic %}<p class="synthetic"><b>Synthetic data.</b></p>{% endif %}
{% for words in remarks %}<p class="synthetic">{{ words }}</p>
{% endfor %}
{% if m.folds < m.folds_of_protocol %}<p class="synthetic">{{ m.folds }} of
{{ m.folds_of_protocol }} folds of the protocol: not its result yet.</p>{% endif %}
<p>{{ m.seeds|length }} seeds over the same folds. Model choice: <b>{{ m.selection_means }}</b></p>
<table><tr><th>score<th>mean<th>standard deviation<th>least<th>greatest
{% for part, spread in spreads.items() %}{% if part %}<tr><th>{{ part }}{% endif %}
{% for name, s in spread.items() %}
<tr><td>{{ name.replace("_", " ") }}<td>{{ num(s.mean) }}<td>{{ num(s.standard_deviation) }}
 <td>{{ num(s.least) }}<td>{{ num(s.greatest) }}
{% endfor %}{% endfor %}</table>
<ul>{% for seed, place in places.items() %}<li><a href="{{ place }}">seed {{ seed }}</a>
{% endfor %}</ul>
</html>
"""


def write_seeds_report(out: Path, metrics: dict[str, Any]) -> Path:
    """Write `report.html` over the runs of several seeds."""
    page = (
        _environment()
        .from_string(SEEDS_PAGE)
        .render(
            title=_title(metrics),
            m=metrics,
            remarks=remarks(metrics),
            spreads=spreads_of(metrics),
            places={seed: _report_of(seed) for seed in metrics["seeds"]},
        )
    )
    target = out / REPORT_NAME
    write_atomically(target, page.encode())
    return target


def _report_of(seed: int) -> str:
    """The page of one of several seeds, from the page of all."""
    return (seed_directory(Path(), seed) / REPORT_NAME).as_posix()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(autoescape=True)
    environment.globals["style"] = markupsafe.Markup(STYLE)
    environment.globals |= {"tasks": TASK_TITLES, "scores_of": scores_of}
    environment.globals["num"] = lambda value: f"{value:.3f}"
    return environment


def _title(metrics: dict[str, Any]) -> str:
    return f"MOL on {', '.join(metrics['databases'])}, {metrics['protocol']}"


def write_report(out: Path, metrics: dict[str, Any], config: RunConfig | None) -> Path:
    """Draw the pictures of a finished run and write `report.html` into it.

    Args:
        out: Directory of the run.
        metrics: Its pooled scores.
        config: Its settings; None for predictions that were made elsewhere.
    """
    directories = finished_directories(out)
    synthetic = metrics["synthetic"]
    pictures = {}
    logs = {path.name: log for path in directories if (log := read_metric_log(path))}
    if logs:
        draw_curves(logs, out / CURVES_NAME, synthetic=synthetic)
        pictures["curves"] = _base64(out / CURVES_NAME)
    if "confusion" in metrics:
        draw_confusion(
            metrics["confusion"], metrics["classes"], out / CONFUSION_NAME, synthetic=synthetic
        )
        pictures["confusion"] = _base64(out / CONFUSION_NAME)
    examples = [
        (path.name, [_base64(image) for image in _pictures(path)])
        for path in directories[:MOST_EXAMPLES]
    ]
    page = (
        _environment()
        .from_string(PAGE)
        .render(
            title=_title(metrics),
            m=metrics,
            remarks=remarks(metrics),
            pictures=pictures,
            network=config.network_words if config else "",
            folds=_fold_rows(directories),
            examples=[(fold, images) for fold, images in examples if images],
            settings=dump_settings(config) if config else "",
        )
    )
    target = out / REPORT_NAME
    write_atomically(target, page.encode())
    return target


def _fold_rows(directories: Sequence[Path]) -> list[list[str]]:
    """A line of numbers for each fold that tested somebody."""
    rows = []
    for path in directories:
        videos = load_predictions(path)
        if not videos:
            continue
        count = len(videos)
        right = sum(video.is_right for video in videos)
        nme = [value for video in videos for value in video.nme]  # over frames, as in the scores
        rows.append(
            [
                videos[0].fold,
                str(count),
                str(right),
                f"{sum(v.end_point_error for v in videos) / count:.3f}",
                f"{sum(v.zero_flow_error for v in videos) / count:.3f}",
                f"{100 * sum(nme) / len(nme):.2f}",
            ]
        )
    return rows


def _pictures(directory: Path) -> list[Path]:
    return [path for name in PICTURE_NAMES if (path := directory / name).is_file()]


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
