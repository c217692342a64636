"""Two halves of the test images: one to choose an ensemble on, the other to report it on."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from datasets_lib.layouts.split import hash_key, prefix_of


def selection_half(names: Sequence[str], labels: Sequence[bool], prefix: str = "") -> Tensor:
    """Return ``(N,)`` booleans: images on which ensembles are chosen; the others report.

    In the order of the hashes of their names, images go to the half that has fewer of their label,
    so that the halves differ by at most one image of each label, whatever the order of the images.

    Args:
        names: Names of the test images.
        labels: Whether each is defective.
        prefix: Regular expression of the start of a file name; images of one prefix stay in one
            half, see `prefix_of`. Empty puts every image in a group of its own.

    Example:
        >>> selection_half(["a", "b", "c", "d"], [False, False, True, True]).sum().item()
        2
    """
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        group = prefix_of(name.rpartition("/")[2], prefix)
        groups.setdefault(group or name, []).append(row)
    chosen = torch.zeros(len(names), dtype=torch.bool)
    surplus: Counter[bool] = Counter()  # images of a label in the first half minus the second
    for rows in (groups[group] for group in sorted(groups, key=hash_key)):
        counts = Counter(bool(labels[row]) for row in rows)
        first = sum(count * surplus[label] for label, count in counts.items()) <= 0
        chosen[rows] = first
        for label, count in counts.items():
            surplus[label] += count if first else -count
    return chosen
