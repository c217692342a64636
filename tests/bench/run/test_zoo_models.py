"""Every model of the zoo, by the same questions, through the harness on real images.

They start from ResNet18's published weights where the folder of real data has them, and from
random ones elsewhere; what asks for published weights is skipped then.
"""

import copy
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.case import Case
from bench.metrics.ranking import auroc
from bench.run.anomaly import features_by_split, kept_from_training
from bench.run.build import build_model
from bench.run.device_data import DeviceData
from bench.run.evaluate import predict_all
from bench.run.inputs import Finder
from bench.run.phases import Phases
from bench.run.training import loop
from bench.run.training.train import TrainingData, train
from bench.settings import Settings
from models.components.base import FeatureModel, GradientAnomalyModel, Trainable

CPU = torch.device("cpu")
ONE_PASS = ("padim_resnet18", "patchcore_resnet18", "dfm_resnet18", "dfkde_resnet18")
TRAINED = ("stfpm_resnet18", "fre_resnet18", "cfa_resnet18", "rd_resnet18", "autoencoder")
IMAGES = ("efficientad_small",)
MODELS = (*ONE_PASS, *TRAINED, *IMAGES)

# Images seen: enough for the loss to fall, seconds each.
BUDGET = {"stfpm_resnet18": 400, "fre_resnet18": 800, "rd_resnet18": 240, "autoencoder": 400}
SHORT = 48


def quiet(*_):
    pass


def weights_dirs():
    folder = os.environ.get("PROVING_GROUND_TEST_DATA")
    return (Path(folder) / "weights",) if folder else ()


# The file that is here lacks layer 4's convolutions, and no teacher of patches is published.
SCRATCH = ("dfkde_resnet18", "autoencoder", "efficientad_small")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """Makes jobs on surface's smoke texture at 64 pixels, sharing one cache."""
    root = tmp_path_factory.mktemp("zoo")
    device_data = DeviceData()

    def job(name, **changes):
        pretrained = bool(weights_dirs()) and name not in SCRATCH
        settings = Settings("smoke", "cpu", (), weights_dirs(), root, root / "cache", image_size=64)
        case = Case("anomaly_zoo", name, "surface", "woven", "default", pretrained, 0)
        made = Finder(settings, {}).job(case)
        seen = BUDGET.get(name, SHORT)
        return replace(made, protocol=replace(made.protocol, images_seen=seen, **changes))

    def fitted(name, report=quiet, **changes):
        made = job(name, **changes)
        data = device_data.load(made, made.inputs, quiet)
        model = build_model(made)
        features = features_by_split(model, data, made, device_data, Phases(quiet), CPU)
        images, held_out = kept_from_training(data.fit, made.inputs.held_out)
        own = features.get("fit") if held_out is None else None
        training_data = TrainingData(images.images, own, held_out.images if held_out else None)
        trained = train(model, training_data, made, CPU, report)
        made.checkpoint().unlink(missing_ok=True)  # as the case does once its record is safe
        return model, trained, data, made

    return fitted


@pytest.fixture(scope="module", params=MODELS)
def learned(request, ground):
    """A model that has learned, what its fit left, its data and its job."""
    return request.param, *ground(request.param)


def predicted(model, images, batch=16):
    return predict_all(model, images, batch=batch, device=CPU, report=quiet)


def ranking(found):
    return next(iter(found.values()))


def test_the_loss_falls_or_the_fit_ends(learned):
    name, model, trained, data, _ = learned
    predictions = ranking(predicted(model, data.test.images))
    assert predictions.scores.isfinite().all()
    assert predictions.scores.std() > 0
    if name in ONE_PASS:
        assert trained.steps == 0
        assert trained.gather_seconds > 0
    elif name in BUDGET:
        losses = trained.losses
        tenth = max(1, len(losses) // 10)
        assert sum(losses[-tenth:]) < 0.9 * sum(losses[:tenth])


# Of real features of surface's smallest texture at 64 px: chance is .5.
LEAST = {
    "padim_resnet18": 0.75,
    "patchcore_resnet18": 0.75,
    "dfm_resnet18": 0.75,
    "stfpm_resnet18": 0.6,
    "fre_resnet18": 0.7,
    "cfa_resnet18": 0.7,
    "rd_resnet18": 0.65,
}


@pytest.mark.real_data
def test_defects_score_above_normals(learned):
    name, model, _, data, job = learned
    if not job.case.pretrained or name not in LEAST:
        pytest.skip(f"{name} starts from random weights here")
    found = list(predicted(model, data.test.images).values())[-1]
    assert auroc(found.scores, data.test.labels) > LEAST[name]


def test_a_score_is_of_its_own_image_alone(learned):
    _, model, _, data, _ = learned
    images = data.test.images[:12]
    whole, single = predicted(model, images, 12), predicted(model, images, 1)
    for head, together in whole.items():
        torch.testing.assert_close(together.scores, single[head].scores, rtol=1e-4, atol=1e-5)
        if together.maps is not None:
            torch.testing.assert_close(together.maps, single[head].maps, rtol=1e-3, atol=1e-4)


def test_features_at_hand_predict_as_images_do(learned, ground):
    _, model, _, data, job = learned
    if not isinstance(model, FeatureModel):
        pytest.skip("it has no frozen backbone")
    features = features_by_split(model, data, job, DeviceData(), Phases(quiet), CPU)["test"]
    options = {"batch": 16, "device": CPU, "report": quiet}
    known = predict_all(model, data.test.images, features=features, **options)
    for head, found in predict_all(model, data.test.images, **options).items():
        torch.testing.assert_close(found.scores, known[head].scores, rtol=1e-4, atol=1e-5)


def test_a_saved_model_predicts_the_same(learned, tmp_path):
    name, model, _, data, job = learned
    torch.save(model.checkpoint(), tmp_path / "model.pth")
    again = build_model(job)
    again.load_checkpoint(torch.load(tmp_path / "model.pth", weights_only=True))
    images = data.test.images[:8]
    for head, found in predicted(model, images).items():
        assert torch.equal(found.scores, predicted(again, images)[head].scores), name


def test_two_runs_are_equal(learned, ground):
    name, model, trained, data, _ = learned
    other, repeated, _, _ = ground(name)
    assert repeated.losses == trained.losses
    images = data.test.images[:8]
    for head, found in predicted(model, images).items():
        assert torch.equal(found.scores, predicted(other, images)[head].scores)


class Killed(Exception):
    pass


def test_a_killed_training_is_taken_up_where_it_was(learned, ground, monkeypatch):
    name, model, trained, data, _ = learned
    if not trained.steps:
        pytest.skip("one pass has nothing to take up")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def kill(phase, info):
        if phase == "train" and info.get("step") == 2:
            raise Killed

    with pytest.raises(Killed):
        ground(name, kill)
    resumed, after, _, _ = ground(name)
    assert after.resumed_at == 1
    assert after.losses == trained.losses
    images = data.test.images[:8]
    for head, found in predicted(model, images).items():
        assert torch.equal(found.scores, predicted(resumed, images)[head].scores)


def test_gradient_goes_where_the_paper_trains_and_nowhere_else(learned):
    name, model, _, data, _ = learned
    if name in ONE_PASS:
        assert not isinstance(model, GradientAnomalyModel)
        assert not [p for p in model.parameters() if p.requires_grad]
        return
    assert isinstance(model, Trainable)
    model = copy.deepcopy(model)
    model.loss(data.fit.images[:4].float().div(255)).backward()
    chosen = {id(parameter) for parameter in model.trainable_parameters()}
    for parameter_name, parameter in model.named_parameters():
        if id(parameter) not in chosen:
            assert parameter.grad is None, parameter_name
    frozen = getattr(model, "backbone", getattr(model, "teacher", None))
    if frozen is not None:
        assert not any(parameter.requires_grad for parameter in frozen.parameters())
        assert not chosen & {id(parameter) for parameter in frozen.parameters()}
    assert [p for p in model.trainable_parameters() if p.grad is not None]


def test_a_checkpoint_of_another_model_is_refused(learned, ground):
    _, model, _, _, _ = learned
    with pytest.raises(ValueError, match=r"[Ww]anted"):
        model.load_checkpoint({"something": torch.zeros(3)})
