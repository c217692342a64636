import copy
import io

import numpy as np
import pytest
import scipy.stats
import sklearn.decomposition
import torch

from models.catalog import MODELS
from models.components.base import FeatureModel, StatisticalModel
from models.dfkde import build

SIZE = (64, 64)
CHANNELS = 512  # of resnet18's layer 4


def make(seed=0, **options):
    torch.manual_seed(seed)
    return build(weights="resnet18.tv_in1k", state=None, **options)


def pictures(count, seed):
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def features_of(count, seed):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(0.5, -1, CHANNELS)[:, None, None]
    return 2 + spread * torch.randn(count, CHANNELS, 2, 3, generator=generator)


def fit(model, features, cuts=16):
    with torch.no_grad():
        for batch in features.split(cuts):
            model.update_features([batch])
        model.compute()
    return model


def scores(model, features):
    return model.predict_of_features([features], SIZE)["score"].scores


def reference(train, test, components=16):
    """Minus the log density by scikit-learn and SciPy in float64."""
    x, y = (f.double().numpy().mean(axis=(2, 3)) for f in (train, test))
    pca = sklearn.decomposition.PCA(components, svd_solver="full").fit(x)
    scale = np.linalg.norm(pca.transform(x), axis=1).max()
    kde = scipy.stats.gaussian_kde((pca.transform(x) / scale).T, bw_method="scott")
    return -kde.logpdf((pca.transform(y) / scale).T)


def test_offers_the_interface():
    assert isinstance(make(), StatisticalModel)
    assert isinstance(make(), FeatureModel)


@pytest.mark.parametrize(("count", "components"), [(40, 16), (600, 16), (17, 16), (40, 3)])
def test_score_is_the_negative_log_density(count, components):
    train, test = features_of(count, 1), features_of(9, 2)
    model = fit(make(components=components), train)
    prediction = model.predict_of_features([test], SIZE)["score"]
    assert prediction.maps is None
    assert prediction.scores.dtype == torch.float32
    np.testing.assert_allclose(
        prediction.scores.numpy(), reference(train, test, components), rtol=1e-3, atol=1e-2
    )


def test_with_few_images_there_are_fewer_components():
    train, test = features_of(8, 1), features_of(9, 2)
    model = fit(make(), train)
    assert len(model.pca.components) == 7
    np.testing.assert_allclose(
        scores(model, test).numpy(), reference(train, test, 7), rtol=1e-3, atol=1e-2
    )


def test_of_images_is_that_of_their_features():
    train, test = pictures(6, 1), pictures(3, 2)
    model, other = make(), make()
    with torch.no_grad():
        model.update(train[:4])
        model.update(train[4:])
        model.compute()
    fit(other, other.backbone(train)[0])
    torch.testing.assert_close(
        model.predict(test)["score"].scores,
        scores(other, other.backbone(test)[0]),
        rtol=1e-3,
        atol=1e-3,
    )


def test_far_images_are_told_apart():
    # Their density is zero in float32, so that a probability made of it is one for all.
    train = features_of(40, 1)
    model = fit(make(), train)
    far = train[:1] * torch.tensor([1.0, 10.0, 20.0, 40.0]).view(-1, 1, 1, 1)
    assert (scores(model, far).diff() > 100).all()


def test_of_many_images_some_are_drawn():
    train, test = features_of(60, 1), features_of(5, 2)
    torch.manual_seed(3)
    model = fit(make(most=30), train)
    assert len(model.kde.samples) == 30
    make()
    drawn = torch.randperm(60)[:30]
    np.testing.assert_allclose(
        scores(model, test).numpy(), reference(train[drawn], test), rtol=1e-3, atol=1e-2
    )


def test_cutting_into_batches_changes_nothing_but_rounding():
    train, test = features_of(40, 1), features_of(5, 2)
    one, other = (scores(fit(make(), train, cuts), test) for cuts in (1, 40))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_two_equal_runs_are_equal():
    train, test = features_of(60, 1), features_of(5, 2)
    one, other = (scores(fit(make(most=30), train), test) for _ in range(2))
    assert torch.equal(one, other)


def test_a_score_does_not_depend_on_its_batch():
    model, test = fit(make(), features_of(40, 1)), features_of(30, 2)
    alone = torch.cat([scores(model, one[None]) for one in test])
    torch.testing.assert_close(scores(model, test), alone, rtol=1e-5, atol=1e-4)


def test_features_and_backbone_are_left_alone():
    model = make()
    before = {name: t.clone() for name, t in model.backbone.state_dict().items()}
    train = features_of(40, 1)
    kept = train.clone()
    scores(fit(model, train), train)
    assert torch.equal(train, kept)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_saved_model_predicts_the_same():
    model, test = fit(make(), features_of(40, 1)), features_of(5, 2)
    file = io.BytesIO()
    torch.save(model.checkpoint(), file)
    file.seek(0)
    loaded = make()
    loaded.load_checkpoint(torch.load(file, weights_only=True))
    with torch.inference_mode():
        assert torch.equal(scores(loaded, test), scores(model, test))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pca.mean": torch.zeros(2048)}, r"'pca.mean' of shape \(channels = 512\), found \(2048,"),
        ({"kde.samples": torch.zeros(9, 4)}, r"images, components = 16\), found \(9, 4\)"),
        ({"kde.whitening": torch.zeros(16, 4)}, r"'kde.whitening' of shape .* found \(16, 4\)"),
        ({"scale": torch.zeros(1)}, r"'scale' of shape \(\), found \(1,\)"),
        ({"kde.log_norm": None}, "a tensor 'kde.log_norm'"),
    ],
)
def test_another_models_checkpoint_is_refused(change, message):
    model = fit(make(), features_of(40, 1))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=f"checkpoint of another model: wanted .*{message}"):
        model.load_checkpoint(model.checkpoint() | change)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_an_unfinished_models_checkpoint_is_refused():
    model = make()
    with pytest.raises(ValueError, match=r"'pca\.mean' of shape"):
        model.load_checkpoint(model.checkpoint())


def test_an_unfinished_model_says_so():
    model = make()
    model.update(pictures(2, 1))
    with pytest.raises(RuntimeError, match=r"no density yet: .* call finish\(\)"):
        model.predict(pictures(1, 2))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count):
    model = make()
    if count:
        model.update(pictures(1, 1))
    with pytest.raises(ValueError, match=f"at least two images: found {count}"):
        model.compute()


def test_weights_without_the_last_layer_are_refused():
    state = {n: t for n, t in whole_state().items() if not n.startswith("layer4.1")}
    with pytest.raises(ValueError, match=r"tensors are missing, such as layer4\.1"):
        build(weights="resnet18.tv_in1k", state=state)
    assert build(weights="resnet18.tv_in1k", state=whole_state()).backbone.layers == (4,)


def whole_state():
    import timm

    return timm.create_model("resnet18").state_dict()


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="Unknown weights 'resnet18'"):
        build(weights="resnet18", state=None)


@pytest.mark.parametrize("name", ["dfkde", "dfkde_resnet18"])
def test_the_catalogs_options_fit(name):
    model = build(weights="resnet18.tv_in1k", state=None, **MODELS[name].options)
    assert model.backbone.layers == MODELS[name].layers
