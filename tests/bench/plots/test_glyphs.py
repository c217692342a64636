"""Names of any script in figures: drawn by a font that has them, or spelled out."""

import warnings

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from bench.plots import glyphs
from bench.plots.style import new_figure, save

NAMES = ["긁힘", "零件", "ねじ", "ขีดข่วน", "🔩", "scratch"]


@pytest.fixture(autouse=True)
def no_fonts(monkeypatch):
    """A machine without any font but matplotlib's own."""
    own = [entry for entry in font_manager.fontManager.ttflist if entry.name.startswith("DejaVu")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    forget_fonts()
    yield
    forget_fonts()


def forget_fonts():
    glyphs._font_with.cache_clear()
    glyphs._add_new_fonts.cache_clear()


@pytest.fixture
def square_font(tmp_path):
    """A font in which these letters are black squares."""

    def make(letters):
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for point in ((0, 1000), (1000, 1000), (1000, 0)):
            pen.lineTo(point)
        pen.closePath()
        square, builder = pen.glyph(), FontBuilder(1000)
        names = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
        builder.setupGlyphOrder(names)
        builder.setupCharacterMap({ord(letter): f"uni{ord(letter):04X}" for letter in letters})
        builder.setupGlyf(dict.fromkeys(names, square))
        builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
        builder.setupHorizontalHeader(ascent=1000, descent=0)
        builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
        builder.setupOS2()
        builder.setupPost()
        builder.save(tmp_path / "squares.ttf")
        return str(tmp_path / "squares.ttf")

    return make


def drawn(tmp_path, name, where="title"):
    """The figure and the pixels of its file, without a warning."""
    figure = new_figure(3, 2)
    axes = figure.add_subplot()
    if where == "title":
        axes.set_title(name)
    else:
        axes.set_xticks([0, 1], labels=[name, "other"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = save(figure, tmp_path / "figure.png")
    return axes, Image.open(path).convert("L").tobytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["title", "ticks"])
def test_names_without_a_font_are_spelled_out(tmp_path, name, where):
    axes, _ = drawn(tmp_path, name, where)
    text = axes.get_title() if where == "title" else axes.get_xticklabels()[0].get_text()
    assert text.isascii()
    assert text
    assert (text == name) == name.isascii()


@pytest.mark.parametrize("name", ["lot$5_$3_0.png", "a$b_$c", r"a\$b", "$x^2$"])
@pytest.mark.parametrize("where", ["title", "ticks"])
def test_dollar_signs_are_letters(tmp_path, name, where):
    axes, _ = drawn(tmp_path, name, where)
    text = axes.title if where == "title" else axes.get_xticklabels()[0]
    assert text.get_text() == name
    assert not text.get_parse_math()


def test_powers_on_a_logarithmic_axis_stay_formulas(tmp_path):
    figure = new_figure(3, 2)
    axes = figure.add_subplot()
    axes.plot([1, 10_000], label="a$b_$c")
    axes.set_yscale("log")
    axes.legend()
    save(figure, tmp_path / "figure.png")
    powers = [label for label in axes.get_yticklabels() if "10^" in label.get_text()]
    assert powers
    assert all(label.get_parse_math() for label in powers)


def test_a_font_of_boxes_does_not_count_and_the_fix_is_logged(tmp_path, monkeypatch, caplog):
    monkeypatch.undo()  # matplotlib's own fonts, with the one that has a box for every character
    boxes = [e for e in font_manager.fontManager.ttflist if e.name.startswith(glyphs._BOXES)]
    own = [e for e in font_manager.fontManager.ttflist if e.name.startswith("DejaVu")]
    assert boxes
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*boxes, *own])
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    forget_fonts()
    glyphs._say_what_to_install.cache_clear()
    for _ in range(2):
        axes, _ = drawn(tmp_path, "긁힘")
    assert axes.get_title().isascii()
    (message,) = caplog.messages
    assert "apt-get install fonts-noto-cjk" in message


def test_letters_are_spelled_by_their_names(tmp_path):
    axes, _ = drawn(tmp_path, "힘 1 · é")
    assert axes.get_title() == "him 1 · é"


@pytest.mark.parametrize("where", ["title", "ticks"])
def test_a_font_with_the_glyphs_draws_them(tmp_path, square_font, where):
    _, spelled = drawn(tmp_path, "긁힘", where)
    font_manager.fontManager.addfont(square_font("긁힘"))
    forget_fonts()
    axes, squares = drawn(tmp_path, "긁힘", where)
    text = axes.title if where == "title" else axes.get_xticklabels()[0]
    assert text.get_text() == "긁힘"
    dark = [sum(pixel < 60 for pixel in pixels) for pixels in (spelled, squares)]
    assert dark[1] > dark[0] + 50  # two full squares in place of letters


def test_a_font_that_was_installed_after_matplotlibs_list_is_found(
    tmp_path, square_font, monkeypatch
):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    fonts = [str(tmp_path / "broken.ttf"), square_font("긁힘")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: fonts)
    axes, _ = drawn(tmp_path, "긁힘")
    assert axes.get_title() == "긁힘"
