"""The embedded stand-in: seeded drawn faces, stored as JPEG files with UTKFace file names.

Age and gender change simple cues (proportions, hair, lines). The five race codes choose abstract
palettes and shapes, depict no real group, and are called "class 0" to "class 4"; all faces have
fantasy tints. Nuisance (pose, light, background, noise, glasses, hats) makes the set about as hard
as UTKFace, but numbers measured on it are no results. It is as untidy, too: some faces are there
twice, often under labels that differ, and some names are odd.
"""

from __future__ import annotations

import colorsys
import datetime
import functools
import io
import os
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter
from threadpoolctl import threadpool_limits

from hw1lib.checks import FileError, whole_number
from hw1lib.files import make_folder
from hw1lib.progress import bar, processes

START = datetime.datetime(2017, 1, 1)  # in the name of the first face
VERSION = 2  # of what is drawn: raised when the same seed gives other pictures
SIZE = 200  # pixels a side, as UTKFace's aligned and cropped pictures
QUALITY = 88  # of the JPEG files
BATCH = 100  # faces drawn by one call of a worker
FACE_BYTES = 10_500  # of one file, about

# fmt: off
# (first age, last age, per cent of all faces); within a row every age is equally frequent
AGE_TABLE = (
    (1, 1, 4.8), (2, 2, 2.0), (3, 9, 6.1), (10, 15, 3.2), (16, 19, 3.4), (20, 23, 6.1),
    (24, 25, 6.6), (26, 26, 9.4), (27, 29, 9.0), (30, 34, 9.7), (35, 39, 9.4), (40, 44, 4.9),
    (45, 49, 4.4), (50, 54, 5.6), (55, 59, 4.1), (60, 64, 3.1), (65, 69, 2.6), (70, 74, 1.6),
    (75, 79, 1.4), (80, 84, 1.0), (85, 89, 1.1), (90, 99, 0.6), (100, 116, 0.14),
)
GENDER_TABLE = (52.3, 47.7)  # per cent: 0 male, 1 female
RACE_TABLE = (42.5, 19.1, 14.5, 16.8, 7.1)  # per cent of class 0..4

# What a class chooses: hues (0..1 round the colour circle) of face and clothes; how pointed ears
# are.
FACE_HUE = (0.50, 0.72, 0.61, 0.87, 0.32)  # teal, lavender, sky, orchid, leaf ...
SECOND_HUE = (0.80, 0.40, 0.90, 0.55, 0.67)  # ... and, for SECOND_SHARE of its faces, one between
SECOND_SHARE = 0.12
HUE_SPREAD = 0.045  # makes the classes overlap
HUE_RANGE = (0.24, 0.90)  # green to pink, so that no face has a skin tone of real people
CLOTHES_HUE = (0.60, 0.10, 0.85, 0.45, 0.00)
EAR_POINT = (0.0, 0.7, 0.2, 1.0, 0.5)
# How far apart age and shown age are (standard deviation): years, and years a year.
AGE_SPREAD = (3.0, 0.17)

# As untidy as UTKFace. Of all faces, these shares repeat the one just before them, byte for byte or
# in another photograph (with the repeated ones they are twice as many); of the repeats, these
# shares have another label.
COPIES, PHOTOGRAPHED_AGAIN = 0.0145, 0.0213
RELABELLED = {"age": 0.55, "gender": 0.095, "race": 0.19}
ODD_ENDINGS = {97: " .jpg.chip.jpg", 98: "jpg.chip.jpg"}  # of the names of these faces
WITHOUT_RACE = (99, 7_099, 14_099)  # these are stored once more, without the race label

NOISE = 4.0  # standard deviation, in grey levels
HAIR = ((40, 36, 58), (88, 54, 48), (58, 62, 96), (120, 74, 50), (150, 104, 140), (176, 136, 84),
        (190, 160, 124))
GREY, WHITE, INK = (226, 228, 234), (250, 250, 252), (38, 32, 52)
# fmt: on

CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 28)) for f in (np.cos, np.sin)], axis=1)  # (28, 2)
_across = np.arange(-98, 102, 4, dtype=np.float32)
GRID = np.meshgrid(_across, _across)  # x, y of a 50 x 50 map of the light
AGE_SHARE, GENDER_SHARE, RACE_SHARE = (
    np.array(table) / sum(table)
    for table in ([row[2] for row in AGE_TABLE], GENDER_TABLE, RACE_TABLE)
)
# A film's response: bright light is compressed, so that no highlight burns out.
_levels = np.arange(512)
FILM = np.where(_levels < 170, _levels, 255 - 85 * np.exp((170 - _levels) / 85)).astype(np.uint8)

Colour = tuple[int, ...]


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """Colour between `a` (t=0) and `b` (t=1)."""
    return tuple(round(x + (y - x) * t) for x, y in zip(a, b, strict=True))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Colour as 0..255 RGB from hue (wraps round), saturation and value, each 0..1."""
    return tuple(round(255 * x) for x in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


@functools.cache
def _rounding(n: int) -> np.ndarray:
    """Matrix (8n, n) that cuts a polygon's corners three times (Chaikin's curve)."""
    matrix = np.eye(n)
    for _ in range(3):
        following = np.roll(matrix, -1, axis=0)
        cut = np.stack([0.75 * matrix + 0.25 * following, 0.25 * matrix + 0.75 * following], axis=1)
        matrix = cut.reshape(-1, n)
    return matrix


class Pen:
    """Draws shapes, in face coordinates (0..200, y down), on a picture `zoom` times as large."""

    def __init__(self, picture: Image.Image, zoom: float, f: SimpleNamespace):
        self.draw = ImageDraw.Draw(picture)
        self.scale = zoom * f.scale
        c, s = self.scale * np.cos(f.turn), self.scale * np.sin(f.turn)
        self.matrix = np.array([[c, s], [-s, c]])
        self.offset = zoom * (100 + f.shift) - np.array((100.0, 100.0)) @ self.matrix

    def _place(self, points) -> list[float]:
        return (points @ self.matrix + self.offset).ravel().tolist()

    def blob(self, fill, points) -> None:
        """Fill a closed outline with rounded corners."""
        curve = _rounding(len(points)) @ np.asarray(points, float)
        self.draw.polygon(self._place(curve), fill=fill)

    def mirrored(self, fill, half, x: float = 100.0) -> None:
        """Fill an outline and its mirror image: `half` is (distance from x, y), from above."""
        self.blob(fill, [(x + d, y) for d, y in half] + [(x - d, y) for d, y in reversed(half)])

    def oval(self, fill, x: float, y: float, rx: float, ry: float) -> None:
        """Fill an ellipse."""
        self.draw.polygon(self._place(CIRCLE * (rx, ry) + (x, y)), fill=fill)

    def line(self, fill, width: float, points) -> None:
        """Stroke an open curve, the closed one without its last side; width in face units."""
        a = np.asarray(points, float)
        curve = np.vstack([a[:1], _rounding(len(a))[: 8 * len(a) - 14] @ a, a[-1:]])
        self.draw.line(self._place(curve), fill=fill, width=max(1, round(width * self.scale)))


def _draw_labels(rng: np.random.Generator) -> dict[str, int]:
    first, last = AGE_TABLE[rng.choice(len(AGE_TABLE), p=AGE_SHARE)][:2]
    age = int(rng.integers(first, last + 1))
    gender, race = int(rng.choice(2, p=GENDER_SHARE)), int(rng.choice(5, p=RACE_SHARE))
    return {"age": age, "gender": gender, "race": race}


def _look(rng: np.random.Generator, labels: dict[str, int]) -> SimpleNamespace:
    """Draw every number that describes one picture; the labels act here and nowhere else."""
    f, normal, chance = SimpleNamespace(), rng.normal, rng.random
    age, male, k = labels["age"], labels["gender"] == 0, labels["race"]
    seen = max(0.5, age + (AGE_SPREAD[0] + AGE_SPREAD[1] * age) * normal())  # that the face shows
    f.child = np.exp(-((seen / 13) ** 1.3))  # 1 at birth, 0.5 at 10, 0 from 30 on
    f.old = np.clip((seen - 25) / 55, 0, 1.15)
    grown = np.clip(normal(0.8 if male else 0.2, 0.19), 0, 1)
    f.manly = grown * (1 - 0.7 * f.child) + 0.3 * f.child
    # pose and light
    f.turn, f.scale = normal(0, 0.07), normal(1.08, 0.06)
    f.shift, f.yaw = normal(0, 4, 2), normal(0, 5)
    f.light = normal(0, 0.22, 2)
    f.exposure, f.cast = np.exp(normal(-0.1, 0.2)), np.exp(normal(0, 0.07, 3))
    # colours
    tint = (SECOND_HUE if chance() < SECOND_SHARE else FACE_HUE)[k]
    hue = np.clip(normal(tint, HUE_SPREAD), *HUE_RANGE)
    saturation = np.clip(normal(0.44 + 0.05 * f.child - 0.18 * f.old, 0.06), 0.2, 0.65)
    f.skin = hsv(hue, saturation, np.clip(normal(0.84, 0.05), 0.6, 0.97))
    f.shade = mix(f.skin, hsv(hue + 0.06, 0.6, 0.3), 0.28)
    f.dark = mix(f.skin, hsv(hue + 0.06, 0.6, 0.25), 0.62)
    f.rosy = mix(f.skin, (236, 96, 120), 0.25 + 0.15 * f.child)
    f.cloth = hsv(CLOTHES_HUE[k] + normal(0, 0.13), rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.9))
    f.extra = hsv(chance(), rng.uniform(0.2, 0.6), rng.uniform(0.5, 0.95))  # glasses, hat, earrings
    f.iris = hsv(chance(), 0.5, rng.uniform(0.35, 0.7))
    first, second = HAIR[rng.integers(len(HAIR))], HAIR[rng.integers(len(HAIR))]
    young_hair = mix(first, second, rng.uniform(0, 0.6))
    grey = np.clip(normal(1.6 * f.old - 0.4, 0.2), 0, 1)
    f.hair = mix(mix(young_hair, (232, 204, 160), 0.12 * f.child), GREY, grey)
    f.brow = mix(mix(f.hair, INK, 0.3), f.skin, 0.3 + 0.4 * f.child)
    # shapes
    f.wide = normal(59 + 6 * f.child + 2.5 * f.manly + 1.5 * f.old, 2)
    f.jaw = normal(0.60 + 0.13 * f.manly + 0.12 * f.child + 0.06 * f.old, 0.035)
    f.top, f.chin = normal(26, 2), normal(187 - 12 * f.child + 3 * f.manly, 2)
    f.eye_x, f.eye_y = normal(28.5, 1.2), normal(93 + 9 * f.child, 1.5)
    f.eye_r = normal(9.5 + 4 * f.child - 1.5 * f.old - 0.8 * f.manly, 0.7)
    f.nose_y = 125 + 3 * f.child + 2 * f.old
    f.nose_w = normal(8 - 2 * f.child + 2 * f.manly + 2 * f.old, 1)
    f.mouth_y, f.mouth_w, f.smile = normal(152, 1.5), normal(19 - 4 * f.child, 1.5), normal(2.5, 3)
    f.open = max(0.0, normal(-1, 3))
    f.lip = normal(4.6 - 2.0 * f.manly - 1.5 * f.old, 0.5)
    f.point = np.clip(normal(EAR_POINT[k], 0.35), 0, 1.4)
    f.wrinkle = np.clip(normal(f.old, 0.12), 0, 1)
    # hair and things worn
    long_hair = chance() < (0.10 if male else 0.78) * (1 - 0.65 * f.child) * (1 - 0.35 * f.old)
    f.length = rng.uniform(150, 235) if long_hair else 0.0
    f.bald = chance() < (0.75 * (seen < 2.2) if seen < 16 else 0.55 * f.old * male)
    f.style = rng.choice(("short", "part", "fringe", "curly", "bun"), p=(0.3, 0.3, 0.15, 0.15, 0.1))
    f.side = rng.choice((-1, 1))
    f.volume = np.clip(normal(11 - 6 * f.child - 3 * f.old + (3 if long_hair else 0), 3), 1.5, 20)
    f.hairline = normal(56 - 12 * f.old * f.manly * chance() + 3 * f.child, 3)
    f.beard = chance() * (male and seen > 18 and chance() < 0.38)  # 0 none, 1 full
    f.moustache = male and seen > 18 and chance() < 0.25
    f.lipstick = not male and seen > 15 and chance() < 0.5
    f.glasses = chance() < 0.06 + 0.34 * f.old
    f.hat = chance() < 0.07 + 0.12 * f.child
    f.earring = chance() < (0.06 if male else 0.4) * (1 - f.child)
    return f


# The drawing itself: outlines as lists of (x, y). w is half the head's width, r an eye's radius, s
# a side (-1, 1).
# fmt: off
def _head(f: SimpleNamespace) -> list[tuple[float, float]]:
    w, j = f.wide, f.jaw * f.wide
    return [(0, f.top - 5), (0.5 * w, f.top), (0.9 * w, f.top + 20), (1.04 * w, f.eye_y - 14),
            (0.97 * w, f.nose_y), (j + 8, f.mouth_y), (0.72 * j, f.chin - 3), (0.2 * w, f.chin + 3),
            (0, f.chin + 3)]


def _draw_bust(pen: Pen, f: SimpleNamespace) -> None:
    """Back hair, neck, clothes, ears, head and beard."""
    w, j, neck = f.wide, f.jaw * f.wide, 25 + 8 * f.manly - 5 * f.child
    if f.length:
        v = w + f.volume + 4
        pen.mirrored(mix(f.hair, INK, 0.22), [(0, 8), (0.55 * v, 10), (0.95 * v, 40), (v + 4, 110),
                                              (v + 3, f.length), (0.4 * v, f.length + 6)])
    pen.mirrored(f.shade, [(neck, 140), (neck, 190), (neck + 8, 240)])
    pen.mirrored(f.cloth, [(neck + 3, 186), (neck + 14, 192), (92, 206), (125, 240)])
    pen.mirrored(f.shade, [(neck + 1, 180), (neck - 4, 196), (6, 214 - 10 * f.point)])  # neckline
    for s in (-1, 1):
        x, y, out = 100 + s * (w - 1) - 0.45 * f.yaw, f.eye_y + 8, s * (7 + 2 * f.old)
        pen.blob(f.shade, [(x - s * 6, y - 12), (x + out, y - 16 - 12 * f.point),
                           (x + 1.5 * out, y - 4), (x + out, y + 16 + 5 * f.old),
                           (x - s * 3, y + 20)])
        pen.blob(mix(f.shade, f.rosy, 0.6), [
            (x - s * 2, y - 7), (x + 0.8 * out, y - 11 - 7 * f.point), (x + out, y), (x, y + 12)])
        if f.earring:
            pen.oval(f.extra, x + 0.6 * out, y + 24, 3.5, 3.5 + 6 * f.point)
    pen.mirrored(f.skin, _head(f))
    if f.beard:
        pen.mirrored(mix(f.hair, f.skin, 0.75 - 0.7 * f.beard), [
            (0.98 * w, f.eye_y + 8), (0.94 * w, f.nose_y + 8), (j + 6, f.mouth_y + 8),
            (0.72 * j, f.chin - 1), (0, f.chin + 3 + 8 * f.beard)])
        pen.mirrored(f.skin, [
            (0, f.eye_y - 8), (0.99 * w, f.eye_y - 6), (0.86 * w, f.nose_y),
            (0.6 * w, f.mouth_y - 3), (24, f.mouth_y + 9), (0, f.mouth_y + 11)], 100 + 0.5 * f.yaw)


def _draw_eye(pen: Pen, f: SimpleNamespace, s: int, wrinkle: Colour) -> None:
    """One eye with its lid, bag, brow and crow's feet."""
    x, y, r = 100 + f.yaw + s * f.eye_x, f.eye_y, f.eye_r
    lid = f.eye_y - (0.78 - 0.25 * f.old) * f.eye_r
    pen.oval(mix(f.skin, f.shade, 0.45 + 0.3 * f.old), x, y + 1, 1.55 * r, 1.2 * r)  # socket
    pen.line(wrinkle, 1.6, [(x - 1.1 * r, y + r + 3), (x, y + r + 7), (x + 1.1 * r, y + r + 3)])
    upper = [(x - 1.5 * r, y + 1), (x - 0.7 * r, lid), (x + 0.7 * r, lid), (x + 1.5 * r, y + 1)]
    pen.blob(WHITE, [*upper, (x + 0.6 * r, y + 0.8 * r), (x - 0.6 * r, y + 0.8 * r)])
    look = x + 0.12 * f.yaw
    pen.oval(f.iris, look, y, 0.58 * r, 0.6 * r)
    pen.oval(INK, look, y, 0.3 * r, 0.32 * r)
    pen.oval(WHITE, look - 0.2 * r, y - 0.22 * r, 0.15 * r, 0.15 * r)
    pen.line(f.dark if f.manly > 0.5 else INK, 2.2 - 0.8 * f.manly,
             [(x - 1.4 * r, y + 1), (x - 0.7 * r, lid), (x + 0.7 * r, lid), (x + 1.4 * r, y + 1)])
    brow = y - r - 8 + 2 * f.manly
    pen.line(f.brow, 2 + 3 * f.manly, [(x - s * 1.5 * r, brow + 2), (x, brow - 3),
                                      (x + s * 1.7 * r, brow + 3 + 3 * f.old)])
    if f.wrinkle > 0.15:
        for d in (-4, 1, 6):
            pen.line(wrinkle, 1.3, [(x + s * 1.7 * r, y + 0.4 * d), (x + s * 2 * r, y + d),
                                    (x + s * 2.3 * r, y + 1.7 * d)])


def _draw_features(pen: Pen, f: SimpleNamespace) -> None:
    """Eyes, lines, nose, mouth and moustache; the yaw moves them all sideways."""
    x, n, m, ny, y = 100 + f.yaw, f.nose_w, f.mouth_w, f.nose_y, f.mouth_y
    wrinkle = mix(f.skin, f.dark, 0.75 * f.wrinkle)
    lips = mix(f.rosy, (204, 40, 84), 0.5 if f.lipstick else 0.15)
    for s in (-1, 1):
        _draw_eye(pen, f, s, wrinkle)
        if f.wrinkle > 0.15:  # from the nose to the mouth
            corner = x + s * (m + 2), y - 8
            pen.line(wrinkle, 2, [(x + s * (n + 4), ny), corner, (x + s * (m + 4), y + 6)])
    for d in range(int(4 * f.wrinkle)):  # forehead
        low, high = f.eye_y - 26 - 7 * d + 2, f.eye_y - 26 - 7 * d - 2
        pen.line(wrinkle, 1.6, [(x - 26, low), (x - 9, high), (x + 9, high), (x + 26, low)])
    pen.blob(mix(f.skin, f.shade, 0.5), [(x + 0.3 * f.yaw - 1, f.eye_y), (x + 4, f.eye_y + 5),
                                         (x + n, ny - 3), (x + n, ny + 5), (x - n, ny + 5),
                                         (x - n, ny - 2)])
    pen.oval(mix(f.skin, WHITE, 0.25), x - 0.5 + 0.2 * f.yaw, ny - 2, 0.45 * n, 4)
    for s in (-1, 1):
        pen.oval(f.dark, x + s * 0.5 * n, ny + 3.2, 0.2 * n + 0.5, 1.5)
    corner, below = y - f.smile, y + 1.3 * f.lip + f.open
    pen.blob(lips, [(x - m, corner), (x - 0.4 * m, y - f.lip), (x, y - 0.6 * f.lip),
                    (x + 0.4 * m, y - f.lip), (x + m, corner), (x + 0.5 * m, below),
                    (x - 0.5 * m, below)])
    if f.open > 1:  # teeth
        pen.blob(WHITE, [(x - 0.8 * m, corner + 1), (x, y), (x + 0.8 * m, corner + 1),
                         (x, y + 1.7 * f.open)])
    pen.line(mix(lips, INK, 0.5), 1.6, [(x - m, corner), (x - 0.3 * m, y + 1),
                                        (x + 0.3 * m, y + 1), (x + m, corner)])
    if f.moustache:
        pen.mirrored(f.hair, [(0, ny + 9), (m, y - 7), (m + 4, y + 1 - f.smile), (0.4 * m, y - 3),
                              (0, y - 4)], x)


def _draw_hair(pen: Pen, f: SimpleNamespace) -> None:
    """Front hair in one of five styles."""
    w, v, line, top, ear, x = f.wide + 1, f.volume, f.hairline, f.top, f.eye_y, 100 + 0.5 * f.yaw
    part = x + f.side * 0.35 * w
    if f.style == "bun":
        pen.oval(mix(f.hair, INK, 0.15), 100, top - v - 6, 20, 17)
    if f.style == "curly":
        size = 12 + 0.4 * v
        for t in np.linspace(-0.1, 1.1, 13) * np.pi:
            across = 100 - (w + 0.4 * size) * np.cos(t)
            pen.oval(f.hair, across, 78 - (67 - top + 0.5 * v) * np.sin(t), size, size)
    outer = [(w + 0.3 * v, ear + 6), (w + v, ear - 26), (0.88 * w + 0.8 * v, top + 18 - 0.6 * v),
             (0.5 * w, top - 4 - v)]
    if f.style == "part":
        edge = [(100 + 0.93 * w, line + 16), (100 + 0.7 * w, line + 6), (part, line - 14),
                (part, line - 10), (100 - 0.7 * w, line + 6), (100 - 0.93 * w, line + 16)]
    elif f.style == "fringe":
        edge = [(100 + 0.95 * w, line + 20), (x + 0.5 * w, line + 14), (x + 0.1 * w, line + 10),
                (x, line + 16), (x - 0.5 * w, line + 14), (100 - 0.95 * w, line + 20)]
    else:
        edge = [(100 + 0.95 * w, line + 18), (x + 0.72 * w, line + 2), (x + 0.3 * w, line - 5),
                (x - 0.3 * w, line - 5), (x - 0.72 * w, line + 2), (100 - 0.95 * w, line + 18)]
    left, right = [(100 - a, y) for a, y in outer], [(100 + a, y) for a, y in reversed(outer)]
    pen.blob(f.hair, [*left, (100.0, top - 9 - v), *right, *edge])
    for d in (-0.62, -0.36, -0.1, 0.16, 0.42, 0.68):  # strands, from the parting outwards
        pen.line(mix(f.hair, WHITE if d * f.side < 0 else INK, 0.13), 1.6, [
            (0.75 * part + 0.25 * (100 + d * w), top - 3 - 0.6 * v), (100 + 0.9 * d * w, top + 6),
            (100 + 1.05 * d * w, line - 14 + 18 * abs(d) - 0.4 * v)])
    for s in (-1, 1) if f.length else ():
        a = 100 + s * w
        pen.blob(f.hair, [(a - s * 8, ear - 40), (a + s * v, ear - 30), (a + s * (v + 5), ear + 30),
                          (a + s * v, f.length), (a - s * 4, f.length - 6), (a - s * 3, ear + 20)])


def _draw_bald(pen: Pen, f: SimpleNamespace) -> None:
    """Draw a wreath of hair for the old, down for infants."""
    w, top, ear = f.wide + 1, f.top, f.eye_y
    if f.old == 0:
        pen.mirrored(mix(f.skin, f.hair, 0.35), [(0, top - 5), (0.5 * w, top), (0.88 * w, top + 19),
                                                 (0.5 * w, top + 12), (0, top + 16)])
    for s in (-1, 1) if f.old > 0 else ():
        x = 100 + s * w
        pen.blob(f.hair, [(x - s * 9, ear - 26), (x + s * 3, ear - 32), (x + s * 7, ear - 8),
                          (x, ear + 14), (x - s * 4, ear - 4)])


def _draw_worn(pen: Pen, f: SimpleNamespace) -> None:
    """Glasses and hat."""
    x, y, w = 100 + f.yaw, f.eye_y, f.wide + 1
    if f.glasses:
        for s in (-1, 1):
            pen.line(f.extra, 2.6, CIRCLE * (20, 16) + (x + s * f.eye_x, y + 2))
            pen.line(f.extra, 2.6, [(x + s * (f.eye_x + 20), y), (100 + s * (w - 3), y - 2)])
        pen.line(f.extra, 2.6, [(x - 9, y), (x, y - 3), (x + 9, y)])
    if f.hat:
        x = 100 + 0.5 * f.yaw
        pen.mirrored(f.extra, [(0, 0), (0.55 * w, 4), (w, 26), (w + 7, 58), (0.6 * w, 50),
                               (0, 48)], x)
        pen.mirrored(mix(f.extra, INK, 0.25), [(0, 44), (0.6 * w, 45), (w + 9, 52), (w + 8, 68),
                                              (0.6 * w, 60), (0, 58)], x)
# fmt: on


def _photograph(picture: Image.Image, f: SimpleNamespace, rng: np.random.Generator) -> Image.Image:
    """Halve the picture (which smooths its edges), light the head as a ball, add cast and noise."""
    relief = Image.new("L", (SIZE // 4, SIZE // 4), 128)  # 128 is flat; lighter stands out
    pen, x = Pen(relief, 0.25, f), 100 + f.yaw
    pen.mirrored(95, [(0.75 * f.wide, 150), (30, 205)])  # under the chin
    pen.mirrored(130, _head(f))
    for side in (-1, 1):
        pen.oval(148, x + side * 36, 128, 14, 11)  # cheek bone
        pen.oval(118, x + side * 45, 150, 8, 16)
        pen.oval(112, x + side * 20, 104, 7, 5)  # inner corner of the eye
    pen.oval(145, x, 60, 34, 14)  # forehead
    pen.oval(115, x, f.mouth_y + 13, 10, 3)  # under the lip
    pen.oval(142, x, f.chin - 8, 10, 5)
    blur = ImageFilter.BoxBlur(1)
    gx, gy = GRID[0] - f.shift[0], GRID[1] - f.shift[1]
    ball = np.sqrt(np.clip(1 - (gx / 72) ** 2 - ((gy - 5) / 92) ** 2, 0, None))
    light = (0.86 + 0.22 * ball + f.light[0] * gx / 70 + f.light[1] * gy / 90) * f.exposure
    light *= np.asarray(relief.filter(blur).filter(blur)) / 128
    light = Image.fromarray(light.astype(np.float32))
    light = light.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    lit = np.repeat(np.asarray(light), 3, axis=1)  # (200, 600), as all below: long rows are quick
    lit *= np.asarray(picture.reduce(2)).reshape(SIZE, 3 * SIZE)
    lit *= np.tile(f.cast.astype(np.float32), SIZE)
    lit += np.repeat(NOISE * rng.standard_normal((SIZE, SIZE), np.float32), 3, axis=1)
    levels = np.clip(lit, 0, 511, out=lit).astype(np.uint16)
    return Image.fromarray(FILM[levels].reshape(SIZE, SIZE, 3))


def draw_face(index: int, seed: int = 0) -> tuple[Image.Image, dict[str, int]]:
    """Return face number ``index`` of the set ``seed``, RGB of 200 x 200 pixels, and its labels.

    It depends on these two alone. Some repeat the one before them, exactly or in another
    photograph, with labels of their own: ``{"age": 1..116, "gender": 0..1, "race": 0..4}``.
    """
    first, again = _first(index, seed), _generator(index, seed, 1)
    rng = _generator(first, seed)
    f = _look(rng, _draw_labels(rng))
    grey = rng.uniform(50, 205) + rng.normal(0, 20, 3) + rng.normal(0, 26, (3, 3, 1))
    grey = grey + rng.normal(0, 9, (3, 3, 3))
    if first != index and again.random() >= COPIES:  # photographed again
        f.shift = f.shift + again.normal(0, 0.3, 2)
        f.exposure = f.exposure * np.exp(again.normal(0, 0.02))
        rng = again
    background = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))  # 3 x 3 pixels, stretched
    picture = background.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    picture = picture.resize((2 * SIZE, 2 * SIZE), Image.Resampling.NEAREST)
    for draw in (_draw_bust, _draw_features, _draw_bald if f.bald else _draw_hair, _draw_worn):
        draw(Pen(picture, 2, f), f)
    return _photograph(picture, f, rng), draw_labels(index, seed)


def draw_labels(index: int, seed: int = 0) -> dict[str, int]:
    """Return the labels of ``draw_face(index, seed)`` without drawing."""
    first = _first(index, seed)
    labels = _draw_labels(_generator(first, seed))
    return labels if first == index else _label_again(_generator(index, seed, 2), **labels)


def _first(index: int, seed: int) -> int:
    """Return the number of the face that face `index` repeats; of most faces, their own."""
    while _generator(index, seed, 1).random() < COPIES + PHOTOGRAPHED_AGAIN and index > 0:
        index -= 1
    return index


def _label_again(rng: np.random.Generator, age: int, gender: int, race: int) -> dict[str, int]:
    """Return the labels that somebody else gives to the same face."""
    if rng.random() < RELABELLED["age"]:
        years = int(np.ceil((AGE_SPREAD[0] + AGE_SPREAD[1] * age) * abs(rng.normal())))
        older = age <= years or rng.random() < 0.5
        age = min(age + years, AGE_TABLE[-1][1]) if older else age - years
    if rng.random() < RELABELLED["gender"]:
        gender = 1 - gender
    if rng.random() < RELABELLED["race"]:
        race = (race + int(rng.integers(1, 5))) % 5
    return {"age": age, "gender": gender, "race": race}


def _generator(index: int, seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, index, *stream])


def file_name(index: int, labels: dict[str, int]) -> str:
    """Name a face as UTKFace does, ``age_gender_race_YYYYMMDDHHMMSSFFF.jpg.chip.jpg``.

    A face takes a second. Two faces' names end oddly, and a label that is missing is left out.
    """
    when = START + datetime.timedelta(seconds=int(index))
    known = "".join(f"{labels[key]}_" for key in ("age", "gender", "race") if key in labels)
    return f"{known}{when:%Y%m%d%H%M%S}{index % 1000:03d}" + ODD_ENDINGS.get(index, ".jpg.chip.jpg")


def are_drawn(files: pd.Series) -> bool:
    """Tell from their file names if more than 1 % are drawn: `file_name` made the stamps."""
    stamps = files.astype(str).str.extract(r"_(\d{14})(\d{3})(?!\d)")
    when = pd.to_datetime(stamps[0], format="%Y%m%d%H%M%S", errors="coerce")
    index = (when - pd.Timestamp(START)).dt.total_seconds()
    return bool((index % 1000 == stamps[1].astype(float)).mean() > 0.01)


def make(
    folder, n_faces: int = 20_000, seed: int = 0, n_jobs: int = -1, progress: bool = True
) -> Path:
    """Write a folder of drawn JPEG files, or return at once if it is there already.

    The files are the same with any number of worker processes (``n_jobs``; -1: one a core), and the
    first faces of a large set are those of a small one. From 100 faces on, one to three files come
    on top, whose names lack the race label. ``seed`` says which set of faces.

    FileError if ``folder`` holds anything but these faces, or can't be written.
    """
    n_faces, seed = whole_number("n_faces", n_faces), whole_number("seed", seed, 0)

    def fill(partial: Path) -> None:
        draw = joblib.delayed(_draw_files)
        batches = (range(n_faces)[start : start + BATCH] for start in range(0, n_faces, BATCH))
        work = (draw(partial, batch, seed) for batch in batches)
        with bar(None, "drawing faces", n_faces, progress) as drawing:
            for n in joblib.Parallel(processes(n_jobs), return_as="generator_unordered")(work):
                drawing.update(n)

    folder = make_folder(folder, fill, n_faces * FACE_BYTES)
    n_files = n_faces + sum(index < n_faces for index in WITHOUT_RACE)
    first = file_name(0, draw_labels(0, seed))
    if len(os.listdir(folder)) != n_files or not (folder / first).exists():
        raise FileError(
            f"{folder} must be new, empty, or hold {n_faces} faces of seed {seed} and no more: "
            "delete it or choose another"
        )
    return folder


def _draw_files(folder: Path, batch: range, seed: int) -> int:
    with threadpool_limits(1):
        for index in batch:
            picture, labels = draw_face(index, seed)
            jpeg = io.BytesIO()  # on a full disk, Pillow itself would only say "encoder error"
            picture.save(jpeg, "JPEG", quality=QUALITY)
            (folder / file_name(index, labels)).write_bytes(jpeg.getvalue())
            if index in WITHOUT_RACE:
                del labels["race"]
                (folder / file_name(index, labels)).write_bytes(jpeg.getvalue())
    return len(batch)
