"""A table or figure of the paper as a document: which runs, on what, and the paper's numbers."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mol_model.config.settings import ProtocolConfig
from mol_model.scoring.scores import SCORES
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.names import file_name
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.settings import load_settings

PACKAGED = Path(__file__).parents[1] / "pipelines"
"""Where an installed wheel has the documents."""
IN_REPOSITORY = Path(__file__).parents[2] / "pipelines"
"""Where they are written, and an editable installation finds them."""


def _on_every_disk(name: str) -> str:
    if file_name(name) != name:
        raise ValueError("is no name of a folder on every disk; choose another")
    return name


FolderName = Annotated[
    str, StringConstraints(pattern="^[a-z0-9][a-z0-9-]*$"), AfterValidator(_on_every_disk)
]
Value = bool | int | float | str | None


class ShardsNeeded(Settings):
    """Shards that rows are made from."""

    database: str
    frames: int = Field(default=8, ge=2)
    """`frames_per_clip` of their manifest: with the database it tells which shards are meant."""
    build: dict[str, Value] = Field(default_factory=dict)
    """Settings of `molprep build` that are not its defaults."""

    def command(self) -> str:
        """What makes them."""
        options = "".join(f" --set {key}={value}" for key, value in self.build.items())
        return f"molprep build --dataset {self.database} --root ROOT --out DIR{options}"


class Row(Settings):
    """One line: a variant of the network, or the predictor of somebody else."""

    name: str
    run: FolderName
    """Directory of its run; rows that are parts of one run share it."""
    data: tuple[str, ...] = Field(min_length=1)
    """Keys of `data` in the document."""
    mapping: str | None = None
    """Label mapping, if not that of the document."""
    protocol: ProtocolConfig | None = None
    """If not that of the document."""
    settings: dict[str, Value] = Field(default_factory=dict)
    """Settings of `moltrain fit` in which the variant differs, `group.name: value`."""
    part: str | None = None
    """Database whose videos alone count (`by_database` of a run over several)."""
    peer: Literal["flow", "landmarks"] | None = None
    """What somebody else's predictor estimates; None for our own network."""
    how: str = ""
    """How to get that predictor."""
    paper: dict[str, float] = Field(default_factory=dict)
    """Score -> the paper's number, in the unit that is printed."""

    @property
    def about(self) -> tuple[object, ...]:
        """What rows of one run must agree in."""
        return (self.data, self.mapping, self.protocol, tuple(self.settings.items()), self.peer)


class Reproduction(Settings):
    """A table or figure of the paper, as in `pipelines/`."""

    title: str
    source: str
    note: str = ""
    """What the paper leaves open about it."""
    figure: Literal["warp", "landmarks"] | None = None
    """Draw this of a held-out clip for every row; None for a table."""
    folds: tuple[str, ...] = ()
    """Only these folds, by name or number; all if empty."""
    data: dict[FolderName, ShardsNeeded] = Field(min_length=1)
    protocol: ProtocolConfig
    mapping: str
    """Label mapping."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1)
    """Keys of `mol_model.scoring.scores.SCORES`."""
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        unknown = [name for name in self.metrics if name not in SCORES]
        if unknown:
            raise ValueError(f"metrics: {unknown[0]} is none of {', '.join(SCORES)}")
        runs: dict[str, tuple[object, ...]] = {}
        names: set[str] = set()
        for row in self.rows:
            for key in row.data:
                if key not in self.data:
                    raise ValueError(f"row {row.name!r}: data {key} is none of {list(self.data)}")
            for score in row.paper:
                if score not in self.metrics:
                    raise ValueError(f"row {row.name!r}: {score} is none of this table's metrics")
            if runs.setdefault(row.run, row.about) != row.about:
                raise ValueError(f"row {row.name!r}: run {row.run} means something else above")
            if row.name in names:
                raise ValueError(f"row {row.name!r}: the name comes twice")
            if row.peer and (row.settings or self.figure):
                raise ValueError(f"row {row.name!r}: a peer has no settings, and no figure")
            names.add(row.name)
        return self

    def protocol_of(self, row: Row) -> ProtocolConfig:
        """Protocol of a row."""
        return row.protocol or self.protocol

    def mapping_of(self, row: Row) -> str:
        """Label mapping of a row."""
        return row.mapping or self.mapping


def documents_directory() -> Path:
    """Where the documents of the paper's tables and figures are."""
    return PACKAGED if PACKAGED.is_dir() else IN_REPOSITORY


def known_names() -> list[str]:
    """Names of the documents of tables and figures that come with the program."""
    names = {path.stem for path in documents_directory().glob("*.yaml")}
    return sorted(name for name in names if not name.startswith("benchmark-"))


def read_reproduction(name: str) -> Reproduction:
    """Read a document by its name, or one of yours by its path.

    Raises:
        ConfigError: If there is no such document, or it does not validate.
    """
    path = documents_directory() / f"{name}.yaml"
    if name not in known_names():
        path = Path(name)
        if path.suffix not in {".yaml", ".yml"} or not path.is_file():
            raise ConfigError(
                f"{name}: no such table or figure; there are {', '.join(known_names())}, or name "
                "a YAML file of yours"
            )
    return load_settings(Reproduction, path)
