"""Errors in a model are reported before it is trained, in the words of the contract."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.run.contract import (
    check_build,
    check_built,
    check_loss,
    check_methods,
    check_predictions,
)
from models.components.base import AnomalyModel, Batch, ModelContractError, Prediction

CPU = torch.device("cpu")
IMAGES = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(4))
IMAGES[0] *= 2


class Brightness(AnomalyModel):
    """Scores each pixel by its brightness, times a learned factor."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def loss(self, batch):
        return (self.factor * batch.get_images()).mean()

    def predict(self, batch):
        maps = self.factor * batch.get_images().mean(1)
        return {"score": Prediction(maps.amax((1, 2)), maps)}


def check(change=lambda prediction: prediction, heads=("score",)):
    """Check a model whose prediction is changed."""

    class Changed(Brightness):
        def predict(self, batch):
            return {"score": change(super().predict(batch)["score"])}

    model = Changed()
    check_predictions(model, Batch(IMAGES), heads, CPU)
    return model


def test_a_model_that_keeps_the_contract_passes_in_its_mode_and_with_its_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    model = check(lambda p: (torch.rand(1), p)[1])
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    check_methods(model, "adam")
    check_loss(model, model.loss(Batch(IMAGES)))
    check_built(model, "brightness")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.scores, r"wanted a Prediction.*found a Tensor"),
        (lambda p: None, "found nothing"),
        (lambda p: replace(p, scores=p.scores[:1]), r"scores of shape \(2,\), found \(1,\)"),
        (lambda p: replace(p, scores=p.scores[:, None]), r"found \(2, 1\)"),
        (lambda p: replace(p, scores=p.scores.tolist()), "found a list"),
        (lambda p: replace(p, maps=p.maps[:, None]), r"maps of shape \(2, 8, 12\), found \(2, 1,"),
        (lambda p: replace(p, maps=p.maps[:, ::2]), r"found \(2, 4, 12\). Resize"),
        (lambda p: replace(p, scores=p.scores / p.scores.max()), "in a batch and 1 alone"),
        (lambda p: replace(p, scores=torch.rand(len(p.scores))), "draw no random numbers"),
    ],
)
def test_a_prediction_that_breaks_the_contract_is_refused_with_what_is_wanted(change, said):
    torch.manual_seed(0)
    with pytest.raises(ModelContractError, match=said):
        check(change)


def test_a_head_that_is_not_declared_is_named():
    with pytest.raises(ModelContractError, match=r"heads \['plain'\].*returned \['score'\]"):
        check(heads=("plain",))


def test_a_score_that_differs_by_rounding_is_its_own_image_s():
    check(lambda p: replace(p, scores=p.scores * (1 + 1e-4 * len(p.scores))))


class NoMethods(AnomalyModel):
    """Defines only predict."""


class ListOfLayers(Brightness):
    """Keeps its layers where torch does not find them."""

    def __init__(self):
        super().__init__()
        del self.factor
        self.layers = [nn.Linear(2, 2)]


@pytest.mark.parametrize(
    ("model", "optimizer", "said"),
    [
        (NoMethods, "adam", "neither loss nor update and compute"),
        (NoMethods, "none", "neither loss nor update and compute"),
        (Brightness, "none", "'none', but the model defines loss"),
        (ListOfLayers, "adam", "nothing to train.*nn.ModuleList"),
    ],
)
def test_methods_fit_the_recipe(model, optimizer, said):
    with pytest.raises(ModelContractError, match=said):
        check_methods(model(), optimizer)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (torch.ones(4, requires_grad=True), r"wanted a scalar tensor, found shape \(4,\)"),
        (None, "found nothing"),
        (0.5, "found a float"),
        (torch.ones(()), "depends on no parameter"),
    ],
)
def test_a_loss_is_a_scalar_with_a_gradient(loss, said):
    with pytest.raises(ModelContractError, match=said):
        check_loss(Brightness(), loss)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Brightness(), r"unexpected keyword argument 'weights'.*found \(\)"),
        (lambda weights, state: Brightness(), "unexpected keyword argument 'width'"),
        (Brightness, "unexpected keyword argument"),
    ],
)
def test_a_build_function_takes_what_it_is_called_with(build, said):
    with pytest.raises(ModelContractError, match=said):
        check_build(build, "brightness", {"weights": None, "state": None, "width": 4})


def test_a_build_function_returns_a_model():
    with pytest.raises(ModelContractError, match="brightness returned nothing"):
        check_built(None, "brightness")
    with pytest.raises(ModelContractError, match="returned a Linear: wanted an AnomalyModel"):
        check_built(nn.Linear(1, 1), "linear")
