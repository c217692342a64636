"""HTML and SVG as trees of elements, so that every text and attribute is escaped on the way out."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from bench.printable import elide_middle, printable

Child = Element | str | None

_FOLDER = Path(__file__).parent


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """Return an element with its children in order.

    Args:
        tag: Name of the element.
        children: Elements and texts; None is left out.
        attributes: Values by name. ``class_`` is ``class``, ``data_v`` is ``data-v``; None and
            False are left out, True stands for an attribute without a value.

    >>> render(element("p", "a < b ", element("b", "c"), title='"', hidden=None))
    '<p title="&quot;">a &lt; b <b>c</b></p>'
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            text = "" if value is True else str(value)
            made.set(name.rstrip("_").replace("_", "-"), text)
    extend(made, children)
    return made


def extend(parent: Element, children: Iterable[Child]) -> Element:
    """Append elements and texts to an element and return it."""
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif child and len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        elif child:
            parent.text = (parent.text or "") + child
    return parent


def render(root: Element) -> str:
    """Return an element as HTML."""
    return tostring(root, encoding="unicode", method="html")


def elided(text: str, length: int = 28) -> str:
    """Return printable text of at most a number of characters, cut in the middle.

    >>> elided("rd_wide_resnet50_2.original", 12)
    'rd_wid…ginal'
    """
    return elide_middle(printable(text), length)


def breakable(text: str) -> list[Child]:
    """Return text that a browser breaks after its marks, before it breaks a word in the middle.

    >>> render(element("p", *breakable("rd_convnext.tuned 91")))
    '<p>rd_<wbr>convnext.<wbr>tuned 91</p>'
    """
    first, *rest = re.split(r"(?<=[_.])(?=\w)", text)
    return [first, *(child for part in rest for child in (element("wbr"), part))]


def document(title: str, lang: str, body: Iterable[Child], *, script: bool) -> str:
    """Return a whole page, whose policy allows only its own style, script and pictures.

    Args:
        title: Title of the window.
        lang: Language of the page.
        body: Children of the body.
        script: Whether the page has the script; one that has it has no pictures.
    """
    style, style_hash = _file("page.css")
    code, code_hash = _file("page.js")
    policy = [
        "default-src 'none'",
        f"style-src {style_hash}",
        *([f"script-src {code_hash}"] if script else []),
        *([] if script else ["img-src 'self' data:"]),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content="; ".join(policy)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", printable(title)),
        element("style", style),
        element("script", code) if script else None,
    )
    root = element("html", head, "\n", element("body", *body), lang=lang)
    return f"<!DOCTYPE html>\n{render(root)}\n"


@cache
def _file(name: str) -> tuple[str, str]:
    """Return the text of a file in this folder, and its hash in the form that a policy uses."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).digest()
    return text, f"'sha256-{base64.b64encode(digest).decode()}'"
