"""A table or figure of the paper as one HTML page that opens without a network."""

import base64
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from mol_model.config.run_layout import REPORT_NAME, seed_directory
from mol_model.reports.page import STYLE
from mol_model.reproduction.table import ours_text, paper_text
from mol_pipeline.contract.escaping import link
from mol_pipeline.contract.files import write_atomically

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ t.source }}: {{ t.title }}</title>
{{ style }}
<h1>{{ t.source }}: {{ t.title }}</h1>
{% for mark in t.marks %}<p class="synthetic"><b>{{ mark }}</b></p>
{% endfor %}
<table><tr><th>row{% for m in t.metrics.values() %}<th>{{ m.name }}, {{ m.unit }}
{% if with_paper %}<th>paper{% endif %}{% endfor %}<th>state<th>runs
{% for row in t.rows %}
<tr><td>{{ row.name }}{% for score in t.metrics %}
 <td>{{ ours(row.scores.get(score, {})) }}
 {% if with_paper %}<td>{{ paper(row.scores.get(score, {})) }}{% endif %}{% endfor %}
 <td>{{ row.state }}{% if row.note %}: {{ row.note }}{% endif %}
 <td>{% for seed in row.seeds %}<a href="{{ report_of(row.run, seed)|link }}">seed
 {{ seed }}</a> {% endfor %}
{% endfor %}</table>
{% if t.note %}<p>{{ t.note }}</p>{% endif %}
<p>Scores come from the pooled predictions of all folds; a video's phases are averaged first. Each
run's page tells how its models were trained and chosen.{% if with_paper %} The paper's numbers are
of the same database; its preparation, pre-training and model choice may have differed.{% endif %}
</p>
{% for row in t.rows %}{% for picture in row.pictures or [] %}
<h2>{{ row.name }}</h2>
<p><img alt="{{ row.name }}" src="data:image/png;base64,{{ image(picture) }}"></p>
{% endfor %}{% endfor %}
</html>
"""


def write_page(out: Path, table: dict[str, Any]) -> Path:
    """Write `report.html` about a table beside its `table.json`."""
    environment = jinja2.Environment(autoescape=True)
    environment.filters["link"] = link
    page = environment.from_string(PAGE).render(
        t=table,
        style=markupsafe.Markup(STYLE),
        with_paper=any(
            "paper" in score for row in table["rows"] for score in row["scores"].values()
        ),
        ours=ours_text,
        paper=paper_text,
        report_of=lambda run, seed: (seed_directory(Path(run), seed) / REPORT_NAME).as_posix(),
        image=lambda path: base64.b64encode((out / path).read_bytes()).decode(),
    )
    write_atomically(out / REPORT_NAME, page.encode())
    return out / REPORT_NAME
