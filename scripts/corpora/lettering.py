"""Words of several scripts, and the fonts that have letters for them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features
from scripts.corpora.inks import FINE, Colour, Paper

from srgan.errors import InvalidDataset

WORDS = {
    "latin": "rain on the old harbour wall ; night train , a lamp in every window ! Why not? Nº 47 £12.80 & größer "
    "über élan façade naïve señor İstanbul żółty kůň smörgås quick jackdaws 1968-2026 (two) [three] @home #5 * % + = / "
    "WAIT Chapter VI BANG Hello sphinx vow quartz fjord",
    "greek": "θάλασσα και ήλιος το πρωί βουνό δρόμος παράθυρο Φως ψυχή ξένος χρόνος μικρή γέφυρα ΑΘΗΝΑ νύχτα",
    "cyrillic": "снег над рекой Москва вечер поезд окно щука жёлтый объём Київ їжак вулиця яблуко фонарь съезд ГОРОД",
    "hebrew": "בוקר ים רחוב שמש חלון רכבת לילה ספר עץ גשר ירוק שקט",
    "arabic": "صباح البحر شارع شمس نافذة قطار ليل كتاب شجرة جسر أخضر هدوء",
    "devanagari": "सुबह नदी सड़क सूरज खिड़की रेलगाड़ी रात किताब पेड़ पुल हरा शांति",
    "thai": "เช้า ทะเล ถนน ดวงอาทิตย์ หน้าต่าง รถไฟ กลางคืน หนังสือ ต้นไม้ สะพาน",
    "japanese": "雨の 港の 灯り ! 夜汽車が 走る… 窓を 開けて 、待って ください 。ドキドキ ザアザア カチッ "
    "ええっ!? 静かな 朝 海へ 行こう 橋",
    "chinese": "雨夜 港口 灯火 ,列车 开过 桥梁 。窗外 春天 鸟鸣 书店 红色 东西 南北 龍 鳳 轟 靈",
    "korean": "비 오는 항구 밤기차 창문을 열고 기다려 주세요 ! 쾅 두근두근 조용한 아침 바다로 가자 다리 봄",
}
"""Words to letter with, by script. They mean no more than a sign in the street does."""
_UPRIGHT = {"japanese", "chinese", "korean"}
"""Scripts that are also written from top to bottom."""
SUFFIXES = frozenset({".ttf", ".otf", ".ttc"})


@dataclass(frozen=True)
class Face:
    """A font file, and a script that it has letters for."""

    path: Path
    script: str

    def letters(self, size: float) -> ImageFont.FreeTypeFont:
        """The font, ``size`` pixels of the picture high."""
        return _opened(self.path, max(4, round(size * FINE)))


@cache
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.RAQM)


def faces(files: Sequence[Path]) -> dict[str, list[Face]]:
    """The fonts for each script of `WORDS`.

    Raises `InvalidDataset` when a script has none, and when this build of Pillow cannot join letters (raqm).
    """
    if not features.check("raqm"):
        raise InvalidDataset("this build of Pillow cannot join the letters of Arabic (raqm); take one from PyPI")
    found: dict[str, list[Face]] = {script: [] for script in WORDS}
    letters = {letter for words in WORDS.values() for letter in words if unicodedata.category(letter).startswith("L")}
    for path in files:
        font = ImageFont.truetype(str(path), 12, layout_engine=ImageFont.Layout.BASIC)
        blank = bytes(font.getmask("\U000f1234"))
        drawn = {letter: bytes(font.getmask(letter)) for letter in letters}
        has = {letter for letter, mark in drawn.items() if mark != blank and any(mark)}
        for script, words in WORDS.items():
            if has.issuperset(letters.intersection(words)):
                found[script].append(Face(path, script))
    if without := [script for script, fonts in found.items() if not fonts]:
        raise InvalidDataset(f"no font has letters for {', '.join(without)}; add a package with one to the set")
    return found


def phrase(script: str, words: int, random: np.random.Generator) -> str:
    """So many words of ``script``."""
    chosen = " ".join(random.choice(WORDS[script].split(), words))
    return chosen.replace(" ", "") if script in {"japanese", "chinese"} else chosen


def write(paper: Paper, box: tuple[float, float, float, float], face: Face, size: float, colour: Colour) -> None:
    """Fill ``box`` (left, top, right, bottom) with words, line after line, or column after column."""
    left, top, right, bottom = box
    if face.script in _UPRIGHT and paper.random.random() < 0.5:
        _columns(paper, box, face, size, colour)
        return
    font = face.letters(size)
    y = top
    while y + size <= bottom:
        text = phrase(face.script, 3, paper.random)
        while font.getlength(text) < (right - left) * FINE * 1.2 and len(text) < 400:
            text += ("" if face.script in {"japanese", "chinese"} else " ") + phrase(face.script, 2, paper.random)
        while text and font.getlength(text) > (right - left) * FINE:
            text = text[:-1] if face.script in {"japanese", "chinese", "thai"} else text.rpartition(" ")[0]
        paper.draw.text((left * FINE, y * FINE), text, fill=colour, font=font)
        y += size * 1.35


def _columns(paper: Paper, box: tuple[float, float, float, float], face: Face, size: float, colour: Colour) -> None:
    left, top, right, bottom = box
    font, x = face.letters(size), right - size
    count = int((bottom - top) // (size * 1.08))
    while x >= left and count:
        text = phrase(face.script, count, paper.random).replace(" ", "")[:count]
        for row, letter in enumerate(text):
            paper.draw.text(((x + size / 2) * FINE, (top + row * size * 1.08) * FINE), letter, colour, font, "mt")
        x -= size * 1.5


def sign(paper: Paper, text: str, face: Face, centre: tuple[float, float], size: float, turn: float, *,
         fill: Colour, edge: Colour | None = None) -> None:  # fmt: skip
    """``text`` in large letters about ``centre``, turned by ``turn`` degrees; ``edge`` is the colour of its outline."""
    font = face.letters(size)
    line = round(size * 0.06 * FINE) if edge else 0
    box = font.getbbox(text, stroke_width=line)
    layer = Image.new("RGBA", (max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1]))), (*fill, 0))
    ImageDraw.Draw(layer).text((-box[0], -box[1]), text, (*fill, 255), font, stroke_width=line,
                               stroke_fill=(*edge, 255) if edge else None)  # fmt: skip
    turned = layer.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    place = (round(centre[0] * FINE - turned.width / 2), round(centre[1] * FINE - turned.height / 2))
    paper.image.paste(turned, place, turned)
