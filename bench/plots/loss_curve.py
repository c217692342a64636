"""Draw a training loss with its running median."""

from typing import TYPE_CHECKING

from bench.plots.style import BLUE
from bench.record import Record

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_MIN_LOG_RATIO = 20.0
"""Ratio of largest to smallest loss above which the scale is logarithmic."""


def draw_loss(axes: "Axes", record: Record, per_epoch: float | None = None) -> None:
    """Draw the training loss of a record over images seen.

    Args:
        axes: Axes to draw on.
        record: Record with a curve.
        per_epoch: Images per epoch, to draw over epochs instead.
    """
    import numpy as np

    seen, loss = np.asarray(record.curve, dtype=np.float64).T
    if per_epoch is not None:
        seen = seen / per_epoch
    window = max(1, len(loss) // 25)
    if window > 1:
        axes.plot(seen, loss, color=BLUE, alpha=0.3, linewidth=0.8, label="loss")
    smooth = _running_median(loss, window)
    label = f"running median of {2 * window - 1} points" if window > 1 else "loss"
    axes.plot(seen, smooth, color=BLUE, linewidth=1.8, label=label)
    finite = smooth[np.isfinite(smooth) & (smooth > 0)]
    if finite.size == smooth.size and finite.max() > _MIN_LOG_RATIO * finite.min():
        axes.set_yscale("log")
    axes.annotate(
        f"{smooth[-1]:.3g}",
        (seen[-1], smooth[-1]),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=BLUE,
    )


def _running_median(values: "np.ndarray", window: int) -> "np.ndarray":
    """Return the median over each value and its ``window - 1`` neighbors on either side."""
    import numpy as np

    return np.array(
        [np.median(values[max(0, i - window + 1) : i + window]) for i in range(len(values))]
    )
