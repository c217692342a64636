"""Text of any script in figures: a font that has its glyphs, or else its letters spelled out."""

import logging
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from datasets_lib.layouts.folders import composed, spelled

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_DEFAULT = "DejaVu Sans"

# matplotlib's own font of boxes, which has a box for every character and draws none of them.
_BOXES = "Last Resort"

INSTALL = "apt-get install fonts-noto-cjk (Debian), or any font that has them"

_log = logging.getLogger(__name__)

# Fonts of systems that cover many scripts, tried before all others.
_BROAD = (
    *("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo"),
    *("AppleGothic", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic"),
    *("Microsoft YaHei", "PingFang SC", "SimHei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("Arial Unicode MS", "FreeSans", "Unifont"),
)


def make_drawable(figure: "Figure") -> None:
    """Give every text of a figure a font that has its glyphs; where none has, spell it out.

    Text that the default font can draw stays as it is. Dollar signs are letters, not the borders of
    a formula: names of files and classes may hold them.
    """
    from matplotlib.text import Text

    every_axis = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    for axis in every_axis:
        _spell_ticks(axis)
    powers = {label for axis in every_axis for label in _labels_of_powers(axis)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(text in powers)
        words, font = drawable(composed(text.get_text()))
        if words != text.get_text():
            text.set_text(words)
        if font:
            text.set_fontfamily([_DEFAULT, font])


def _labels_of_powers(axis: "Axis") -> "list[Text]":
    """Return the tick labels of a logarithmic axis: formulas that matplotlib itself writes."""
    from matplotlib.ticker import LogFormatter

    if not isinstance(axis.get_major_formatter(), LogFormatter):
        return []
    return axis.get_ticklabels(which="both")


def _spell_ticks(axis: "Axis") -> None:
    """Replace tick labels that no font can draw: an axis writes its labels anew when drawn."""
    labels = [label.get_text() for label in axis.get_ticklabels()]
    drawn = [drawable(composed(label)) for label in labels]
    fonts = [font for _, font in drawn if font]
    words = [word for word, _ in drawn]
    if words != labels:
        axis.set_ticks(axis.get_ticklocs(), labels=words)
    if fonts:
        axis.set_tick_params(labelfontfamily=[_DEFAULT, fonts[0]])


def drawable(text: str) -> tuple[str, str | None]:
    """Return text that can be drawn, and the font that it needs besides the default one."""
    missing = frozenset(c for c in text if not c.isspace() and ord(c) not in _glyphs(_path()))
    if not missing:
        return text, None
    if font := _font_with(missing) or (_add_new_fonts() and _font_with(missing)):
        return text, font
    _say_what_to_install()
    return "".join(spelled(c, other="?") if c in missing else c for c in text), None


@cache
def _say_what_to_install() -> None:
    """Log once per session that letters are spelled out, and what to install to draw them."""
    _log.warning("No installed font has some characters of plots, now spelled out: %s", INSTALL)


@cache
def _add_new_fonts() -> bool:
    """Add fonts that were installed after matplotlib made its list; return whether there are any.

    It keeps that list in a file and would not see a font that was installed for these very letters.
    """
    from matplotlib.font_manager import findSystemFonts, fontManager

    count = len(fontManager.ttflist)
    for path in sorted(set(findSystemFonts()) - {entry.fname for entry in fontManager.ttflist}):
        with suppress(OSError, RuntimeError, ValueError):  # a damaged file, or no outlines
            fontManager.addfont(path)
    _font_with.cache_clear()
    return len(fontManager.ttflist) > count


@lru_cache(maxsize=1024)
def _font_with(characters: frozenset[str]) -> str | None:
    """Return the name of an installed font with all of these characters; None if there is none."""
    from matplotlib.font_manager import fontManager

    ranks = {name: rank for rank, name in enumerate(_BROAD)}
    entries = sorted(
        (entry for entry in fontManager.ttflist if not entry.name.startswith(_BOXES)),
        key=lambda entry: (ranks.get(entry.name, len(ranks)), entry.name),
    )
    wanted = set(map(ord, characters))
    return next((entry.name for entry in entries if wanted <= _glyphs(entry.fname)), None)


@lru_cache(maxsize=1024)
def _glyphs(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that is gone or damaged
        return frozenset()


@lru_cache(maxsize=1)
def _path() -> str:
    from matplotlib.font_manager import findfont

    return findfont(_DEFAULT)
