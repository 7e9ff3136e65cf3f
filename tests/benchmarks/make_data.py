"""Make image folders to measure on: Fashion-MNIST from its files, three-digit numbers, photo-like JPEGs.

    python tests/benchmarks/make_data.py fashion-mnist IDX_DIR OUT
    python tests/benchmarks/make_data.py numbers OUT --classes 200 --images 20
    python tests/benchmarks/make_data.py photographs OUT --count 5000

Equal arguments give equal files.
"""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from sklearn.datasets import load_digits

FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")

app = typer.Typer(help="Make image folders to measure on.")


@app.command("fashion-mnist")
def write_fashion_mnist(idx_folder: Path, out: Path) -> None:
    """Write both splits as PNG to OUT/train and OUT/test: <class>/<number in the split>.png.

    IDX_FOLDER holds train-images-idx3-ubyte.gz and the other three files (on Debian and Ubuntu: the package
    dataset-fashion-mnist puts them into /usr/share/datasets/fashion-mnist).
    """
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(idx_folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = _read_idx(idx_folder / f"{prefix}-labels-idx1-ubyte.gz")
        for name in FASHION:
            (out / split / name).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            Image.fromarray(image).save(out / split / FASHION[label] / f"{number:05d}.png")


def _read_idx(file: Path) -> npt.NDArray[np.uint8]:
    content = gzip.decompress(file.read_bytes())
    shape = np.frombuffer(content, dtype=">i4", count=content[3], offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * content[3]).reshape(shape)


@app.command("numbers")
def write_numbers(out: Path, classes: int = 200, images: int = 20, seed: int = 0) -> None:
    """Write many classes with few images each, at most 1,000: three-digit numbers, made of scikit-learn's digits.

    An image is 32 × 32 pixels: the digits of its class, enlarged twice, in three corners.
    """
    digits, generator = load_digits(), np.random.default_rng(seed)
    of_digit = [digits.images[digits.target == digit] for digit in range(10)]
    for name in (f"{number:03d}" for number in range(classes)):
        (out / name).mkdir(parents=True, exist_ok=True)
        for image in range(images):
            drawn = [of_digit[int(digit)][generator.integers(len(of_digit[int(digit)]))] for digit in name]
            parts = [np.clip(part * 16, 0, 255).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1) for part in drawn]
            corners = np.block([[parts[0], parts[1]], [parts[2], np.zeros_like(parts[0])]])
            Image.fromarray(corners).save(out / name / f"{image:04d}.png")


@app.command("photographs")
def write_photographs(out: Path, count: int = 1500, classes: int = 10, side: int = 500, seed: int = 0) -> None:
    """Write photo-like JPEGs (4:2:0, about 60 kB at 500 pixels) to OUT/class-KK/NNNNNN.jpg.

    An image is a sum of smooth random fields with a photograph's spectrum (amplitude ∝ f^−1.4), with discs, whose
    colour and size the class sets, and a little sensor noise.
    """
    for label in range(classes):
        (out / f"class-{label:02d}").mkdir(parents=True, exist_ok=True)

    def write(number: int) -> None:
        label = number % classes
        image = Image.fromarray(_photo_like(side, label / classes, np.random.default_rng([seed, number])))
        image.save(out / f"class-{label:02d}" / f"{number:06d}.jpg", quality=85, subsampling=2)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(count)))


def _photo_like(side: int, hue: float, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return an image [side, side, 3] for a class's hue in [0, 1)."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf  # no constant part: the mean is set apart
    amplitude = np.maximum(frequency, 1 / side) ** -1.4

    def field() -> npt.NDArray[np.float64]:
        smooth = np.fft.irfft2(np.fft.rfft2(generator.standard_normal((side, side))) * amplitude, s=(side, side))
        return np.asarray(smooth / smooth.std(), dtype=np.float64)

    light = field()
    image = 118 + 42 * light[:, :, None] + 14 * np.stack([field() for _ in range(3)], axis=2)
    row, column = np.ogrid[:side, :side]
    tint = 80 * np.cos(2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))
    for _ in range(8):
        middle, radius = generator.uniform(0, side, 2), side * generator.uniform(0.03, 0.08 + 0.12 * hue)
        image[(row - middle[0]) ** 2 + (column - middle[1]) ** 2 < radius**2] += tint + generator.normal(0, 12, 3)
    return np.clip(image + generator.normal(0, 2, (side, side, 1)), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    app()
