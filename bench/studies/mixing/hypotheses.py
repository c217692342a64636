"""Study 2's hypotheses, tested on a table of top-1 values.

H1: ResNet gains more from CutMix than ViT does. H2: ViT gains more from MixUp than ResNet does.
H3: pretraining does not change H1 and H2. A gain is top-1 with the augmentation minus without.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from bench.aggregate.language import say
from bench.studies.mixing.contrasts import Contrast, Weights, contrast
from bench.studies.mixing.points import Outcomes, Point

HOLDS, REVERSED, NOT_SHOWN = "holds", "reversed", "not shown"
CHANGED, UNCHANGED = "contradicted", "no change shown"
UNTESTED, ABSENT = "not tested over seeds", "not tested (runs are missing)"


@dataclass(frozen=True)
class Hypothesis:
    """The claim that a model gains more from an augmentation than another model.

    Attributes:
        name: ``H1`` or ``H2``.
        augmentation: Augmentation whose gain is compared.
        gainer: Model that is claimed to gain more.
        other: Model it is compared with.
    """

    name: str
    augmentation: str
    gainer: str
    other: str

    @property
    def text(self) -> str:
        """Return the claim in words."""
        title = {"mixup": "MixUp", "cutmix": "CutMix"}[self.augmentation]
        text = "{gainer} gains more from {title} than {other} does"
        return say(text, gainer=self.gainer, title=title, other=self.other)

    def weights(self, dataset: str, *, pretrained: bool, sign: int = 1) -> dict[Point, int]:
        """Return the difference of differences that is above zero if the claim holds."""
        return {
            Point(dataset, model, augmentation, pretrained): sign * of_model * of_augmentation
            for model, of_model in ((self.gainer, 1), (self.other, -1))
            for augmentation, of_augmentation in ((self.augmentation, 1), ("default", -1))
        }


@dataclass(frozen=True)
class Answer:
    """The answer to a hypothesis on a dataset.

    Attributes:
        hypothesis: ``H1``, ``H2``; ``H3, H1`` for the change of H1 with pretraining.
        init: ``pretrained``, ``scratch`` or, for H3, ``pretrained − scratch``.
        contrast: The difference; None if a run is missing.
        verdict: Verdict in words.
        flips: For H3: whether the sign of the difference changes with pretraining.
    """

    hypothesis: str
    dataset: str
    init: str
    contrast: Contrast | None
    verdict: str
    flips: bool = False


def hypotheses(resnet: str, vit: str) -> tuple[Hypothesis, Hypothesis]:
    """Return H1 and H2 for a pair of models."""
    return Hypothesis("H1", "cutmix", resnet, vit), Hypothesis("H2", "mixup", vit, resnet)


def cell_answers(hypothesis: Hypothesis, outcomes: Outcomes) -> list[Answer]:
    """Return H1's or H2's answer for every dataset and initialization with any of its runs."""
    answers = []
    for dataset in _datasets(outcomes):
        for pretrained in (False, True):
            weights = hypothesis.weights(dataset, pretrained=pretrained)
            if not weights.keys() & outcomes.keys():
                continue
            difference = contrast(outcomes, weights)
            init = "pretrained" if pretrained else "scratch"
            verdict = word_for(difference, {1: HOLDS, -1: REVERSED, 0: NOT_SHOWN})
            answers.append(Answer(hypothesis.name, dataset, init, difference, verdict))
    return answers


def change_answers(pair: Sequence[Hypothesis], outcomes: Outcomes) -> list[Answer]:
    """Return H3's answer for every dataset and hypothesis with runs of both initializations."""
    answers = []
    for dataset in _datasets(outcomes):
        for hypothesis in pair:
            after = hypothesis.weights(dataset, pretrained=True)
            before = hypothesis.weights(dataset, pretrained=False)
            if not (after.keys() & outcomes.keys() and before.keys() & outcomes.keys()):
                continue
            change: Weights = {**after, **hypothesis.weights(dataset, pretrained=False, sign=-1)}
            difference = contrast(outcomes, change)
            verdict = word_for(difference, {1: CHANGED, -1: CHANGED, 0: UNCHANGED})
            parts = contrast(outcomes, after), contrast(outcomes, before)
            flips = all(parts) and prod(part.sign for part in parts if part) < 0
            name = f"H3, {hypothesis.name}"
            init = "pretrained − scratch"
            answers.append(Answer(name, dataset, init, difference, verdict, flips))
    return answers


def word_for(difference: Contrast | None, words: dict[int, str]) -> str:
    """Return the word for the side of zero on which the interval over seeds lies."""
    if difference is None:
        return ABSENT
    return UNTESTED if difference.seeds < 2 else words[difference.shown_sign]


def conclude(text: str, answers: Sequence[Answer]) -> str:
    """Return a hypothesis over its cells, in a sentence made of their counts."""
    counts = Counter(answer.verdict for answer in answers)
    parts = [
        say("{word} in {count}", word=say(word), count=counts[word])
        for word in (HOLDS, REVERSED, NOT_SHOWN, CHANGED, UNCHANGED, UNTESTED, ABSENT)
        if counts[word]
    ]
    cells = f"{len(answers)} {say('cell' if len(answers) == 1 else 'cells')}"
    opening = say("{text}: of {cells}, {parts}.", text=text, cells=cells, parts=", ".join(parts))
    sentences = [opening]
    untested = [answer for answer in answers if answer.verdict == UNTESTED and answer.contrast]
    if untested:
        sentences.append(_signs(untested))
    if collapsed := [answer for answer in answers if answer.contrast and answer.contrast.collapsed]:
        noun = "cell rests" if len(collapsed) == 1 else "cells rest"
        text = "{count} {noun} on a collapsed run."
        sentences.append(say(text, count=len(collapsed), noun=say(noun)))
    return " ".join(sentences)


def _signs(answers: Sequence[Answer]) -> str:
    """Return what a single seed says: the sign, or for H3 whether the sign flips."""
    if answers[0].hypothesis.startswith("H3"):
        flips = sum(answer.flips for answer in answers)
        text = "With one seed, the sign flips with pretraining in {flips} of {count}."
        return say(text, flips=flips, count=len(answers))
    signs = Counter(answer.contrast.sign for answer in answers if answer.contrast)
    return say(
        "With one seed, the sign is for it in {plus} of {count} and against it in {minus}{tail}.",
        plus=signs[1],
        count=len(answers),
        minus=signs[-1],
        tail=say(", neither in {count}", count=signs[0]) if signs[0] else "",
    )


def _datasets(outcomes: Outcomes) -> list[str]:
    return sorted({point.dataset for point in outcomes})
