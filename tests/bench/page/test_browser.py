"""The page in a headless Chromium: what a reader does, and that it makes no requests."""

import pytest
from browser import CHROMIUM, Browser
from page_records import HOSTILE, gallery, many, named, write

from bench.page.page import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

ROWS = "[...document.querySelectorAll('#results tbody tr')]"
TEXTS = ROWS + ".map(row => [...row.cells].map(cell => cell.textContent))"
HEADS = "[...document.querySelectorAll('#results thead th')].map(head => head.dataset.k)"
QUERY = "location.search"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Index pages by name: a gallery, hostile names, 450 rows, and the gallery in Korean."""
    contents = {
        "gallery": (gallery(), "en"),
        "hostile": ([named(text, i) for i, text in enumerate(HOSTILE)], "en"),
        "many": (many(450), "en"),
        "korean": (gallery(), "ko"),
    }
    made = {}
    for name, (records, lang) in contents.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = write_page([write(records, folder)], folder, lang)
    return made


@pytest.fixture(autouse=True)
def _nothing_leaves_and_nothing_is_refused(browser):
    yield
    assert all(address.startswith("file:") for address in browser.requests)
    assert browser.complaints == []


def column(browser, code):
    """Texts of a column, top to bottom."""
    place = browser.run(HEADS).index(code)
    return [texts[place] for texts in browser.run(TEXTS)]


def numbers(texts):
    return [float(text.split()[0].replace(",", "")) for text in texts if text != "–"]


def click(browser, selector):
    browser.run(f"document.querySelector({selector!r}).click()")


def type_into(browser, selector, text):
    browser.run(f"document.querySelector({selector!r}).focus()")
    browser.press(*text)


def test_sorting_by_number_puts_the_highest_first_and_missing_last(browser, pages):
    browser.open(pages["gallery"])
    original = browser.run(TEXTS)
    aria = "document.querySelector('th[data-k=memory]').getAttribute('aria-sort')"
    states = []
    for _ in range(3):
        click(browser, "th[data-k=memory] button")
        states.append((browser.run(aria), column(browser, "memory")))
    (down, falling), (up, rising), (none, _) = states
    assert (down, up, none) == ("descending", "ascending", None)
    assert numbers(falling) == sorted(numbers(falling), reverse=True)
    assert numbers(rising) == numbers(falling)[::-1]
    assert falling[-1] == rising[-1] == "–"
    assert browser.run(TEXTS) == original


def test_sorting_by_word_starts_with_the_first(browser, pages):
    browser.open(pages["gallery"])
    click(browser, "th[data-k=model] button")
    names = column(browser, "model")
    assert names == sorted(names)
    click(browser, "th[data-k=model] button")
    assert column(browser, "model") == sorted(names, reverse=True)


def test_search_finds_every_word_in_any_case(browser, pages):
    browser.open(pages["gallery"])
    type_into(browser, "input", "CABLE padim")
    assert column(browser, "model") == ["padim_resnet18"]
    assert column(browser, "data") == ["parts.cable"]
    type_into(browser, "input", " nothing of the kind")
    assert browser.run("document.querySelector('[role=status]').textContent") == "No row matches."


def test_facets_filter_and_join(browser, pages):
    browser.open(pages["gallery"])
    labels = browser.run(
        "[...document.querySelectorAll('#controls label')].map(l => l.firstChild.textContent)"
    )
    assert labels == ["Search", "Study", "Data", "Family"]
    for place, value in ((1, "parts.cable"), (2, "memory")):
        browser.run(
            f"(select => {{ select.value = {value!r}; select.dispatchEvent(new Event('change')) }})"
            f"(document.querySelectorAll('select')[{place}])"
        )
    assert set(column(browser, "data")) == {"parts.cable"}
    assert set(column(browser, "model")) < {"padim_resnet18", "patchcore_resnet18", "cfa_resnet18"}
    assert browser.run(QUERY) == "?data=parts.cable&family=memory"


def test_presets_choose_and_sort(browser, pages):
    browser.open(pages["gallery"])
    buttons = "[...document.querySelectorAll('#controls [role=group] button')]"
    pressed = f"{buttons}.filter(b => b.ariaPressed == 'true').map(b => b.textContent)"
    count = len(browser.run(TEXTS))
    found = {}
    for place, name in enumerate(browser.run(f"{buttons}.map(b => b.textContent)")):
        if name == "Few-shot":
            assert browser.run(f"{buttons}[{place}].disabled")  # there is no such row
            continue
        browser.run(f"{buttons}[{place}].click()")
        found[name] = [column(browser, code) for code in ("rank", "image_auroc", "speed", "memory")]
        assert browser.run(pressed) == ([] if name == "Show all" else [name])
    ranks, quality, _, _ = found["Best quality"]
    assert "–" not in ranks
    assert numbers(quality) == sorted(numbers(quality), reverse=True)
    speeds = found["Fastest"][2]
    assert numbers(speeds) == sorted(numbers(speeds), reverse=True)
    needed = numbers(found["Fits 8 GB"][3])
    assert 0 < len(needed) < count
    assert max(needed) <= 8192
    assert len(found["Show all"][0]) == count


def test_pages_of_a_hundred_rows(browser, pages):
    browser.open(pages["many"])
    status = "document.querySelector('[role=status]').textContent"
    first = browser.run(TEXTS)
    assert len(first) == 100
    total = browser.run(status)
    assert total.startswith("Rows 1 to 100 of ")
    click(browser, ".pages button:last-child")
    second = browser.run(TEXTS)
    assert browser.run(status).startswith("Rows 101 to 200 of ")
    assert browser.run(QUERY) == "?page=2"
    assert not any(row in first for row in second)
    browser.open(pages["many"], query="?page=99999")
    assert browser.run("document.querySelector('.pages button:last-child').disabled") is True


def test_three_thousand_rows_are_ready_within_two_seconds(browser, tmp_path):
    file = write(many(2_667), tmp_path)
    index = write_page([file], tmp_path, cases=False)
    assert index.stat().st_size < 3_000_000
    assert browser.open(index) < 2
    assert browser.run("document.querySelector('[role=status]').textContent").endswith("of 3,001")


def test_an_address_brings_its_rows_back(browser, pages):
    browser.open(pages["gallery"])
    type_into(browser, "input", "cable")
    click(browser, "th[data-k=fit] button")
    shown, address = browser.run(TEXTS), browser.run(QUERY)
    assert address == "?q=cable&sort=-fit"
    browser.open(pages["gallery"], query=address)
    assert browser.run(TEXTS) == shown
    assert browser.run("document.querySelector('input').value") == "cable"
    click(browser, "#controls [role=group] button:last-child")
    assert browser.run(QUERY) == ""


@pytest.mark.parametrize(
    "query",
    [
        "?sort=nothing&page=x&preset=__proto__",
        "?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
        "?%E0",
    ],
)
def test_a_wrong_address_does_no_harm(browser, pages, query):
    browser.open(pages["gallery"], query=query)
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelector('#controls').hidden") is False


def test_keys_alone_do_everything(browser, pages):
    browser.open(pages["gallery"])
    focused = "document.activeElement"
    browser.press("Tab")
    assert browser.run(f"{focused}.className") == "skip"
    browser.press("/")
    assert browser.run(f"{focused}.type") == "search"
    browser.press(*"cable")
    assert set(column(browser, "data")) == {"parts.cable"}
    seen = []
    for _ in range(30):
        browser.press("Tab")
        seen.append(browser.run(f"[{focused}.tagName, {focused}.textContent.trim()]"))
        if seen[-1] == ["BUTTON", "Image AUROC"]:
            break
    tags = [tag for tag, _ in seen]
    assert tags.count("SELECT") == 3
    assert ["BUTTON", "Fastest"] in seen
    assert "DIV" in tags  # the table's region, which arrows scroll
    browser.press("Enter")
    assert "sort=-image_auroc" in browser.run(QUERY)
    browser.press(" ")
    assert "sort=image_auroc" in browser.run(QUERY)
    outline = browser.run(f"getComputedStyle({focused}).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("name", ["gallery", "hostile", "korean"])
@pytest.mark.parametrize("wide", [320, 390])
def test_a_phone_scrolls_the_table_and_not_the_page(browser, pages, name, wide):
    browser.open(pages[name], wide=wide, high=800)
    assert browser.run("document.documentElement.scrollWidth") <= wide
    scroll = "document.querySelector('.scroll')"
    assert browser.run(f"{scroll}.scrollWidth > {scroll}.clientWidth") is True
    sizes = browser.run(
        "[...document.querySelectorAll('button, select, input')].filter(b => b.offsetHeight)"
        ".map(b => b.offsetHeight)"
    )
    assert min(sizes) >= 24


CONTRAST = """(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e)
    .backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  return Math.min(...['h1', 'header p', '.cards h3', '.cards .big', '.cards p', 'td', 'th', 'th a',
    'button', 'label', 'figcaption', '.question .faint', 'li'].map(s => {
      const e = document.querySelector(s), [a, b] = [rgb(getComputedStyle(e).color), behind(e)]
        .map(light); return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(browser, pages, scheme):
    browser.open(pages["gallery"], prefers_color_scheme=scheme)
    paper = browser.run("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")
    assert browser.run(CONTRAST) >= 4.5  # WCAG 2, level AA


def test_reduced_motion_moves_nothing(browser, pages):
    moving = "getComputedStyle(document.querySelector('.mark')).transitionDuration"
    browser.open(pages["gallery"])
    assert browser.run(moving) != "0s"
    browser.open(pages["gallery"], prefers_reduced_motion="reduce")
    assert browser.run(moving) == "0s"


def test_without_script_every_row_and_chart_is_there(browser, pages):
    browser.open(pages["many"], script=False)
    text = browser.dom()
    assert text.count('<tr data-r="') > 450
    assert '<div id="controls" hidden=""' in text
    assert "<button" not in text
    browser.open(pages["gallery"], script=False)
    assert browser.dom().count("<svg") == 5


def test_print_has_all_rows_and_no_controls(browser, pages):
    browser.open(pages["many"])
    browser.run(f"addEventListener('beforeprint', () => {{ window.printed = {ROWS}.length }})")
    printed = browser.printed()
    assert printed.startswith(b"%PDF")
    assert browser.run("window.printed") > 450
    assert len(browser.run(TEXTS)) == 100
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('#controls')).display"
    assert browser.run(shown) == "none"


def test_marks_and_rows_light_up_together(browser, pages):
    browser.open(pages["gallery"])
    over = "dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    browser.run(f"document.querySelector('svg .mark[data-r]').{over}")
    lit = browser.run("[...document.querySelectorAll('.on')].map(e => e.dataset.r)")
    assert len(lit) >= 3  # two charts or more, and the row
    assert len(set(lit)) == 1
    browser.run(f"document.querySelector('h1').{over}")
    assert browser.run("document.querySelectorAll('.on, .has-on').length") == 0
    browser.run(
        "document.querySelector('svg .mark[data-r]')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert set(column(browser, "model")) == {"padim_resnet18"}


def test_a_clicked_mark_shows_its_row_whatever_was_filtered(browser, pages):
    browser.open(pages["gallery"], query="?family=memory&preset=fastest")
    browser.run(
        "[...document.querySelectorAll('svg .mark[data-r]')]"
        ".find(mark => mark.textContent.includes('stfpm_resnet18'))"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert set(column(browser, "model")) == {"stfpm_resnet18"}
    assert "family" not in browser.run(QUERY)
    assert "preset" not in browser.run(QUERY)


def test_columns_that_a_filter_leaves_empty_are_hidden(browser, pages):
    hidden = f"{HEADS}.filter((code, at) => document.querySelectorAll('thead th')[at].hidden)"
    browser.open(pages["gallery"])
    assert browser.run(hidden) == []
    browser.open(pages["gallery"], query="?q=rd_backbone")
    assert "f1" in browser.run(hidden)
    click(browser, "#controls [role=group] button:last-child")
    assert browser.run(hidden) == []
    assert browser.run("document.querySelectorAll('td[hidden]').length") == 0


def test_hostile_names_are_inert(browser, pages):
    browser.open(pages["hostile"])
    assert browser.run("document.scripts.length") == 1
    assert browser.run("document.querySelectorAll('img, iframe, object').length") == 0
    names = column(browser, "model")
    assert "<script>alert(1)</script>" in names
    assert "a\\u202eb\\u2066c\\u200f" in names
    heights = browser.run(f"{ROWS}.map(row => row.offsetHeight)")
    assert max(heights) < 120  # 300 characters
    type_into(browser, "input", "onerror")
    assert len(column(browser, "model")) == 1
    links = browser.run("[...document.querySelectorAll('#results a')].map(a => a.href)")
    assert all(link.startswith("file:") for link in links)
    for page in sorted((pages["hostile"].parent / "cases").iterdir()):
        browser.open(page, wide=390)
        assert browser.run("document.scripts.length") == 0
        assert browser.run("document.documentElement.scrollWidth") <= 390
        assert browser.complaints == []
