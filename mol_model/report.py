"""One HTML page per run that opens without a network."""

import base64
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from mol_model.config import RunConfig
from mol_model.evaluation import prediction_from_json
from mol_model.pictures import draw_confusion, draw_curves
from mol_model.training import read_metric_log
from mol_pipeline.contract.settings import dump_settings

MOST_EXAMPLES = 3
"""Folds whose pictures are shown; the others' lie in their directories."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>MOL: {{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; color: #222 }
 .synthetic { background: #fff3cd; border: 1px solid #e0c060; padding: .6rem 1rem }
 .facts td:first-child { color: #666 }
 table { border-collapse: collapse; margin: .6rem 0 }
 td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top }
 img { max-width: 100% } pre { background: #f6f6f6; padding: .8rem; overflow: auto }
</style>
<h1>{{ title }}</h1>
{% if m.synthetic %}<p class="synthetic"><b>Synthetic data.</b> The faces are photographs moved by
a program. These numbers show that the software works; they say nothing about any real database
and must not stand beside published results.</p>{% endif %}

<h2>Held-out results, pooled over {{ m.folds }} folds ({{ m.videos }} videos)</h2>
<table>
{% if m.recognition %}
<tr><th>Expression<th>this model<th>always “{{ m.majority_class.class }}”
<tr><td>accuracy<td>{{ pct(m.recognition.accuracy) }}<td>{{ pct(m.majority_class.accuracy) }}
<tr><td>weighted F1 (WF1)<td>{{ pct(m.recognition.weighted_f1) }}
 <td>{{ pct(m.majority_class.weighted_f1) }}
<tr><td>unweighted F1 (UF1)<td>{{ pct(m.recognition.unweighted_f1) }}
 <td>{{ pct(m.majority_class.unweighted_f1) }}
<tr><td>unweighted average recall (UAR)<td>{{ pct(m.recognition.unweighted_average_recall) }}
 <td>{{ pct(m.majority_class.unweighted_average_recall) }}
{% endif %}
{% for name, part in (m.by_database or {}).items() if m.by_database|length > 1 %}
<tr><td>{{ name }}, {{ part.videos }} videos: UF1<td>{{ pct(part.unweighted_f1) }}<td>
<tr><td>{{ name }}: UAR<td>{{ pct(part.unweighted_average_recall) }}<td>
{% endfor %}
<tr><th>Optical flow<th>this model<th>no motion
<tr><td>average end-point error, px<td>{{ num(m.flow.average_end_point_error_px) }}
 <td>{{ num(m.flow.zero_flow_end_point_error_px) }}
<tr><th>Landmarks<th>this model<th>mean training shape
<tr><td>inter-ocular NME, %<td>{{ num(m.landmarks.inter_ocular_nme_percent) }}
 <td>{{ num(m.landmarks.mean_shape_nme_percent) }}
<tr><td>failure rate at 10 %, %<td>{{ num(m.landmarks.failure_rate_percent_at_10) }}<td>
</table>

<h2>How these numbers were made</h2>
<table class="facts">
<tr><td>data<td>{{ m.databases|join(", ") }}{% if m.synthetic %} layout, synthetic{% endif %}
<tr><td>protocol<td>{{ m.protocol }}: every subject is tested by a model that never saw it
<tr><td>pooling<td>scores come from the pooled predictions of all folds; a video's phases are
 averaged
<tr><td>model choice<td><b>{{ m.selection_means }}</b>
<tr><td>classes<td>{{ m.classes|join(", ") }} (mapping {{ m.label_mapping }}, in this order)
<tr><td>flavour<td>{{ flavour }}
<tr><td>seed<td>{{ m.seed }} (one seed: no spread is known)
<tr><td>manifest<td><code>{{ m.manifest_hash }}</code>
</table>

{% if pictures.confusion %}<h2>Confusion matrix</h2>
<img alt="confusion matrix" src="data:image/png;base64,{{ pictures.confusion }}">{% endif %}
<h2>Training</h2>
<img alt="loss curves" src="data:image/png;base64,{{ pictures.curves }}">

<h2>Folds</h2>
<table><tr><th>held-out subject<th>videos<th>right<th>end-point error, px<th>no motion, px<th>NME, %
{% for row in folds %}<tr>{% for cell in row %}<td>{{ cell }}{% endfor %}
{% endfor %}</table>

<h2>Flow and landmarks of held-out subjects</h2>
{% for fold, images in examples %}{% for image in images %}
<p><img alt="example of fold {{ fold }}" src="data:image/png;base64,{{ image }}"></p>
{% endfor %}{% endfor %}

<h2>Settings</h2><pre>{{ settings }}</pre>
</html>
"""


def write_report(out: Path, metrics: dict[str, Any], config: RunConfig) -> Path:
    """Draw the pictures of a finished run and write `report.html` into it."""
    directories = sorted(path.parent for path in out.glob("folds/*/predictions.json"))
    synthetic = metrics["synthetic"]
    curves = out / "curves.png"
    draw_curves(
        {path.name: read_metric_log(path) for path in directories}, curves, synthetic=synthetic
    )
    pictures = {"curves": _base64(curves)}
    if "confusion" in metrics:
        draw_confusion(
            metrics["confusion"], metrics["classes"], out / "confusion.png", synthetic=synthetic
        )
        pictures["confusion"] = _base64(out / "confusion.png")
    examples = [
        (path.name, [_base64(image) for image in _pictures(path)])
        for path in directories[:MOST_EXAMPLES]
    ]
    environment = jinja2.Environment(autoescape=True)
    page = environment.from_string(PAGE).render(
        title=f"MOL on {', '.join(metrics['databases'])}, {metrics['protocol']}",
        m=metrics,
        pct=lambda value: f"{100 * value:.1f} %",
        num=lambda value: f"{value:.3f}",
        pictures=pictures,
        flavour=config.model.flavour,
        folds=_fold_rows(directories),
        examples=examples,
        settings=dump_settings(config),
    )
    target = out / "report.html"
    target.write_text(page, encoding="utf-8")
    return target


def _fold_rows(directories: Sequence[Path]) -> list[list[str]]:
    rows = []
    for path in directories:
        folds = defaultdict(list)
        for document in json.loads((path / "predictions.json").read_bytes()):
            one = prediction_from_json(document)
            folds[one.fold].append(one)
        for name, videos in folds.items():
            count = len(videos)
            right = sum(bool(v.probabilities) and v.predicted == v.label for v in videos)
            nme = sum(sum(v.nme) / len(v.nme) for v in videos) / count
            rows.append(
                [
                    name,
                    str(count),
                    str(right),
                    f"{sum(v.end_point_error for v in videos) / count:.3f}",
                    f"{sum(v.zero_flow_error for v in videos) / count:.3f}",
                    f"{100 * nme:.2f}",
                ]
            )
    return rows


def _pictures(directory: Path) -> list[Path]:
    return [
        path
        for name in ("flow.png", "warp.png", "landmarks.png")
        if (path := directory / name).is_file()
    ]


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
