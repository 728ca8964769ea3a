"""What pens, rulers and sheets of screentone leave on paper, drawn larger than it is to be and then reduced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

FINE = 3
"""Pixels of the paper for one of the picture, along each axis."""

Colour = tuple[int, int, int]
Point = tuple[float, float]
Plane = NDArray[np.floating[Any]]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TONES = ("dots", "graded", "lines", "crossed", "waves", "grain")


class Paper:
    """A page. All places and lengths are in pixels of the picture that it becomes; ``random`` makes the choices."""

    def __init__(self, width: int, height: int, ground: Colour, random: np.random.Generator) -> None:
        self.width, self.height, self.random = width, height, random
        self.image = Image.new("RGB", (width * FINE, height * FINE), ground)
        self.draw = ImageDraw.Draw(self.image)

    def picture(self) -> Image.Image:
        """The page at the size of the picture."""
        return self.image.resize((self.width, self.height), Image.Resampling.BOX)

    def between(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``; the mean of both where there is no room between them."""
        return float(self.random.uniform(low, high)) if low <= high else (low + high) / 2

    def polygon(self, points: Sequence[Point], fill: Colour | None, line: float = 0, colour: Colour = BLACK) -> None:
        """A closed shape, filled, and outlined where ``line`` is not 0."""
        scaled = _scaled(points)
        if fill is not None:
            self.draw.polygon(scaled, fill=fill)
        if line:
            self.draw.line([*scaled, *scaled[:2]], fill=colour, width=max(1, round(line * FINE)), joint="curve")

    def line(self, points: Sequence[Point], width: float, colour: Colour = BLACK) -> None:
        """A line of even width."""
        self.draw.line(_scaled(points), fill=colour, width=max(1, round(width * FINE)), joint="curve")

    def stroke(self, points: Sequence[Point], width: float, colour: Colour = BLACK) -> None:
        """A stroke of a nib: thin at both ends, ``width`` in the middle."""
        line = np.asarray(points, np.float64)
        if len(line) < 3:
            line = np.linspace(line[0], line[-1], 8)
        along = np.gradient(line, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
        normal /= np.maximum(1e-6, np.linalg.norm(normal, axis=1, keepdims=True))
        swell = np.sin(np.linspace(0, math.pi, len(line)))[:, None] ** 0.7 * width / 2
        outline = np.concatenate([line + normal * swell, (line - normal * swell)[::-1]])
        self.draw.polygon(_scaled(outline.tolist()), fill=colour)

    def lay(self, layer: Image.Image | Colour, points: Sequence[Point], ink: Image.Image | None = None) -> None:
        """Put a colour, or what ``layer`` has there, into a closed shape; only where ``ink`` is, which covers `box`."""
        box = self.box(points)
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        shifted = [(x - box[0], y - box[1]) for x, y in _scaled(points)]
        ImageDraw.Draw(mask).polygon(shifted, fill=255)
        if ink is not None:
            mask = ImageChops.multiply(mask, ink)
        self.image.paste(layer.crop(box) if isinstance(layer, Image.Image) else layer, box, mask)

    def box(self, points: Sequence[Point]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a shape on the paper, in its own fine pixels."""
        scaled = np.asarray(_scaled(points))
        low, high = np.floor(scaled.min(axis=0)), np.ceil(scaled.max(axis=0)) + 1
        left, top = (max(0, int(edge)) for edge in low)
        return left, top, min(self.image.width, int(high[0])), min(self.image.height, int(high[1]))

    def tone(self, points: Sequence[Point], kind: str, strength: float, colour: Colour = BLACK) -> None:
        """Lay one of `TONES` into a closed shape; ``strength``, 0 to 1, is how much of it is covered."""
        left, top, right, bottom = self.box(points)
        if left >= right or top >= bottom:
            return
        x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
        covered = self._covered(kind, strength, x / FINE, y / FINE)
        self.lay(colour, points, Image.fromarray((covered * 255).astype(np.uint8)))

    def _covered(self, kind: str, strength: float, x: Plane, y: Plane) -> NDArray[np.bool_]:
        period = self.between(2.5, 9)
        angle = self.between(0, math.pi)
        u, v = (
            (x * math.cos(angle) + y * math.sin(angle)) / period,
            (y * math.cos(angle) - x * math.sin(angle)) / period,
        )
        if kind == "graded":
            ramp = y if self.random.random() < 0.5 else x
            ramp = (ramp - ramp.min()) / max(1.0, float(np.ptp(ramp)))
            return dots(u, v, np.clip(strength * 1.6 * (ramp if self.random.random() < 0.5 else 1 - ramp), 0, 1))
        if kind == "dots":
            return dots(u, v, np.full_like(x, strength))
        if kind == "waves":
            v = v + np.sin(u * self.between(0.3, 1.0)) * self.between(0.2, 0.8)
        if kind == "grain":
            return np.asarray(self.random.random(x.shape) < strength)
        covered = v % 1 < strength
        return covered | (u % 1 < strength) if kind == "crossed" else covered

    def hatch(self, points: Sequence[Point], angle: float, gap: float, width: float, colour: Colour = BLACK) -> None:
        """Fill a closed shape with pen strokes, none of them quite straight or whole."""
        shape = np.asarray(points, np.float64)
        centre, reach = shape.mean(axis=0), float(np.ptp(shape, axis=0).max())
        box = self.box(points)
        layer = Image.new("L", (max(0, box[2] - box[0]), max(0, box[3] - box[1])), 0)
        draw = ImageDraw.Draw(layer)
        along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
        for offset in np.arange(-reach, reach, gap):
            start, end = (sign * reach + self.between(-gap, gap) for sign in (-1, 1))
            places = np.linspace(start, end, 7)[:, None] * along + centre
            places += (offset + self.random.normal(0, gap * 0.12, (7, 1))) * across
            line = [(x - box[0], y - box[1]) for x, y in _scaled(places.tolist())]
            draw.line(line, fill=255, width=max(1, round(width * FINE)), joint="curve")
        self.lay(colour, points, layer)


def dots(u: Plane, v: Plane, tone: Plane) -> NDArray[np.bool_]:
    """Where the dots of a screen with cells of side 1 are, that cover ``tone`` of it: 0 to 1."""
    wave = 0.5 + 0.25 * (np.cos(2 * math.pi * u) + np.cos(2 * math.pi * v))
    # The wave is not spread evenly: this is about the height above which so much of the plane lies.
    return np.asarray(wave > 0.5 + 0.5 * np.sign(0.5 - tone) * np.abs(1 - 2 * tone) ** 1.25)


def blob(centre: Point, size: Point, rough: float, random: np.random.Generator, points: int = 72) -> list[Point]:
    """A closed shape about an ellipse with these half axes; ``rough`` is how far it leaves that, 0 to 1."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    radius = np.ones(points)
    for wave in range(2, 7):
        radius += rough / wave * random.normal() * np.cos(wave * turn + random.uniform(0, 2 * math.pi))
    x, y = centre[0] + size[0] * radius * np.cos(turn), centre[1] + size[1] * radius * np.sin(turn)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def curve(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """A smooth line through all ``points`` (Catmull-Rom)."""
    given = np.asarray([points[0], *points, points[-1]], np.float64)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(given, given[1:], given[2:], given[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    line = np.concatenate([*pieces, given[-1:]])
    return [(float(x), float(y)) for x, y in line]


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * FINE, y * FINE) for x, y in points]
