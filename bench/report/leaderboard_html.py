"""Convert the leaderboard's Markdown to one HTML page; other Markdown is not supported."""

import re
from collections.abc import Iterator
from html import escape

from bench.aggregate.language import current_language, say

_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:110rem;padding:0 1rem;
color:#1b1b1b;background:#fff}
table{border-collapse:collapse;display:block;overflow-x:auto;margin:1rem 0;
font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid #d5d5d5;padding:.25rem .6rem;white-space:nowrap;text-align:left}
th{border-bottom:2px solid #888}
.number{text-align:right}
code{font-size:.95em}
sup a{text-decoration:none}
@media (prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}
th,td{border-color:#444}a{color:#8ab4f8}}"""

_SPAN = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\[\^(?P<note>\d+)\]|\[(?P<text>[^\]]+)\]\((?P<to>[^)]+)\)"
)

_LINK = re.compile(r"https?://|#|[\w./-]+$")
"""Where a link may lead: to the web, within the page, or to a file beside it."""


def page_of(markdown: str) -> str:
    """Return a self-contained page; everything but our own markup is escaped."""
    blocks = "\n".join(_block(block) for block in re.split(r"\n\n+", markdown.strip()))
    title = escape(say("Leaderboard"))
    return (
        f'<!doctype html>\n<html lang="{current_language()}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n{blocks}\n</body>\n"
        "</html>\n"
    )


def _block(text: str) -> str:
    if heading := re.fullmatch(r"(#{1,6}) (.*)", text):
        level = len(heading[1])
        return f'<h{level} id="{_anchor(heading[2])}">{_spans(heading[2])}</h{level}>'
    lines = text.split("\n")
    if len(lines) > 1 and re.fullmatch(r"[|:\- ]+", lines[1]):
        return "\n".join(_table(lines))
    if all(line.startswith("- ") for line in lines):
        items = "\n".join(f"<li>{_spans(line[2:])}</li>" for line in lines)
        return f"<ul>\n{items}\n</ul>"
    if lines[0].startswith("[^"):
        return "\n".join(["<ol>", *map(_definition, lines), "</ol>"])
    return f"<p>{_spans(text)}</p>"


def _anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub generates it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"\[\^\d+\]", "", heading).lower())
    return kept.strip().replace(" ", "-")


def _table(lines: list[str]) -> Iterator[str]:
    numbers = [rule.strip().endswith(":") for rule in _cells(lines[1])]
    yield "<table>"
    for position, line in enumerate([lines[0], *lines[2:]]):
        tag = "td" if position else "th"
        cells = [
            f"<{tag}{' class=number' if number else ''}>{_spans(cell.strip())}</{tag}>"
            for cell, number in zip(_cells(line), numbers, strict=True)
        ]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"


def _cells(line: str) -> list[str]:
    # A pipe within a cell is escaped.
    cells = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [cell.replace("\\|", "|") for cell in cells]


def _definition(line: str) -> str:
    number, _, text = line.removeprefix("[^").partition("]: ")
    return f'<li id="note-{escape(number)}" value="{escape(number)}">{_spans(text)}</li>'


def _spans(text: str) -> str:
    """Return a line with its code, bold, footnotes and links as elements, the rest escaped."""
    parts, end = [], 0
    for match in _SPAN.finditer(text):
        parts += [escape(text[end : match.start()]), _span(match)]
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def _span(match: re.Match[str]) -> str:
    if code := match["code"]:
        return f"<code>{escape(code)}</code>"
    if bold := match["bold"]:
        return f"<strong>{_spans(bold)}</strong>"
    if note := match["note"]:
        return f'<sup><a href="#note-{note}">{note}</a></sup>'
    if not _LINK.match(match["to"]):  # in the name of a folder, say
        return escape(match[0])
    return f'<a href="{escape(match["to"])}">{escape(match["text"])}</a>'
