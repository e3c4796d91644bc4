"""A fair comparison as a document: which networks, under one protocol, with which seeds."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mol_model.config.names import Selection
from mol_model.config.settings import ProtocolConfig, RunConfig, resolve_settings
from mol_model.reproduction.document import FolderName, Value, documents_directory
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import canonical_json
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.settings import load_settings


class Method(Settings):
    """One row: a network and its settings."""

    name: str = Field(min_length=1, max_length=60)
    """In the table."""
    run: FolderName
    """Directory of its runs."""
    network: str
    preset: str | None = None
    settings: dict[str, Value] = Field(default_factory=dict)
    """Settings of the run by their dotted names, over the preset."""


class FairDocument(Settings):
    """What is compared, and how."""

    title: str
    protocol: ProtocolConfig = ProtocolConfig()
    mapping: str
    """Label mapping."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    selections: tuple[Selection, ...] = Field(default=("last",), min_length=1)
    """How the model that is tested is chosen; the first is the one that tests are made of."""
    methods: tuple[Method, ...] = Field(min_length=1)
    note: str = ""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        """Refuse what would write into one directory twice."""
        for words, listed in (
            ("run", [method.run for method in self.methods]),
            ("seed", list(self.seeds)),
            ("selection", list(self.selections)),
        ):
            if len(set(listed)) < len(listed):
                raise ValueError(f"a {words} is named twice")
        return self

    def config_of(
        self, method: Method, selection: Selection, seed: int, overrides: tuple[str, ...] = ()
    ) -> RunConfig:
        """The settings of a run: the preset, the document's, then the user's.

        Raises:
            ConfigError: If one is unknown or wrong.
        """
        own = [f"{key}={canonical_json(value).decode()}" for key, value in method.settings.items()]
        words = (*own, *overrides, f"training.selection={selection}")
        config = resolve_settings(method.preset, None, words, seed, method.network)
        return config.model_copy(update={"protocol": self.protocol})


def read_fair_document(name: str) -> FairDocument:
    """A document of the project by its name (`benchmark-demo`), or any by its path.

    Raises:
        ConfigError: If there is none, or it is wrong.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        return load_settings(FairDocument, path)
    places = {one.stem: one for one in documents_directory().glob("benchmark-*.yaml")}
    if name not in places:
        raise ConfigError(
            f"{name}: no such document; there are {', '.join(sorted(places))}, or your own .yaml"
        )
    return load_settings(FairDocument, places[name])
