"""Reads the leaderboard as a person does: tables below headings, footnotes where they apply."""

import re
from dataclasses import dataclass

_MARK = re.compile(r"\[\^(\d+)\]")


@dataclass(frozen=True)
class Cell:
    """A cell's text, without emphasis and marks, and the notes that it carries."""

    text: str
    notes: tuple[str, ...]
    bold: bool


@dataclass(frozen=True)
class Table:
    """Rows by heading, below the headings of its sections."""

    path: tuple[str, ...]
    title: str
    headings: dict[str, tuple[str, ...]]
    rows: list[dict[str, Cell]]

    def row(self, model):
        """Return the row of a model."""
        (row,) = (row for row in self.rows if row["Model"].text == model)
        return row

    def texts(self, model):
        """Return a model's cells as text."""
        return {heading: cell.text for heading, cell in self.row(model).items()}


def read_tables(markdown):
    """Return every table of a document."""
    notes = dict(re.findall(r"^\[\^(\d+)\]: (.*)$", markdown, re.M))
    path, title, found, lines = [], "", [], markdown.splitlines()
    for number, line in enumerate(lines):
        if heading := re.fullmatch(r"(#+) (.*)", line):
            path = [*path[: len(heading[1]) - 1], _MARK.sub("", heading[2])]
            title = ""
        elif line.startswith("**"):
            title = _MARK.sub("", line)
        elif line.startswith("|") and re.fullmatch(r"[|:\- ]+", lines[number + 1] or "x"):
            end = next(
                i for i in range(number, len(lines) + 1) if not [*lines, ""][i].startswith("|")
            )
            cells = [[_cell(c, notes) for c in _split(row)] for row in lines[number:end]]
            names = [cell.text for cell in cells[0]]
            rows = [dict(zip(names, row, strict=True)) for row in cells[2:]]
            headings = {cell.text: cell.notes for cell in cells[0]}
            found.append(Table(tuple(path), title, headings, rows))
    return found


def details(markdown, study, model=None):
    """Return the tables of a study's details, in order; with a model, only those that have it."""
    return [
        table
        for table in read_tables(markdown)
        if table.path[1].startswith("Details")
        and f"`{study}`" in table.path[2]
        and (model is None or any(r.get("Model") and r["Model"].text == model for r in table.rows))
    ]


def study_tables(markdown, study):
    """Return a study's own tables, in order."""
    return [table for table in read_tables(markdown) if table.path[1:2] == (f"Study `{study}`",)]


def _split(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _cell(text, notes):
    marks = tuple(notes[number] for number in _MARK.findall(text))
    plain = _MARK.sub("", text)
    return Cell(plain.strip("*"), marks, plain.startswith("**"))
