"""Pages of one file: nothing in a name can harm them, and nothing is fetched."""

from __future__ import annotations

import base64

import pytest

from srgan.webpage import as_address, as_text, start_page


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.png", "plain.png"),
        ("<script>&\"'", "&lt;script&gt;&amp;&quot;&#x27;"),
        ("größer 图像", "größer 图像"),
        ("line\nbreak\x00", "line\\nbreak\\x00"),
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_names_are_shown_and_never_obeyed(name: str, shown: str) -> None:
    assert as_text(name) == shown


def test_a_page_may_use_its_own_pictures_and_styles_and_nothing_else() -> None:
    page = start_page("<b>Title</b>", "p { color: red; }\n")
    assert page.startswith("<!doctype html>\n")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in page
    assert "<title>&lt;b&gt;Title&lt;/b&gt;</title>" in page
    assert "color-scheme: light dark" in page
    assert page.endswith("p { color: red; }\n</style>\n")


def test_a_picture_comes_back_from_its_address() -> None:
    head, _, data = as_address(b"\x00\xffpicture", "png").partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == b"\x00\xffpicture"
