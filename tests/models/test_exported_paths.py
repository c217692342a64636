"""What models compute differently while they are exported has the same result."""

import model_driver as driver
import pytest
import torch

from bench.checkpoint.metadata import Preprocessing
from bench.export.graph import ExportedModel
from bench.export.write import trace

NAMES = ("patchcore_resnet18", "cfa_resnet18", "dfkde_resnet18")


def fitted(name):
    torch.manual_seed(0)
    return driver.fit(driver.make(name), driver.pictures(24 if "dfkde" in name else 6, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_programs_take_any_number_of_images(name):
    side = driver.SIDE
    model = ExportedModel(fitted(name), Preprocessing(side, side), "score", any_size=False)
    images = (driver.pictures(3, 2) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    program = trace(model, images).module()
    with torch.no_grad():
        for count in (1, 3):
            found, wanted = program(images[:count]), model(images[:count])
            torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_agree_while_exporting(name, monkeypatch):
    model, images = fitted(name), driver.pictures(3, 2)
    usual = driver.predict(model, images)["score"]
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    exported = driver.predict(model, images)["score"]
    torch.testing.assert_close(exported.scores, usual.scores, rtol=1e-5, atol=1e-5)
    if usual.maps is not None:
        torch.testing.assert_close(exported.maps, usual.maps, rtol=1e-5, atol=1e-5)
