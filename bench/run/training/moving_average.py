"""The moving average of a model, in its own module because timm takes seconds to import."""

from timm.utils.model_ema import ModelEmaV3


class MovingAverage(ModelEmaV3):
    """The moving average of a model, evaluated in place of the last parameters."""

    def get_decay(self, step: int | None = None) -> float:
        """Return the decay of an update, counted from 0.

        It starts small, so that even a short training forgets the random initialization.
        """
        assert step is not None
        return min(self.decay, (1 + step) / (10 + step))
