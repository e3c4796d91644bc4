"""Train what has no steps: a classifier on features, from all clips of the training part."""

from collections.abc import Sequence

from torch import Tensor

from mol_model.clips.source import ClipSource
from mol_model.clips.views import Normalisation, centre_inputs
from mol_model.config.settings import RunConfig
from mol_model.networks.build import BuiltNetwork
from mol_model.scoring.evaluation import in_parts
from mol_pipeline.contract.stopping import refuse_if_asked


def fit_at_once(
    model: BuiltNetwork,
    source: ClipSource,
    clips: Sequence[int],
    labels: Tensor,
    normalisation: Normalisation,
    config: RunConfig,
) -> None:
    """Give a network the centre views of all its training clips, in place.

    Args:
        model: With a method `fit(views, labels, seed)`.
        source: The clips.
        clips: The training part.
        labels: Of every clip of the source, as training sees them.
        normalisation: Of the training part.
        config: For the seed.

    Raises:
        StoppedOnRequest: If a stop signal came; nothing of a fit at once is kept.
        TrainingError: If the classifier cannot be fitted.
    """
    names = model.definition.views
    views: dict[str, list[Tensor]] = {name: [] for name in names}
    for few in in_parts(clips):
        refuse_if_asked("the clips of a fold were still being read")
        inputs = centre_inputs(source.read(few), normalisation, model.crop_px)
        for name in names:
            views[name].append(inputs[name])
    model.fit(views, labels[list(clips)], config.training.seed)
