"""A linear classifier that is fitted at once, and a network that is features before it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from mol_model.config.network import NetworkSettings
from mol_model.networks.interface import ViewName
from mol_pipeline.contract.errors import ConfigError

Kind = Literal["svm", "logistic"]

NEVER = 100.0
"""Logit, below or above zero, of what was never or always shown to the classifier."""


class LinearClassifier(nn.Module):
    """One plane a class, or an action unit, that separates it from the rest.

    Args:
        features: d, numbers of a clip.
        classes: Expression classes, or action units.
        kind: Of the fit: a linear support vector machine, or logistic regression.
        c: Weight of errors against the margin or the size of coefficients.
        standardise: Bring every feature to mean 0 and standard deviation 1 of the training part.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self, *, features: int, classes: int, kind: Kind, c: float, standardise: bool
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.c = c
        self.standardise = standardise
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        """Map features `[B, d]` to decision values `[B, classes]`, above zero for yes."""
        return (features - self.mean) / self.scale @ self.weight.T + self.bias

    def fit(
        self,
        features: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | Int[Tensor, "n classes"],
        seed: int,
    ) -> None:
        """Learn the planes.

        Args:
            features: Of all training clips, `[n, d]`.
            labels: `[n]`, or of action units `[n, units]`: 1, 0, and -1 where unknown.
            seed: For a fit that draws numbers.

        Raises:
            ConfigError: If scikit-learn is not installed.
            ValueError: If all clips have one label.
        """
        if labels.dim() == 1 and len(torch.unique(labels)) == 1:
            raise ValueError(
                f"all {len(labels)} training clips have label {int(labels[0])}: nothing separates"
            )
        numbers = features.double().cpu()
        if self.standardise:
            scale = numbers.std(dim=0, correction=0)
            self.mean.copy_(numbers.mean(dim=0))
            self.scale.copy_(torch.where(scale > 0, scale, 1))
        numbers = (numbers - self.mean.double().cpu()) / self.scale.double().cpu()
        values = labels.cpu()
        if values.dim() == 1:
            values = (values[:, None] == torch.arange(len(self.bias))).long()
        for row in range(len(self.bias)):
            known = values[:, row] >= 0
            weight, bias = self._plane(
                numbers[known].numpy(), values[known, row].numpy().astype(bool), seed
            )
            self.weight[row] = torch.from_numpy(weight)
            self.bias[row] = bias

    def _plane(
        self, features: NDArray[np.float64], shown: NDArray[np.bool_], seed: int
    ) -> tuple[NDArray[np.float64], float]:
        """Coefficients and offset that separate what is shown from what is not."""
        if not len(shown):
            return np.zeros(features.shape[1]), 0.0
        if shown.all() or not shown.any():
            return np.zeros(features.shape[1]), NEVER if shown[0] else -NEVER
        learn = _scikit_learn()
        if self.kind == "logistic":
            model = learn.linear_model.LogisticRegression(
                C=self.c, max_iter=10_000, random_state=seed
            ).fit(features, shown)
            return model.coef_[0], float(model.intercept_[0])
        # With a kernel that is computed once: the features are far more than the clips.
        model = learn.svm.SVC(C=self.c, kernel="precomputed").fit(features @ features.T, shown)
        return model.dual_coef_[0] @ features[model.support_], float(model.intercept_[0])


def _scikit_learn() -> Any:
    """scikit-learn, if it is there.

    Raises:
        ConfigError: If it is not.
    """
    try:
        import sklearn.linear_model
        import sklearn.svm
    except ModuleNotFoundError as error:
        raise ConfigError(
            "this network is fitted by scikit-learn, which is not installed; "
            "pip install 'mol-micro-expression[baselines]'"
        ) from error
    return sklearn


class OnFeatures(nn.Module):
    """A network of features made by hand and a linear classifier.

    Args:
        views: What `features` takes, in this order.
        features: Maps them to `[B, d]`; has nothing to learn.
        classifier: Of d features.
    """

    def __init__(
        self, *, views: Sequence[ViewName], features: nn.Module, classifier: LinearClassifier
    ) -> None:
        super().__init__()
        self.views = tuple(views)
        self.features = features
        self.classifier = classifier

    def forward(self, *views: Tensor) -> Float[Tensor, "b classes"]:
        """Map views to logits `[B, classes]`."""
        return self.classifier(self.features(*views))

    def fit(self, views: Mapping[str, Sequence[Tensor]], labels: Tensor, seed: int) -> None:
        """Train it on all training clips; see `mol_model.networks.interface.Network`."""
        with torch.no_grad():
            batches = zip(*(views[name] for name in self.views), strict=True)
            features = torch.cat([self.features(*batch) for batch in batches])
            self.classifier.fit(features, labels, seed)


def classifier_of(
    settings: NetworkSettings, features: int, kind: Kind, c: float, *, standardise: bool
) -> LinearClassifier:
    """A classifier of the classes of some settings."""
    return LinearClassifier(
        features=features,
        classes=settings.classes,
        kind=kind,
        c=c,
        standardise=standardise,
    )


AT_ONCE: dict[str, Any] = {"data": {"flip": False, "random_crop": False}}
"""The preset of what is fitted at once: every clip is seen as it is, once."""
