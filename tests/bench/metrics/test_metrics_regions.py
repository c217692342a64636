"""Regions against SciPy's labeling of each image, and their cache on disk."""

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from bench.metrics import region_cache
from bench.metrics.region_cache import cached_regions
from bench.metrics.regions import annotated_regions, label_regions


def masks_of(kind, rng):
    if kind == "noise":
        return rng.random((4, 17, 13)) < rng.choice([0.05, 0.4, 0.7])
    if kind == "full rows":  # rows that end and begin at the edge must not join across it
        masks = np.zeros((3, 6, 5), bool)
        masks[:, ::2] = True
        masks[0, 1, 4] = True
        return masks
    if kind == "corners":
        return np.indices((2, 8, 8)).sum(0) % 2 == 0
    if kind == "edges":  # last row of one image, first row of the next
        masks = np.zeros((3, 4, 4), bool)
        masks[0, -1], masks[1, 0], masks[1, -1, -1], masks[2, 0, 0] = True, True, True, True
        return masks
    return np.full((2, 3, 4), kind == "everything")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "kind", ["noise", "full rows", "corners", "edges", "nothing", "everything"]
)
def test_regions_are_scipys_components(kind, seed):
    masks = masks_of(kind, np.random.default_rng(seed))
    regions = label_regions(torch.from_numpy(masks))
    ours = np.full(masks.size, -1)
    ours[regions.positions.numpy()] = regions.ids.numpy()
    assert np.array_equal(ours.reshape(masks.shape) >= 0, masks)
    assert regions.positions.tolist() == sorted(set(regions.positions.tolist()))
    total = 0
    for image, mask in enumerate(masks):
        theirs, count = label(mask, structure=np.ones((3, 3)))
        mine = ours.reshape(masks.shape)[image][mask]
        pairs = set(zip(mine.tolist(), theirs[mask].tolist(), strict=True))
        assert len(pairs) == count == len(set(mine.tolist()))
        total += count
        at = slice(*regions.offsets[image : image + 2].tolist())
        assert len(regions.ids[at]) == mask.sum()
        assert all(regions.images[regions.ids[at].long()] == image)
    assert regions.count == total
    assert regions.sizes.tolist() == np.bincount(ours[ours >= 0], minlength=total).tolist()


def same(left, right):
    names = ("positions", "ids", "sizes", "images")
    return left.shape == right.shape and all(
        torch.equal(getattr(left, name), getattr(right, name)) for name in names
    )


def test_a_second_look_reads_the_file(tmp_path, monkeypatch):
    masks = torch.from_numpy(masks_of("noise", np.random.default_rng(0)))
    first = cached_regions(masks, tmp_path / "deeper")
    assert same(first, label_regions(masks))
    monkeypatch.setattr(region_cache, "connected_runs", None)
    assert same(cached_regions(masks.to(torch.uint8) * 255, tmp_path / "deeper"), first)
    with pytest.raises(TypeError):  # other content, other file
        cached_regions(~masks, tmp_path / "deeper")
    with pytest.raises(TypeError):  # the same bits in another shape
        cached_regions(masks.reshape(4, 13, 17), tmp_path / "deeper")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_labeled_anew(tmp_path, damage):
    masks = torch.from_numpy(masks_of("noise", np.random.default_rng(1)))
    whole = cached_regions(masks, tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    at = content.find(b"NUMPY") + 200
    content[at] ^= 1
    broken = {"cut": content[:300], "flipped": content, "empty": b"", "other": b"{}"}[damage]
    file.write_bytes(broken)
    assert same(cached_regions(masks, tmp_path), whole)
    assert file.read_bytes() != bytes(broken)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    masks = torch.ones(1, 2, 2).bool()
    assert same(cached_regions(masks, tmp_path / "file"), label_regions(masks))


def test_annotated_regions_may_overlap():
    left, right = torch.zeros(2, 3, 4).bool()
    left[0, :3], right[0, 2:] = True, True
    regions = annotated_regions((2, 3, 4), [(1, right), (0, right), (1, left)])
    assert regions.images.tolist() == [0, 1, 1]
    assert regions.sizes.tolist() == [2, 2, 3]
    assert regions.positions.tolist() == [2, 3, 14, 15, 12, 13, 14]
    assert regions.ids.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert regions.offsets.tolist() == [0, 2, 7]


@pytest.mark.parametrize(
    ("image", "mask"), [(0, torch.zeros(3, 4)), (2, torch.ones(3, 4)), (0, torch.ones(4, 3))]
)
def test_annotations_that_do_not_fit_are_errors(image, mask):
    with pytest.raises(ValueError, match="at least one pixel"):
        annotated_regions((2, 3, 4), [(image, mask.bool())])


def test_masks_must_be_three_dimensional():
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        label_regions(torch.ones(3, 4).bool())
