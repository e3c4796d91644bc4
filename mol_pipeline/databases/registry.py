"""Which adapters there are."""

from mol_pipeline.databases.adapter import Adapter
from mol_pipeline.databases.adapters.affwild2 import AffWild2
from mol_pipeline.databases.adapters.casme import Casme
from mol_pipeline.databases.adapters.casme2 import Casme2
from mol_pipeline.databases.adapters.casme3 import Casme3
from mol_pipeline.databases.adapters.casme3_c import Casme3PartC
from mol_pipeline.databases.adapters.casme_sq import CasmeSq
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.databases.adapters.dfme import Dfme
from mol_pipeline.databases.adapters.four_dme import FourDme
from mol_pipeline.databases.adapters.megc_unseen import MegcUnseen
from mol_pipeline.databases.adapters.mmew import Mmew
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.databases.adapters.samm_lv import SammLongVideos
from mol_pipeline.databases.adapters.smic import CAMERAS, Smic
from mol_pipeline.databases.adapters.smic_e import SmicE

_ALL: tuple[Adapter, ...] = (
    Samm(),
    Casme2(),
    *(Smic(camera) for camera in CAMERAS),
    AffWild2(),
    Casme(),
    CasmeSq(),
    Casme3(),
    Casme3PartC(),
    Dfme(),
    MegcUnseen(),
    Mmew(),
    FourDme(),
    *(SmicE(camera) for camera in CAMERAS),
    SammLongVideos(),
    Custom(),
)

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in _ALL}
"""By the name on the command line; `mol_pipeline.databases.names` spells them out."""
