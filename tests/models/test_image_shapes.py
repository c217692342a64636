"""Every kind of model on rectangles, and on sizes that it may refuse but not crash on."""

import inspect

import model_driver as driver
import pytest

from models.catalog import MODELS
from models.components.errors import ImageSizeError

RECTANGLE, ODD = (64, 96), (70, 91)
LIGHT = ("resnet18", "deit_tiny", "small", "plain")


def kinds():
    """Return one name per function that builds models, of the lightest weights."""
    by_build = {}
    for name, entry in MODELS.items():
        if entry.task == "anomaly" and "wide" not in (entry.weights or ""):
            known = by_build.get(entry.build)
            if known is None or (name.endswith(LIGHT) and not known.endswith(LIGHT)):
                by_build[entry.build] = name
    return sorted({*by_build.values(), "fastflow_deit", "fastflow_cait", "uflow_mcait"})


def fitted(name, size):
    sized = "image_size" in inspect.signature(MODELS[name].load_build()).parameters
    model = driver.make(name, **({"image_size": size} if sized else {}))
    count = 24 if name.startswith("dfkde") else 6
    images = driver.pictures(count, 1, size)
    held_out = driver.pictures(2, 4, size) if MODELS[name].holds_out else None
    fields = driver.training_fields(name, images[:2])
    return driver.fit(model, images, held_out=held_out, steps=1, **fields)


@pytest.mark.slow
@pytest.mark.parametrize("name", kinds())
def test_rectangles_give_rectangular_maps(name):
    predictions = driver.predict(fitted(name, RECTANGLE), driver.pictures(2, 2, RECTANGLE))
    for prediction in predictions.values():
        assert prediction.scores.isfinite().all()
        assert prediction.maps is None or prediction.maps.shape == (2, *RECTANGLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", kinds())
def test_other_sizes_are_taken_or_refused_in_words_when_a_fit_begins(name):
    try:
        model = fitted(name, ODD)
    except ImageSizeError:  # and nothing else
        return
    for prediction in driver.predict(model, driver.pictures(2, 2, ODD)).values():
        assert prediction.scores.isfinite().all()
        assert prediction.maps is None or prediction.maps.shape == (2, *ODD)
