import numpy as np
import pytest
import scipy.stats
import sklearn.decomposition
import torch
from model_driver import features_batch, gather_features

from models.dfkde import build

SIZE = (64, 64)
CHANNELS = 512  # of resnet18's layer 4


def make(seed=0, **options):
    torch.manual_seed(seed)
    return build(weights="resnet18.tv_in1k", state=None, **options)


def features_of(count, seed):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(0.5, -1, CHANNELS)[:, None, None]
    return 2 + spread * torch.randn(count, CHANNELS, 2, 3, generator=generator)


def scores(model, features):
    return model.predict(features_batch(features, SIZE))["score"].scores


def reference(train, test, components=16):
    """Minus the log density by scikit-learn and SciPy in float64."""
    x, y = (f.double().numpy().mean(axis=(2, 3)) for f in (train, test))
    pca = sklearn.decomposition.PCA(components, svd_solver="full").fit(x)
    scale = np.linalg.norm(pca.transform(x), axis=1).max()
    kde = scipy.stats.gaussian_kde((pca.transform(x) / scale).T, bw_method="scott")
    return -kde.logpdf((pca.transform(y) / scale).T)


@pytest.mark.parametrize(("count", "components"), [(40, 16), (600, 16), (17, 16), (40, 3)])
def test_score_is_the_negative_log_density(count, components):
    train, test = features_of(count, 1), features_of(9, 2)
    model = gather_features(make(components=components), train)
    prediction = model.predict(features_batch(test, SIZE))["score"]
    assert prediction.maps is None
    assert prediction.scores.dtype == torch.float32
    np.testing.assert_allclose(
        prediction.scores.numpy(), reference(train, test, components), rtol=1e-3, atol=1e-2
    )


def test_with_few_images_there_are_fewer_components():
    train, test = features_of(8, 1), features_of(9, 2)
    model = gather_features(make(), train)
    assert len(model.pca.components) == 7
    np.testing.assert_allclose(
        scores(model, test).numpy(), reference(train, test, 7), rtol=1e-3, atol=1e-2
    )


def test_large_training_sets_are_subsampled():
    train, test = features_of(60, 1), features_of(5, 2)
    torch.manual_seed(3)
    model = gather_features(make(max_samples=30), train)
    assert len(model.kde.samples) == 30
    make()
    drawn = torch.randperm(60)[:30]
    np.testing.assert_allclose(
        scores(model, test).numpy(), reference(train[drawn], test), rtol=1e-3, atol=1e-2
    )


def test_weights_without_the_last_layer_are_refused():
    state = {n: t for n, t in whole_state().items() if not n.startswith("layer4.1")}
    with pytest.raises(ValueError, match=r"are missing, such as layer4\.1"):
        build(weights="resnet18.tv_in1k", state=state)
    assert build(weights="resnet18.tv_in1k", state=whole_state()).backbone.layers == (4,)


def whole_state():
    import timm

    return timm.create_model("resnet18").state_dict()
