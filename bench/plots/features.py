"""Plot penultimate features in two dimensions, by PCA and by t-SNE, colored by class."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plots.style import INK, new_figure, save, tidy, write_title

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_MAX_COLORS = 10
"""Maximum number of colored classes; more could not be distinguished."""

_COMPONENTS = 50
"""Number of principal components passed to t-SNE, as its authors recommend."""

_PERPLEXITY = 30.0
_MIN_IMAGES = 10


def plot_features(
    features: "np.ndarray",
    labels: "np.ndarray",
    classes: Sequence[str],
    colored: Sequence[int],
    path: Path,
    title: str,
) -> Path | None:
    """Draw the features of test images.

    Args:
        features: (N, D) inputs of the last layer.
        labels: (N,) true classes.
        classes: Names of the classes.
        colored: Classes to color, at most ten; all others are gray.
        path: PNG to write.
        title: Title above the plot.

    Returns:
        The path; None if there are fewer than ten images, or their features do not vary.

    Raises:
        OSError: The file could not be written.
    """
    import numpy as np

    values = np.asarray(features, dtype=np.float64)
    if len(values) < _MIN_IMAGES or not np.ptp(values, axis=0).any():
        return None
    chosen = list(colored)[:_MAX_COLORS]
    components, shares = _pca(values)
    figure = new_figure(10.4, 5.4)
    left, right = figure.subplots(1, 2)
    _scatter(left, components[:, :2], labels, chosen)
    left.set_xlabel(f"first component ({100 * shares[0]:.0f} % of variance)", fontsize=9)
    left.set_ylabel(f"second component ({100 * shares[1]:.0f} %)", fontsize=9)
    left.set_title("PCA", fontsize=9, loc="left", color=INK)
    _scatter(right, _tsne(components), labels, chosen)
    right.set_xticklabels([])
    right.set_yticklabels([])
    right.set_title("t-SNE (distances between groups mean little)", fontsize=9, loc="left")
    figure.legend(
        handles=_legend(chosen, classes),
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=8,
    )
    write_title(figure, title)
    return save(figure, path)


def _pca(features: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    from sklearn.decomposition import PCA

    count = max(2, min(_COMPONENTS, *features.shape))
    pca = PCA(count, svd_solver="full")
    return pca.fit_transform(features), pca.explained_variance_ratio_


def _tsne(components: "np.ndarray") -> "np.ndarray":
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(components) - 1) / 3)
    embedded: np.ndarray = TSNE(
        perplexity=perplexity, init="pca", max_iter=500, random_state=0
    ).fit_transform(components)
    return embedded


def _scatter(
    axes: "Axes", places: "np.ndarray", labels: "np.ndarray", chosen: Sequence[int]
) -> None:
    import numpy as np

    tidy(axes)
    others = ~np.isin(labels, chosen)
    axes.scatter(places[others, 0], places[others, 1], s=6, color="#CFCFCF", linewidths=0)
    for color, label in zip(_palette(), chosen, strict=False):
        own = places[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=10, color=color, linewidths=0)


def _legend(chosen: Sequence[int], classes: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4}
    handles = [
        Line2D([], [], **dot, color=color, label=classes[label])
        for color, label in zip(_palette(), chosen, strict=False)
    ]
    if len(classes) > len(chosen):
        rest = f"the other {len(classes) - len(chosen)} classes"
        handles.append(Line2D([], [], **dot, color="#CFCFCF", label=rest))
    return handles


def _palette() -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["tab10"](place) for place in range(_MAX_COLORS)]
