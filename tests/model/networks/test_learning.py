"""Each network learns eight made-up clips by heart, and every weight takes part."""

import pytest
import torch
from torch.nn import functional

from mol_model.config.network import NETWORKS, find_network
from mol_model.networks.interface import LossRequest, TrainingPart, as_estimates
from mol_model.networks.losses import expression_alone
from tests.model.networks.clips import model_of, some_views, taken

TRAINED = [
    name
    for name in NETWORKS
    if name != "mol" and not hasattr(model_of(find_network(name))[0], "fit")
]
"""By steps of an optimiser; MOL has tests of its own."""

PART = TrainingPart(torch.full((68, 2), 32.0), torch.tensor([0.5, 0.5, 0.1]))


def begun(name, **settings):
    """A network of its tiny preset as a training begins with it."""
    torch.manual_seed(0)
    network = find_network(name)
    model, found = model_of(network, classes=3, **settings)
    if hasattr(model, "begin"):
        model.begin(PART)
    return network, model, found


def loss_of(network, settings, found, views, labels):
    """What a training minimises."""
    make = network.loss or expression_alone
    return make(found, LossRequest(views, labels, None, settings=settings))["total"]


def test_there_are_networks_to_try():
    assert len(TRAINED) >= 6
    assert all(find_network(name).name == name for name in TRAINED)


@pytest.mark.parametrize("name", TRAINED)
def test_a_gradient_reaches_every_parameter(name):
    network, model, settings = begun(name)
    views, labels = some_views()
    found = as_estimates(model(*taken(network, views)))
    assert found.expression.shape == (8, 3)
    loss_of(network, settings, found, views, labels).backward()
    for key, weights in model.named_parameters():
        assert weights.grad is not None and torch.isfinite(weights.grad).all(), key
        assert weights.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", TRAINED)
def test_a_network_overfits_eight_clips(name):
    noise = {"dropout", "drop_path"} & set(find_network(name).settings.model_fields)
    small = {"side": 32} if name == "fdp" else {}
    network, model, settings = begun(name, **dict.fromkeys(noise, 0.0), **small)
    views, labels = some_views()
    inputs = taken(network, views)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3 if name == "fdp" else 3e-3)
    for _ in range(200):
        found = as_estimates(model(*inputs))
        loss = loss_of(network, settings, found, views, labels)
        error = functional.cross_entropy(found.expression, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if error < 0.005:
            break
    with torch.no_grad():
        for _ in range(40):  # batch norms take in what the last weights give
            model(*inputs)
        model.eval()
        logits = as_estimates(model(*inputs)).expression
    assert logits.argmax(dim=1).tolist() == labels.tolist()
    assert error < 0.1


@pytest.mark.parametrize("name", TRAINED)
def test_a_clip_is_answered_alike_alone_and_among_others(name):
    network, model, _ = begun(name)
    views, _ = some_views()
    model.eval()
    with torch.no_grad():
        whole = as_estimates(model(*taken(network, views))).expression
        alone = as_estimates(model(*(view[3:4] for view in taken(network, views)))).expression
    torch.testing.assert_close(whole[3:4], alone, atol=1e-4, rtol=1e-4)
