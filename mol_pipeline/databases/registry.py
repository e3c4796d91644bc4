"""Which adapters there are."""

from mol_pipeline.databases.index import Adapter
from mol_pipeline.databases.samm import Samm

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in (Samm(),)}
