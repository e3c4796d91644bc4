"""A model card: what a run's models were trained on, how they were chosen, and their limits.

Source:
    Mitchell et al. 2019, Model Cards for Model Reporting: its sections, as far as they apply.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import torch

from mol_model.config.network import DEFAULT_NETWORK
from mol_model.config.run_layout import (
    CARD_NAME,
    METRICS_NAME,
    RUN_NAME,
    SETTINGS_NAME,
    seed_directory,
)
from mol_model.config.settings import RunConfig
from mol_model.networks.build import build
from mol_model.protocols.units import UNITS_MAPPING
from mol_model.runs.seeds import spreads_of, summarise_seeds
from mol_model.scoring.documents import Metrics, RunDocument, read_checked
from mol_model.scoring.remarks import remarks
from mol_model.scoring.scores import ALL_SCORES
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.escaping import code, markdown
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.settings import load_settings

NEEDED = ("protocol", "databases", "classes", "folds", "videos", "selection", "selection_means")
"""What the card says of a run's scores."""
_ABSENT = Metrics().model_dump(exclude_none=True)
"""What the document says of what an earlier version did not write."""
DECIMALS = 2
"""Of every score, beside its spread over seeds."""

HEADS = ("expression", "flow", "landmarks")
"""Of MOL."""

TEMPLATE = """\
# Model card: {{ title }} on {{ m.databases|text }}, {{ m.protocol|text }}

{% if m.synthetic -%}
**SYNTHETIC DATA.** The faces are photographs moved by a program. The numbers show that the software
works; they say nothing about any real database and must not stand beside published results.

{% endif -%}
## The models

{% if network.definition.name == "mol" -%}
- Task: {{ "action units" if m.label_mapping == units else "class" }}{# -#}
 of a micro-expression, optical flow and 68 landmarks from {{ model.frames }} grey
  frames of an aligned face, jointly (Shao et al., IEEE TPAMI 2025).
- Network: flavour `{{ model.flavour|code }}`, {{ "{:,}".format(parameters) }} parameters, input
  {{ model.crop_px }} x {{ model.crop_px }} pixels, {{ model.f5c_blocks }} F5C block(s) a branch.
{%- else -%}
- Task: {{ "action units" if m.label_mapping == units else "class" }} of a micro-expression, from
  {{ network.definition.views|text }} of clips of aligned faces.
- Network: `{{ words|code }}`, {{ "{:,}".format(parameters) }} parameters, input
  {{ model.crop_px }} x {{ model.crop_px }} pixels. {{ network.definition.source|text }}
{%- endif %}
{%- if missing %} Heads left out: {{ missing|text }}.{% endif %}
- Classes: {{ m.classes|text }} (label mapping `{{ m.label_mapping|code }}`, in this order).
{%- if m.unknown_people %}
- One model for each of {{ m.folds }} fold(s).
{%- elif m.selection == "test-best" %}
- One model for each of {{ m.folds }} fold(s); the people that it was tested on chose it.
{%- else %}
- One model for each of {{ m.folds }} fold(s); each was tested only on people that it never saw.
{%- endif %}
{%- if m.folds < m.folds_of_protocol %}
- **{{ m.folds }} of {{ m.folds_of_protocol }} folds of the protocol: not its result yet.**
{%- endif %}
{%- for words in remarks %}
- **{{ words|text }}**
{%- endfor %}

## Data

- Databases: {{ m.databases|text }}; {{ m.videos }} held-out videos.
- Manifest of the shards, SHA-256: `{{ m.manifest_hash|code }}`. It names every video, every
  correction and every rejected clip.
{%- if m.alignment %}
- Frames aligned by `molprep build` with `alignment.reference`: {{ m.alignment|join(", ")|text }}.
{%- endif %}
- Landmarks and faces by Dlib, flow by TV-L1 (OpenCV): what the networks learn is what these say,
  not a truth measured otherwise.

## How it was trained and chosen

- Protocol: {{ m.protocol|text }}. {{ training.steps }} steps, batch {{ training.batch_size }},
  learning rate {{ training.learning_rate }}.
- Model that is tested: {{ m.selection_means|text }}.
{%- if m.selection == "test-best" %} **OPTIMISTIC: the test people chose the model. Do not compare
  these numbers with honest ones.**{% endif %}
- Seeds: {{ seeds|join(", ") }}{% if seeds|length == 1 %} (one seed: no spread is known){% endif %}.
- Settings, SHA-256: `{{ run.config_hash|code }}`; all of them are in `config.yaml`.

## Numbers

Pooled over all folds; a video's phases are averaged first.
{%- if seeds|length > 1 %} Mean and standard deviation over {{ seeds|length }} seeds.{% endif %}

| | this model | a simple answer |
|---|---|---|
{% for row in rows -%}
| {{ row.name }} | {{ row.value }} | {{ row.simple }} |
{% endfor %}
## Licences

- The code is Apache-2.0.
- The 68-point model was trained on iBUG 300-W, whose terms exclude commercial use; the landmarks
  that these networks learned from are its answers.
- The databases are lent under agreements of their owners. Check whether yours lets you pass weights
  on; shards and pictures show faces and stay with you.

## Limits

- A recognised expression is no proof of what a person feels. Not for decisions about people: work,
  police, insurance, school, health.
{% if m.label_mapping == units -%}
- The network says of each unit how likely it is, whatever it is shown. It does not find out
  whether, or when, there is an expression.
{% else -%}
- The network gives one of its classes to whatever it is shown. It does not find out whether, or
  when, there is an expression.
{% endif -%}
- The databases are small, filmed in laboratories, of few people; who is not like them is not
  covered, and nothing here measures how it does by age, sex or skin colour.
- It sees faces from the front, found by a detector that misses others.
"""


def write_card(directory: Path) -> Path:
    """Write `MODEL_CARD.md` about a finished run into its directory.

    Args:
        directory: With the `metrics.json` of a run, or of several seeds of it.

    Returns:
        Path of the card.

    Raises:
        ConfigError: If the directory holds no finished run.
    """
    metrics = _read(directory, METRICS_NAME)
    seeds = metrics.get("seeds") or [metrics.get("seed", 0)]
    of_one = seed_directory(directory, seeds[0]) if metrics.get("seeds") else directory
    run, first = _read(of_one, RUN_NAME), _read(of_one, METRICS_NAME)
    config = load_settings(RunConfig, of_one / SETTINGS_NAME)
    with torch.device("meta"):  # counted, not held
        network = build(config)
    environment = jinja2.Environment(autoescape=False, keep_trailing_newline=True)
    environment.filters |= {"text": _listed(markdown), "code": code}
    card = environment.from_string(TEMPLATE).render(
        m=metrics,
        run=run,
        model=config.model,
        network=network,
        title="MOL" if config.network == DEFAULT_NETWORK else network.definition.name,
        words=config.network_words,
        training=config.training,
        parameters=network.parameter_count(),
        missing=[name for name in HEADS if name not in config.model.tasks()]
        if config.network == DEFAULT_NETWORK
        else [],
        seeds=seeds,
        remarks=remarks(metrics),
        rows=_all_rows(metrics, first),
        units=UNITS_MAPPING,
    )
    target = directory / CARD_NAME
    write_atomically(target, card.encode())
    return target


def _listed(escape: Callable[[object], str]) -> Callable[[object], str]:
    """A filter for one text or several, which are separated by commas."""
    return lambda value: (
        ", ".join(map(escape, value)) if isinstance(value, list | tuple) else escape(value)
    )


def _all_rows(metrics: Mapping[str, Any], first: Mapping[str, Any]) -> list[dict[str, str]]:
    """Lines of the table of numbers, of each fold where each is a result of its own."""
    spreads = spreads_of(summarise_seeds({0: dict(first)}))
    if "spread" in metrics:
        spreads |= spreads_of(metrics)
    rows = []
    for fold, spread in spreads.items():
        of_first = first.get("by_fold", {}).get(fold, {}) if fold else first
        of_fold = f"{markdown(fold)}: " if fold else ""
        rows += [row | {"name": of_fold + row["name"]} for row in _rows(spread, of_first)]
    return rows


def _rows(spread: Mapping[str, Any], first: Mapping[str, Any]) -> list[dict[str, str]]:
    """Lines of the table of numbers; those of heads that are left out are missing."""
    rows = []
    for score in ALL_SCORES:
        found = spread.get(score.key)
        if found is None:
            continue
        deviation = found["standard_deviation"]
        mean = f"{score.factor * found['mean']:.{DECIMALS}f}"
        words = "" if deviation is None else f" ± {score.factor * deviation:.{DECIMALS}f}"
        known = score.of_trivial(first)
        answer = ""
        if known is not None and score.trivial is not None:
            answer = f"{score.text(known, DECIMALS)} ({score.trivial.name})"
        value = f"{mean}{words} {score.unit}"
        rows.append({"name": score.name, "value": value, "simple": answer})
    return rows


def _read(directory: Path, name: str) -> dict[str, Any]:
    kind, needs = (Metrics, NEEDED) if name == METRICS_NAME else (RunDocument, ("config_hash",))
    try:
        found: dict[str, Any] = read_checked(
            directory / name, kind, ConfigError, "run it again", needs=needs
        )
        return (_ABSENT if name == METRICS_NAME else {}) | found
    except FileNotFoundError:
        raise ConfigError(
            f"{directory}: holds no finished run (no {name}); run 'moltrain fit --out {directory}' "
            "to its end first"
        ) from None
