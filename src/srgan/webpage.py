"""Web pages that are one file: they need no other, run no script and reach no network."""

from __future__ import annotations

import base64
import html

_START = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
"""
_STYLE = """:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; background: Canvas; color: CanvasText; }
h1 { font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; }
p { max-width: 60rem; margin: .3rem 0 1rem; }
figure { margin: 0; }
figcaption, li { font-size: .85rem; overflow-wrap: anywhere; }
"""


def start_page(title: str, style: str = "") -> str:
    """The beginning of a page up to its content, in light or dark as the reader's system is; ``style`` adds CSS."""
    return f"{_START}<title>{as_text(title)}</title>\n<style>\n{_STYLE}{style}</style>\n"


def as_text(text: str) -> str:
    """``text`` as it may stand in a page, between tags or in quotes, whatever a file is called."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return html.escape(shown)


def as_address(data: bytes, kind: str) -> str:
    """The bytes of a picture as an address to show it from; ``kind`` is ``jpeg``, ``png`` or ``webp``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
