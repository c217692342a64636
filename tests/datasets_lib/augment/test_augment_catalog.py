"""Every augmentation: a sample's result does not depend on its batch and keeps its layout."""

import pytest
import torch
from torchvision.transforms import v2

from datasets_lib.augment import catalog
from datasets_lib.augment.augmentation import Sequence
from datasets_lib.augment.catalog import (
    AUGMENTATIONS,
    AugmentationEntry,
    UnknownAugmentationError,
    build,
    find,
    names,
    register_augmentation,
)
from datasets_lib.augment.color_jitter import ColorJitter
from datasets_lib.augment.mixing import CutMix, MixUp
from datasets_lib.augment.rand_augment import RandAugment
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.torchvision_transform import waits_for_device
from datasets_lib.augment.warp import Rotation

COUNT, SIZE = 12, 20
MIXING = {"mixup", "cutmix"}
NAMED = [(task, name) for task in ("classification", "anomaly") for name in names(task)]
OF_A_SAMPLE = [pair for pair in NAMED if pair[1] not in MIXING]
INDEX = torch.randperm(1000, generator=torch.Generator().manual_seed(1))[:COUNT]


def built(task, name):
    return build(task, name, **({"classes": 10} if name in MIXING else {}))


def pixels(dtype=torch.uint8, form=torch.channels_last):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, 3, SIZE, SIZE), generator=generator)
    images = images.to(torch.uint8) if dtype == torch.uint8 else images.to(dtype) / 255
    return images.contiguous(memory_format=form)


def targets_for(task):
    if task == "classification":
        return torch.arange(COUNT) % 10
    generator = torch.Generator().manual_seed(2)
    return torch.rand(COUNT, SIZE, SIZE, generator=generator) > 0.7


def assert_of_a_sample(function, images, targets):
    """The whole batch equals its concatenated thirds, and each sample is the same in any order."""
    whole = function(images, targets, RandomStreams(INDEX, seed=9, epoch=1))
    for parts in (
        [torch.arange(0, 4), torch.arange(4, 5), torch.arange(5, COUNT)],
        [torch.randperm(COUNT, generator=torch.Generator().manual_seed(3))],
    ):
        for step, part in enumerate(parts):
            some = function(images[part], targets[part], RandomStreams(INDEX[part], 9, 1, step))
            for found, wanted in zip(some, whole, strict=True):
                assert torch.equal(found, wanted[part])
    other = function(images, targets, RandomStreams(INDEX, seed=9, epoch=2))
    return whole, other


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("task", "name"), OF_A_SAMPLE)
def test_results_do_not_depend_on_the_split_or_the_order(task, name, dtype):
    images, targets = pixels(dtype), targets_for(task)
    before = images.clone()
    whole, other = assert_of_a_sample(built(task, name), images, targets)
    assert torch.equal(images, before)
    is_none = "none" in (name, find(task, name).title)
    assert torch.equal(whole[0], images) == is_none
    assert torch.equal(whole[0], other[0]) == is_none


@pytest.mark.parametrize("mixing", [MixUp, CutMix])
def test_shares_of_samples_do_not_depend_on_the_split(mixing):
    # The partner is drawn for the batch; what a sample keeps of itself is not.
    def kept(images, targets, streams):
        labels = torch.arange(len(images))
        _, soft = mixing(len(images), per_sample=True)(images, labels, streams)
        alone = soft.diagonal() == 1  # its own partner
        return torch.where(alone, torch.nan, soft.diagonal())

    whole = kept(pixels(), None, RandomStreams(INDEX, 9))
    half = kept(pixels()[:6], None, RandomStreams(INDEX[:6], 9))
    both = ~(whole[:6].isnan() | half.isnan())
    assert both.sum() >= 2
    assert torch.allclose(whole[:6][both], half[both])


@pytest.mark.parametrize(
    ("dtype", "form"),
    [
        (torch.uint8, torch.channels_last),
        (torch.float32, torch.contiguous_format),
        (torch.float64, torch.channels_last),
    ],
)
@pytest.mark.parametrize(("task", "name"), NAMED)
def test_dtype_and_memory_format_stay(task, name, dtype, form):
    images, targets = pixels(dtype, form), targets_for(task)
    result, after = built(task, name)(images, targets, RandomStreams(INDEX, 0))
    becomes_float = dtype == torch.uint8 and name.startswith("mixup")
    assert result.dtype == (torch.float32 if becomes_float else dtype)
    assert result.is_contiguous(memory_format=form)
    assert result.shape == images.shape
    assert after.shape == ((COUNT, 10) if name in MIXING else targets.shape)
    if result.is_floating_point():
        assert result.min() >= 0
        assert result.max() <= 1


@pytest.mark.parametrize("part", [Rotation(), ColorJitter(), RandAugment()])
def test_repeating_gives_the_same_and_parts_of_a_sequence_differ(part):
    twice = Sequence((part, part))
    images = pixels()
    first, _ = twice(images, None, RandomStreams(INDEX, 1))
    again, _ = twice(images, None, RandomStreams(INDEX, 1))
    assert torch.equal(first, again)
    once, _ = part(images, None, RandomStreams(INDEX, 1).fold_in("part 0"))
    same_again, _ = part(once, None, RandomStreams(INDEX, 1).fold_in("part 0"))
    assert not torch.equal(first, same_again)


@pytest.mark.parametrize(
    ("task", "name", "words"),
    [
        ("classification", "cutmx", "Did you mean 'cutmix'"),
        ("anomaly", "colour_jitter", "Did you mean 'color_jitter'"),
        ("anomaly", "mixup", "It belongs to classification"),
        ("anomaly", "xyz", "Choose from none, default"),
    ],
)
def test_unknown_name_suggests_the_closest(task, name, words):
    with pytest.raises(UnknownAugmentationError, match=words):
        build(task, name)


@pytest.fixture
def registry(monkeypatch):
    """The registry of augmentations, restored after the test."""
    before = dict(catalog._AUGMENTATIONS)
    yield
    catalog._AUGMENTATIONS.clear()
    catalog._AUGMENTATIONS.update(before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomAffine(45, translate=(0.2, 0.2)),
        v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(0.3, 0.3)]),
    ],
    ids=["affine", "compose"],
)
def test_a_torchvision_transform_is_one_registration(registry, transform, dtype):
    register_augmentation(AugmentationEntry("own", "own", lambda: transform))
    assert "own" in AUGMENTATIONS
    assert all("own" in names(task) for task in ("anomaly", "classification"))
    augmentation = build("anomaly", "own", classes=10)
    images, masks = pixels(dtype), targets_for("anomaly")
    state = torch.get_rng_state()
    whole, other = assert_of_a_sample(augmentation, images, masks)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(whole[0], other[0])
    assert whole[0].is_contiguous(memory_format=torch.channels_last)
    _, labels = augmentation(images, torch.arange(COUNT), RandomStreams(INDEX, 9))
    assert torch.equal(labels, torch.arange(COUNT))


def test_transforms_of_torchvisions_wait_for_the_device_and_ours_do_not(registry):
    assert not any(waits_for_device(built(task, name)) for task, name in NAMED)
    register_augmentation(AugmentationEntry("own", "own", lambda: v2.GaussianBlur(3)))
    blur, flips = build("anomaly", "own"), build("anomaly", "flips")
    assert waits_for_device(blur)
    assert waits_for_device(Sequence((flips, Sequence((flips, blur)))))


def test_masks_move_with_the_images_of_a_torchvision_transform(registry):
    flip = v2.RandomHorizontalFlip(0.5)
    register_augmentation(AugmentationEntry("own", "own", lambda: flip, ("anomaly",)))
    masks = targets_for("anomaly")
    images = masks[:, None].expand(-1, 3, -1, -1).to(torch.uint8) * 255
    flipped, moved = build("anomaly", "own")(images, masks, RandomStreams(INDEX, 0))
    assert moved.dtype == torch.bool
    assert torch.equal(flipped[:, 0] == 255, moved)
    turned = (moved == masks.flip(2)).flatten(1).all(1)
    assert torch.equal(turned, ~(moved == masks).flatten(1).all(1))
    assert 0 < turned.sum() < COUNT


def test_a_function_of_other_parameters_is_refused(registry):
    def dim(images, targets, rng):
        return images, targets

    register_augmentation(AugmentationEntry("own", "Dimmed", lambda: dim))
    with pytest.raises(TypeError, match=r"\(images, targets, rng\): wanted .*streams"):
        build("anomaly", "own")


def test_a_transform_that_changes_the_shape_is_refused(registry):
    register_augmentation(AugmentationEntry("own", "own", lambda: v2.CenterCrop(8)))
    with pytest.raises(ValueError, match="same shape"):
        build("anomaly", "own")(pixels(), None, RandomStreams(INDEX, 0))


@pytest.mark.parametrize(
    ("name", "words"), [("flips", "flips both ways.*twice"), ("Flips", "lower-case")]
)
def test_names_are_checked(registry, name, words):
    with pytest.raises(ValueError, match=words):
        register_augmentation(AugmentationEntry(name, "twice", "builtins:print"))


@pytest.mark.gpu
@pytest.mark.parametrize(("task", "name"), NAMED)
def test_cuda_gives_the_same_without_waiting_for_the_device(no_waiting, task, name):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    function = built(task, name)
    wanted, _ = function(pixels(), targets_for(task), RandomStreams(INDEX, 3))
    images, targets, index = (t.cuda() for t in (pixels(), targets_for(task), INDEX))
    with no_waiting():
        found, _ = function(images, targets, RandomStreams(index, 3))
    difference = (found.cpu().float() - wanted.float()).abs()
    level = 1 / 255 if wanted.is_floating_point() else 1
    # Sines and roundings differ in their last bit: a few pixels by one level.
    assert (difference > 1.01 * level).float().mean() < 0.005
