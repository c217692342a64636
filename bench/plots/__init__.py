"""Plots of one run and of many; each function returns the path it wrote."""

from bench.plots.attribution import AttributedImage, plot_attributions
from bench.plots.confusion import most_confused, plot_confusion
from bench.plots.errors import normal_scale, plot_errors
from bench.plots.features import plot_features
from bench.plots.image_panels import Panels, draw_image_panels
from bench.plots.leaderboard import leaderboard_picture
from bench.plots.run_plots import plot_learning_curve, plot_scores
from bench.plots.training import all_dataset_curves, dataset_curves, training_curves

__all__ = [
    "AttributedImage",
    "Panels",
    "all_dataset_curves",
    "dataset_curves",
    "draw_image_panels",
    "leaderboard_picture",
    "most_confused",
    "normal_scale",
    "plot_attributions",
    "plot_confusion",
    "plot_errors",
    "plot_features",
    "plot_learning_curve",
    "plot_scores",
    "training_curves",
]
