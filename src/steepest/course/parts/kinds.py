"""Small data sets of sounds and pictures with two classes, and a long sound as a series.

Shapes: N samples, D inputs, T values of a sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from steepest.data.files import check_prices
from steepest.data.formulas import made_rows
from steepest.data.ranges import NotNegative, Rows, Seed
from steepest.data.sources import RowData, SeriesData

RATE, HARMONICS = 8000, 25  # samples of a sound in a second; multiples of the pitch
FORMANTS = {"i": (270, 2290), "a": (730, 1090)}  # Hz, men's means: Peterson & Barney (1952), J. Acoust. Soc. Am. 24(2)
WIDTH = 150  # Hz, of a formant
SIDE = 8  # points of a picture's side


def vowel(name: str, turns_NT: np.ndarray, pitch_N1: np.ndarray) -> np.ndarray:
    """A vowel (N, T): the sum of the multiples of the pitch, loud near the two formants.

    Args:
        name: the vowel.
        turns_NT: how often the voice has vibrated up to each moment.
        pitch_N1: vibrations per second, (N, 1) or (N, T).
    """
    sound_NT = np.zeros_like(turns_NT)
    for multiple in range(1, HARMONICS + 1):
        away = (multiple * pitch_N1[..., None] - np.array(FORMANTS[name])) / WIDTH
        sound_NT += np.exp(-np.square(away) / 2).sum(-1) * np.cos(2 * np.pi * multiple * turns_NT)
    return sound_NT


@dataclass(kw_only=True)
class Kind(RowData):
    """Rows of which every second is of class 1.

    Attributes:
        rows: number of rows.
        noise: standard deviation of the noise.
        seed: the seed of the rows.
    """

    rows: Rows = 2000
    noise: NotNegative = 0.5
    seed: Seed = 0
    classes: bool = True


@dataclass(kw_only=True)
class Vowels(Kind):
    """A hundredth of a second of a voice of 90 to 180 vibrations a second; the class is the vowel, i or a."""

    def read(self) -> pd.DataFrame:
        random, kind_N = np.random.default_rng(self.seed), np.arange(self.rows) % 2
        pitch_N1 = random.uniform(90, 180, (self.rows, 1))
        turns_NT = random.uniform(0, 1, (self.rows, 1)) + pitch_N1 * np.arange(RATE // 100) / RATE
        sound_NT = np.where(kind_N[:, None], vowel("a", turns_NT, pitch_N1), vowel("i", turns_NT, pitch_N1))
        return made_rows(sound_NT + self.noise * random.standard_normal(sound_NT.shape), kind_N)


@dataclass(kw_only=True)
class Shapes(Kind):
    """A picture of 8 x 8 points; the class is the shape, a disc or a cross. Place and size differ."""

    def read(self) -> pd.DataFrame:
        random, kind_N = np.random.default_rng(self.seed), np.arange(self.rows) % 2
        size_N11 = random.uniform(1.5, 3, (self.rows, 1, 1))
        centre_N2 = random.uniform(2.5, SIDE - 3.5, (2, self.rows, 1, 1))
        down, right = np.abs(np.arange(SIDE)[:, None] - centre_N2[0]), np.abs(np.arange(SIDE) - centre_N2[1])
        disc = np.hypot(down, right) <= size_N11
        cross = (np.minimum(down, right) <= 0.5) & (np.maximum(down, right) <= size_N11)
        shown = np.where(kind_N[:, None, None], cross, disc) + self.noise * random.standard_normal(disc.shape)
        return made_rows(shown.reshape(self.rows, -1), kind_N)


@dataclass(kw_only=True)
class Voice(SeriesData):
    """A long vowel a, 8000 values a second, as a series. Its pitch rises and falls between 118 and 122.

    Attributes:
        rows: number of values.
        noise: standard deviation of the noise.
        seed: the seed of the noise.
    """

    rows: Rows = 4000
    noise: NotNegative = 0.3
    seed: Seed = 0

    def read(self) -> pd.DataFrame:
        pitch_T = 120 + 2 * np.sin(2 * np.pi * 5 * np.arange(self.rows) / RATE)
        sound_T = vowel("a", np.cumsum(pitch_T) / RATE, pitch_T)
        sound_T += self.noise * np.random.default_rng(self.seed).standard_normal(self.rows)
        date = pd.date_range("1990-01-01", periods=self.rows, freq="D")  # a series needs dates
        return check_prices(pd.DataFrame({"date": date, "voice": 100 + sound_T}), "data=course/voice")
