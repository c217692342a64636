"""What models compute differently while they are exported has the same result."""

import model_driver as driver
import pytest
import torch


@pytest.mark.parametrize("name", ["patchcore_resnet18", "cfa_resnet18", "dfkde_resnet18"])
def test_predictions_agree_while_exporting(name, monkeypatch):
    torch.manual_seed(0)
    model = driver.fit(driver.make(name), driver.pictures(24 if "dfkde" in name else 6, 1))
    images = driver.pictures(3, 2)
    usual = driver.predict(model, images)["score"]
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    exported = driver.predict(model, images)["score"]
    torch.testing.assert_close(exported.scores, usual.scores, rtol=1e-5, atol=1e-5)
    if usual.maps is not None:
        torch.testing.assert_close(exported.maps, usual.maps, rtol=1e-5, atol=1e-5)
