"""Whether the preparation part is installed: `moltrain` itself can do without it."""

import importlib

from mol_pipeline.contract.errors import ConfigError

NEEDED = ("av", "cv2", "dlib")
"""Modules of `[prep]` that inference on raw video takes."""


def require_preparation() -> None:
    """Check that faces can be found and films be read here.

    Raises:
        ConfigError: If a module of the preparation part cannot be imported.
    """
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"moltrain predict finds and aligns faces, and {name} of the preparation part "
                f"cannot be imported ({error}); run: pip install '.[prep,train]'"
            ) from error
