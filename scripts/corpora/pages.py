"""Pages drawn from nothing but a number: comics, prints, posters, charts and sketches, with letters of many scripts.

No two have the same strokes, and every edge is as sharp as a picture can hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image
from scripts.corpora.inks import BLACK, TONES, WHITE, Colour, Paper, Point, blob, curve, dots
from scripts.corpora.lettering import Face, phrase, sign, write

SIZES = ((768, 1024), (1024, 768), (896, 896))
Faces = Mapping[str, Sequence[Face]]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def page(number: int, seed: int, faces: Faces) -> Image.Image:
    """Page ``number`` of the book ``seed``: RGB. ``faces`` has fonts for every script (`lettering.faces`)."""
    random = np.random.default_rng([seed, number])
    width, height = SIZES[random.integers(len(SIZES))]
    return KINDS[number % len(KINDS)](width, height, random, faces).picture()


def _comic(width: int, height: int, random: np.random.Generator, faces: Faces) -> Paper:
    """Panels with figures, tone, effects and balloons; every third in colour."""
    paper = Paper(width, height, WHITE, random)
    colours = random.random() < 0.35
    gap, line = paper.between(6, 16), paper.between(1.2, 3.5)
    for box in _panels(width, height, gap, random):
        corners = _corners(box)
        layer = Paper(width, height, _pale(random) if colours else WHITE, random)
        _scene(layer, box, colours)
        _effects(layer, box)
        for _ in range(random.integers(1, 3)):
            _figure(layer, box, colours)
        for _ in range(random.integers(0, 3)):
            _balloon(layer, box, faces)
        if random.random() < 0.5:
            script = _script(random, faces)
            place = paper.between(box[0], box[2]), paper.between(box[1], box[3])
            dark = random.random() < 0.5
            sign(layer, phrase(script, 1, random), _face(random, faces, script), place, paper.between(24, 90),
                 paper.between(-35, 35), fill=BLACK if dark else WHITE, edge=WHITE if dark else BLACK)  # fmt: skip
        paper.lay(layer.image, corners)
        paper.polygon(corners, None, line)
    return paper


def _print(width: int, height: int, random: np.random.Generator, faces: Faces) -> Paper:
    """Columns of small letters about a screened picture, as in a newspaper."""
    ground = [WHITE, (246, 240, 226), (232, 232, 228)][random.integers(3)]
    paper = Paper(width, height, ground, random)
    columns = int(random.integers(1, 4))
    script = _script(random, faces)
    room, top = (width - 48) / columns, paper.between(90, 160)
    sign(paper, phrase(script, 3, random), _face(random, faces, script), (width / 2, top / 2), top * 0.4, 0, fill=BLACK)
    for column in range(columns):
        left = 24 + column * room
        box = (left + 8, top, left + room - 8, height - 24)
        if random.random() < 0.6:
            cut = top + paper.between(0.2, 0.5) * (height - top)
            _screened(paper, (box[0], top, box[2], cut))
            box = (box[0], cut + 14, box[2], box[3])
        same = random.random() < 0.7
        ink = BLACK if random.random() < 0.8 else _dark(random)
        write(paper, box, _face(random, faces, script if same else _script(random, faces)), paper.between(8, 22), ink)
        if column and random.random() < 0.6:
            paper.line([(left, top), (left, height - 24)], 0.8)
    return paper


def _poster(width: int, height: int, random: np.random.Generator, faces: Faces) -> Paper:
    """Flat colours, patterns and large letters."""
    paper = Paper(width, height, _pale(random), random)
    for _ in range(random.integers(4, 10)):
        centre = paper.between(0, width), paper.between(0, height)
        size = paper.between(40, width / 3), paper.between(40, height / 3)
        shape = blob(centre, size, paper.between(0, 0.4), random, int(random.choice([3, 4, 5, 6, 72])))
        paper.polygon(shape, _any(random), paper.between(0, 4), _dark(random))
        if random.random() < 0.6:
            paper.tone(shape, str(random.choice(TONES)), paper.between(0.1, 0.7), _any(random))
    for _ in range(random.integers(3, 7)):
        script = _script(random, faces)
        place = paper.between(width * 0.2, width * 0.8), paper.between(40, height - 40)
        edge = _pale(random) if random.random() < 0.4 else None
        sign(paper, phrase(script, int(random.integers(1, 3)), random), _face(random, faces, script), place,
             paper.between(20, 110), paper.between(-20, 20), fill=_dark(random), edge=edge)  # fmt: skip
    return paper


def _chart(width: int, height: int, random: np.random.Generator, faces: Faces) -> Paper:
    """Axes, grids, curves, bars and labels; now and then light on dark, as a screen shows them."""
    night = random.random() < 0.3
    paper = Paper(width, height, (24, 27, 33) if night else WHITE, random)
    ink = (226, 226, 226) if night else BLACK
    for box in _panels(width, height, 56, random):
        left, top, right, bottom = box
        for k in range(1, int(random.integers(4, 12))):
            y = top + (bottom - top) * k / 12
            paper.line([(left, y), (right, y)], 0.4, (128, 128, 128))
            x = left + (right - left) * k / 12
            paper.line([(x, top), (x, bottom)], 0.4, (128, 128, 128))
        for _ in range(random.integers(1, 5)):
            colour = _any(random)
            if random.random() < 0.6:
                walk = np.clip(random.normal(0, 0.12, 14).cumsum() + 0.5, 0.02, 0.98)
                places = np.linspace(left, right, 14)
                points = list(zip(places.tolist(), (bottom - walk * (bottom - top)).tolist(), strict=True))
                paper.line(curve(points) if random.random() < 0.5 else points, paper.between(0.7, 3), colour)
            else:
                for k, value in enumerate(random.uniform(0.05, 0.9, 9)):
                    x0 = left + (right - left) * (k + 0.2) / 9
                    x1, y = x0 + (right - left) * 0.07, bottom - value * (bottom - top)
                    paper.polygon([(x0, y), (x1, y), (x1, bottom), (x0, bottom)], colour)
        paper.line([(left, top), (left, bottom), (right, bottom)], paper.between(0.8, 2), ink)
        face = _face(random, faces, _script(random, faces))
        size = paper.between(8, 15)
        write(paper, (left, bottom + 6, right, bottom + 8 + size), face, size, ink)
        for k in range(5):
            number, y = f"{random.integers(0, 1000) / 10:g}", top + (bottom - top) * k / 5
            write_face = _face(random, faces, "latin")
            sign(paper, number, write_face, (left - 18, y + 6), 10, 0, fill=ink)
    return paper


def _sketch(width: int, height: int, random: np.random.Generator, faces: Faces) -> Paper:
    """Pen and pencil: outlines, hatching in layers, a few letters."""
    paper = Paper(width, height, [WHITE, (244, 236, 220), (226, 230, 232)][random.integers(3)], random)
    ink = [BLACK, (52, 44, 40), (30, 40, 90)][random.integers(3)]
    for _ in range(random.integers(8, 20)):
        centre = paper.between(0, width), paper.between(0, height)
        shape = blob(centre, (paper.between(30, 220), paper.between(30, 220)), paper.between(0.1, 0.6), random)
        paper.polygon(shape, _pale(random) if random.random() < 0.3 else None)
        angle = paper.between(0, math.pi)
        for layer in range(random.integers(1, 4)):
            paper.hatch(shape, angle + layer * paper.between(0.5, 1.1), paper.between(2.5, 9),
                        paper.between(0.4, 1.4), ink)  # fmt: skip
        step = int(random.integers(18, 30))
        for k in range(0, len(shape), step // 2):
            paper.stroke((shape + shape)[k : k + step], paper.between(1, 4), ink)
    for _ in range(random.integers(10, 60)):
        start = paper.between(0, width), paper.between(0, height)
        points = [start]
        for _ in range(random.integers(2, 6)):
            points.append((points[-1][0] + random.normal(0, 60), points[-1][1] + random.normal(0, 60)))
        paper.stroke(curve(points), paper.between(0.6, 4), ink)
    script = _script(random, faces)
    face, size = _face(random, faces, script), paper.between(14, 40)
    sign(paper, phrase(script, 3, random), face, (width / 2, height - 40), size, 0, fill=ink)
    return paper


KINDS: tuple[Callable[[int, int, np.random.Generator, Faces], Paper], ...] = (
    _comic,
    _print,
    _comic,
    _poster,
    _chart,
    _sketch,
)


def _scene(paper: Paper, box: Box, colours: bool) -> None:
    """What is behind the figures: tone or flat colour, ground, houses, hills."""
    left, top, right, bottom = box
    corners = _corners(box)
    if colours:
        paper.polygon(corners, _any(paper.random))
    elif paper.random.random() < 0.7:
        paper.tone(corners, str(paper.random.choice(TONES[:4])), paper.between(0.08, 0.5))
    horizon = top + paper.between(0.4, 0.8) * (bottom - top)
    ridge = [(float(x), horizon + paper.random.normal(0, 14)) for x in np.linspace(left, right, 8)]
    ground = [*curve(ridge), (right, bottom), (left, bottom)]
    paper.polygon(ground, _any(paper.random) if colours else WHITE, paper.between(0.8, 2))
    if paper.random.random() < 0.5:
        paper.hatch(ground, paper.between(0, math.pi), paper.between(3, 8), paper.between(0.4, 1.2))
    for _ in range(paper.random.integers(0, 5)):
        x, wide, tall = paper.between(left, right), paper.between(20, 80), paper.between(30, 160)
        house = (x, horizon - tall, x + wide, horizon + 6)
        paper.polygon(_corners(house), _any(paper.random) if colours else WHITE, 1.2)
        for row in np.arange(house[1] + 8, horizon - 8, 14):
            for column in np.arange(x + 6, x + wide - 8, 12):
                lit = paper.random.random() < 0.5
                window = (float(column), float(row), float(column) + 6, float(row) + 8)
                paper.polygon(_corners(window), BLACK if lit else WHITE, 0.6)


def _effects(paper: Paper, box: Box) -> None:
    """Lines that rush past, or run together in a point."""
    left, top, right, bottom = box
    choice = paper.random.random()
    if choice < 0.25:
        centre = paper.between(left, right), paper.between(top, bottom)
        reach = math.hypot(right - left, bottom - top)
        for angle in np.sort(paper.random.uniform(0, 2 * math.pi, 150)):
            near = paper.between(0.2, 0.4) * reach
            width = paper.between(0.006, 0.02)
            tip = (centre[0] + near * math.cos(angle), centre[1] + near * math.sin(angle))
            ends = [(centre[0] + reach * math.cos(angle + d), centre[1] + reach * math.sin(angle + d))
                    for d in (-width, width)]  # fmt: skip
            paper.polygon([tip, *ends], BLACK)
    elif choice < 0.45:
        for y in paper.random.uniform(top, bottom, 60):
            start = paper.between(left, right)
            y = float(y)
            paper.stroke([(start, y), (start + 80, y), (start + paper.between(100, 400), y)], paper.between(0.6, 2.5))


def _figure(paper: Paper, box: Box, colours: bool) -> None:
    """A head with hair and a face, and shoulders below it."""
    random = paper.random
    left, top, right, bottom = box
    size = paper.between(0.12, 0.3) * min(right - left, bottom - top)
    x, y = paper.between(left + size, right - size), paper.between(top + size * 1.2, bottom - size * 0.6)
    line = max(0.8, size / 40)
    skin = (random.integers(150, 250), random.integers(110, 210), random.integers(90, 190)) if colours else WHITE
    skin = (int(skin[0]), int(skin[1]), int(skin[2]))
    cloth = _any(random) if colours else WHITE
    body = [(x - size * 0.4, y + size), (x + size * 0.4, y + size), (x + size * 1.5, y + size * 3),
            (x - size * 1.5, y + size * 3)]  # fmt: skip
    paper.polygon(body, cloth, line)
    paper.tone(body, str(random.choice(TONES)), paper.between(0.15, 0.6))
    head = blob((x, y), (size * 0.85, size * 1.05), 0.05, random)
    paper.polygon(head, skin, line)
    shade = [point for point in head if point[0] > x + size * 0.25]
    if len(shade) > 2:
        if colours:
            paper.polygon(sorted(shade, key=lambda p: p[1]), (skin[0] * 4 // 5, skin[1] * 3 // 4, skin[2] * 3 // 4))
        else:
            paper.hatch(shade, paper.between(0.5, 1.2), paper.between(2, 5), 0.6)
    for side in (-1, 1):
        eye = x + side * size * 0.36, y + size * 0.05
        paper.polygon(blob(eye, (size * 0.2, size * 0.17), 0.03, random), WHITE, line * 0.8)
        paper.polygon(blob(eye, (size * 0.09, size * 0.14), 0, random), _dark(random) if colours else BLACK)
        paper.polygon(blob((eye[0] - size * 0.03, eye[1] - size * 0.05), (size * 0.03,) * 2, 0, random), WHITE)
        paper.stroke([(eye[0] - size * 0.22, eye[1] - size * 0.3), (eye[0], eye[1] - size * 0.36),
                      (eye[0] + size * 0.22, eye[1] - size * 0.3)], line * 2)  # fmt: skip
    mouth = [
        (x - size * 0.25, y + size * 0.55),
        (x, y + size * paper.between(0.5, 0.75)),
        (x + size * 0.25, y + size * 0.55),
    ]
    paper.stroke(curve(mouth), line * 1.6)
    hair = _dark(random) if colours else (BLACK if random.random() < 0.6 else (90, 90, 90))
    for turn in np.linspace(math.pi * 1.02, math.pi * 1.98, int(random.integers(14, 40))):
        root = x + math.cos(turn) * size * 0.55, y - size * 0.35 + math.sin(turn) * size * 0.6
        reach = paper.between(0.9, 1.5)
        end = x + math.cos(turn) * size * reach, y + math.sin(turn) * size * 1.1 * reach + size * 0.2
        bend = (root[0] + end[0]) / 2 + random.normal(0, size * 0.1), (root[1] + end[1]) / 2 - size * 0.12
        paper.stroke(curve([root, bend, end]), size * paper.between(0.08, 0.25), hair)


def _balloon(paper: Paper, box: Box, faces: Faces) -> None:
    left, top, right, bottom = box
    wide, tall = paper.between(45, max(50, (right - left) * 0.28)), paper.between(30, max(34, (bottom - top) * 0.2))
    x, y = paper.between(left + 20, right - 20), paper.between(top + 20, bottom - 20)
    night = paper.random.random() < 0.1
    fill, ink = (BLACK, WHITE) if night else (WHITE, BLACK)
    turn = paper.between(0, 2 * math.pi)
    tip = x + math.cos(turn) * wide * 1.5, y + math.sin(turn) * tall * 1.6
    tail = [(x - 8, y), tip, (x + 8, y)]
    shape = blob((x, y), (wide, tall), 0.04, paper.random)
    paper.polygon(tail, fill, 1.5)
    paper.polygon(shape, fill, 1.5)
    paper.polygon([(x - 7, y), (x + (tip[0] - x) * 0.6, y + (tip[1] - y) * 0.6), (x + 7, y)], fill)
    face = _face(paper.random, faces, _script(paper.random, faces))
    write(paper, (x - wide * 0.68, y - tall * 0.62, x + wide * 0.7, y + tall * 0.7), face, paper.between(9, 20), ink)


def _screened(paper: Paper, box: Box) -> None:
    """A picture of soft lights as a screen of dots prints it, in black or in four inks."""
    left, top, right, bottom = (round(side) for side in box)
    fine = paper.image.width // paper.width
    y, x = np.mgrid[top * fine : bottom * fine, left * fine : right * fine].astype(np.float32) / fine
    inks: list[tuple[Colour, float]] = [(BLACK, 45)]
    if paper.random.random() < 0.5:
        inks = [((255, 225, 0), 0), ((0, 150, 215), 15), ((215, 20, 120), 75), (BLACK, 45)]
    period = paper.between(2.2, 7)
    picture = np.ones((*x.shape, 3), np.float32)
    for ink, degrees in inks:
        tone = np.zeros_like(x)
        for _ in range(5):
            size = paper.between(20, 160)
            square = (x - paper.between(left, right)) ** 2 + (y - paper.between(top, bottom)) ** 2
            tone += paper.between(-0.6, 0.9) * np.exp(-square / (2 * size * size))
        angle = math.radians(degrees)
        u = (x * math.cos(angle) + y * math.sin(angle)) / period
        v = (y * math.cos(angle) - x * math.sin(angle)) / period
        covered = dots(u, v, np.clip(tone, 0.0, 0.97))
        picture[covered] *= np.asarray(ink, np.float32) / 255
    pixels = Image.fromarray((picture * 255).astype(np.uint8))
    paper.image.paste(pixels, (left * fine, top * fine))
    paper.polygon(_corners((left, top, right, bottom)), None, 0.8)


def _panels(width: int, height: int, gap: float, random: np.random.Generator) -> list[Box]:
    """Boxes in rows that fill the page."""
    boxes = []
    rows = np.cumsum([0, *random.dirichlet(np.full(random.integers(2, 4), 6.0))]) * (height - gap)
    for top, bottom in pairwise(rows):
        columns = np.cumsum([0, *random.dirichlet(np.full(random.integers(1, 4), 6.0))]) * (width - gap)
        for left, right in pairwise(columns):
            boxes.append((float(left + gap), float(top + gap), float(right), float(bottom)))
    return boxes


def _corners(box: Box) -> list[Point]:
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _script(random: np.random.Generator, faces: Faces) -> str:
    """A script; Latin letters for a quarter of all."""
    return "latin" if random.random() < 0.25 else str(random.choice(sorted(faces)))


def _face(random: np.random.Generator, faces: Faces, script: str) -> Face:
    return faces[script][int(random.integers(len(faces[script])))]


def _any(random: np.random.Generator) -> Colour:
    return tuple(int(level) for level in random.integers(20, 250, 3))  # type: ignore[return-value]


def _pale(random: np.random.Generator) -> Colour:
    return tuple(int(level) for level in random.integers(195, 256, 3))  # type: ignore[return-value]


def _dark(random: np.random.Generator) -> Colour:
    return tuple(int(level) for level in random.integers(0, 90, 3))  # type: ignore[return-value]
