"""What an augmentation returns is checked before it trains a model."""

import pytest
import torch

from datasets_lib.augment.augmentation import check_augmented

IMAGES = torch.full((2, 3, 4, 4), 200, dtype=torch.uint8)


@pytest.mark.parametrize("images", [IMAGES, IMAGES / 255, torch.zeros(2, 3, 2, 2)])
def test_images_of_the_batch_pass(images):
    assert check_augmented((images, None), IMAGES) is images


@pytest.mark.parametrize(
    ("result", "keyword"),
    [
        (IMAGES, "pair"),
        ((IMAGES, None, None), "pair"),
        ((IMAGES[:1], None), "shape"),
        ((IMAGES * 0.8, None), "Divide by 255"),
        ((IMAGES.double() / 255, None), "float64: wanted uint8, or float32"),
    ],
)
def test_other_results_are_refused(result, keyword):
    with pytest.raises(TypeError, match=keyword):
        check_augmented(result, IMAGES)
