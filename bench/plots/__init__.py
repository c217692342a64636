"""Pictures of one run and of many; each returns the path it wrote."""

from bench.plots.attribution import Attributed, attribution_picture
from bench.plots.confusion import confusion_picture, most_confused
from bench.plots.errors import worst_errors
from bench.plots.features import feature_picture
from bench.plots.leaderboard import leaderboard_picture
from bench.plots.run_plots import learning_curve, score_histogram
from bench.plots.training import all_dataset_curves, dataset_curves, training_curves

__all__ = [
    "Attributed",
    "all_dataset_curves",
    "attribution_picture",
    "confusion_picture",
    "dataset_curves",
    "feature_picture",
    "leaderboard_picture",
    "learning_curve",
    "most_confused",
    "score_histogram",
    "training_curves",
    "worst_errors",
]
