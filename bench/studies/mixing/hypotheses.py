"""Study 2's hypotheses, tested on a table of top-1 values.

H1: ResNet gains more from CutMix than ViT does. H2: ViT gains more from MixUp than ResNet does.
H3: pretraining does not change H1 and H2. A gain is top-1 with the augmentation minus without.
"""

from collections.abc import Iterator, Sequence
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
    def question(self) -> str:
        """Return the claim as a question."""
        return say(
            "{name}. Does {gainer} gain more from {title} than {other} does?",
            name=self.name,
            gainer=self.gainer,
            title={"mixup": "MixUp", "cutmix": "CutMix"}[self.augmentation],
            other=self.other,
        )

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

    @property
    def cell(self) -> str:
        """Describe the difference that it is about."""
        name = self.hypothesis.removeprefix("H3, ")
        if name != self.hypothesis:
            return say("{name} on {dataset}", name=name, dataset=self.dataset)
        if self.init == "scratch":
            return say("{dataset} from scratch", dataset=self.dataset)
        return say("{dataset} with pretraining", dataset=self.dataset)


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


def conclude(question: str, answers: Sequence[Answer]) -> str:
    """Return a question with its answer and the numbers of every cell, in sentences."""
    return " ".join([f"**{question}**", *_tested(answers), *_of_one_seed(answers), *_lost(answers)])


def _tested(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the result of several seeds."""
    parts = [
        say(
            {
                HOLDS: "yes on {cells}",
                REVERSED: "no, it gains less, on {cells}",
                NOT_SHOWN: "no difference is shown on {cells}",
                CHANGED: "no for {cells}",
                UNCHANGED: "no change is shown for {cells}",
            }[verdict],
            cells=_cells(own),
        )
        for verdict in (HOLDS, REVERSED, NOT_SHOWN, CHANGED, UNCHANGED)
        if (own := [answer for answer in answers if answer.verdict == verdict])
    ]
    if parts:
        yield say("Over seeds, with 95 % intervals: {parts}.", parts="; ".join(parts))


def _of_one_seed(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the result of a single seed, without a test: the sign, or for H3 the change."""
    untested = [answer for answer in answers if answer.verdict == UNTESTED]
    changes = [answer for answer in untested if answer.hypothesis.startswith("H3")]
    parts = [say("the difference changes for {cells}", cells=_cells(changes))] if changes else []
    parts += [
        say(
            {1: "yes on {cells}", -1: "no on {cells}", 0: "neither on {cells}"}[sign],
            cells=_cells(own),
        )
        for sign in (1, -1, 0)
        if (own := [a for a in untested if a not in changes and _sign(a) == sign])
    ]
    if parts:
        yield say(
            "One seed, so no test, with 95 % intervals over test images alone: {parts}.",
            parts="; ".join(parts),
        )


def _lost(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield which cells lack runs, and which include a run that collapsed."""
    if absent := [answer for answer in answers if answer.verdict == ABSENT]:
        yield say("Runs are missing for {cells}.", cells=_cells(absent))
    for answer in answers:
        if answer.contrast and answer.contrast.collapsed:
            yield say(
                "The value for {cell} rests on collapsed {names}.",
                cell=answer.cell,
                names=", ".join(answer.contrast.collapsed),
            )


def _sign(answer: Answer) -> int:
    return answer.contrast.sign if answer.contrast else 0


def _cells(answers: Sequence[Answer]) -> str:
    return ", ".join(" ".join(filter(None, (a.cell, _numbers(a)))) for a in answers)


def _numbers(answer: Answer) -> str:
    """Return the difference and what is unusual about it, in parentheses; empty without one."""
    if answer.contrast is None:
        return ""
    parts = [say("{value} points", value=answer.contrast)]
    parts += [say("the sign flips")] if answer.flips else []
    return f"({', '.join(parts)})"


def _datasets(outcomes: Outcomes) -> list[str]:
    return sorted({point.dataset for point in outcomes})
