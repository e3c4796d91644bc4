"""From the settings of a run to the network that it names, ready to be called with views."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mol_model.config.network import NetworkSettings, find_network
from mol_model.config.settings import RunConfig
from mol_model.networks.interface import (
    Estimates,
    LossRequest,
    Network,
    TrainingPart,
    Views,
    as_estimates,
)
from mol_model.networks.losses import expression_alone
from mol_model.networks.precision import store_channels_last
from mol_pipeline.contract.errors import ConfigError, TrainingError


def network_of(reference: str) -> Network:
    """The definition of a network by its name, or as `module:attribute`.

    Raises:
        ConfigError: If there is none.
    """
    definition = find_network(reference)
    if not isinstance(definition, Network):
        raise ConfigError(
            f"network {reference}: is a {type(definition).__name__}; make a "
            "mol_model.networks.interface.Network, see docs/your-own-network.md"
        )
    return definition


@dataclass(frozen=True)
class BuiltNetwork:
    """A network's module with what is known of it."""

    definition: Network
    settings: NetworkSettings
    module: nn.Module

    @property
    def crop_px(self) -> int:
        """P, side of what it sees."""
        return self.settings.crop_px

    @property
    def frames(self) -> int:
        """t, frames of a clip."""
        return self.settings.frames

    def estimate(self, views: Views, flow_pairs: Sequence[int] | None = None) -> Estimates:
        """One pass of a batch.

        Args:
            views: Of the batch, those that the network takes at least.
            flow_pairs: Pairs whose flow is asked for, where the network knows the choice.

        Raises:
            TrainingError: If it returned something else than the definition promises.
        """
        taken: list[Any] = [views[name] for name in self.definition.views]
        if self.definition.takes_flow_pairs:
            taken.append(flow_pairs)
        try:
            found = as_estimates(self.module(*taken))
        except TypeError as error:
            raise TrainingError(f"network {self.definition.name}: {error}") from error
        logits = found.expression
        if logits is not None and logits.shape != (len(taken[0]), self.settings.classes):
            raise TrainingError(
                f"network {self.definition.name}: returned logits of shape {tuple(logits.shape)}, "
                f"not [{len(taken[0])}, {self.settings.classes}]"
            )
        return found

    def loss(self, estimates: Estimates, request: LossRequest) -> dict[str, Tensor]:
        """`total`, which is minimised, and its named parts."""
        request = replace(request, settings=self.settings)
        return (self.definition.loss or expression_alone)(estimates, request)

    def through(self, module: nn.Module) -> "BuiltNetwork":
        """The same, called through what wraps its module: compiled, or shared by processes."""
        return replace(self, module=module)

    def to(self, device: torch.device) -> "BuiltNetwork":
        """The same network on a device, in place."""
        self.module.to(device)
        return self

    def begin(self, part: TrainingPart) -> None:
        """Tell it what it may know before the first step."""
        begin = getattr(self.module, "begin", None)
        if begin is not None:
            begin(part)

    @property
    def fits_at_once(self) -> bool:
        """Whether it is trained by its own `fit`, not by steps."""
        return hasattr(self.module, "fit")

    def fit(self, views: Mapping[str, list[Tensor]], labels: Tensor, seed: int) -> None:
        """Train it from the views of all training clips, in batches.

        Raises:
            TrainingError: If it cannot be done, e.g. all labels are alike.
        """
        module: Any = self.module
        try:
            module.fit(views, labels, seed)
        except ValueError as error:
            raise TrainingError(f"network {self.definition.name}: {error}") from error

    def parameter_count(self) -> int:
        """Numbers that are learned."""
        return sum(weights.numel() for weights in self.module.parameters())

    @contextmanager
    def testing(self) -> Iterator[None]:
        """Neither dropout nor statistics of the batch in the block, and no gradients."""
        was = self.module.training
        self.module.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.module.train(was)


def build(config: RunConfig) -> BuiltNetwork:
    """The network that a run's settings describe.

    Raises:
        ConfigError: If settings do not go together, or there is no such network.
    """
    definition = network_of(config.network)
    module = definition.build(config.model)
    # On every device, and in training as in tests: the same products in the same order.
    store_channels_last(module)
    return BuiltNetwork(definition, config.model, module)
