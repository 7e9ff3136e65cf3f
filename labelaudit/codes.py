"""The code of each kind of finding, and the words for it that reports, ``labelaudit explain`` and SARIF use.

A code that was published keeps its meaning: files of users name it.
"""

from __future__ import annotations

from dataclasses import dataclass

from labelaudit.errors import UsageError
from labelaudit.names import FindingName

_REVIEW = (
    "Look at the image. If the label is wrong, correct it. If it is right, keep it; with this audit as the baseline, "
    "the next report does not count it again."
)


@dataclass(frozen=True)
class Code:
    """A kind of finding: ``LA`` and three digits, its name, what is found, why it is one, and the remedy."""

    code: str
    name: FindingName
    title: str
    why: str
    remedy: str


CODES = (
    Code(
        "LA001",
        "mislabeled",
        "The label of this image is probably wrong.",
        "While a network was trained on the whole folder, the loss of this image stayed high: the other images of "
        "its class did not help to learn its label.",
        _REVIEW,
    ),
    Code(
        "LA002",
        "corrupted",
        "This image is probably damaged.",
        "Its pixels are like those of images that were shuffled, replaced by noise or made blank on purpose.",
        "Look at the image. If it shows nothing of use, take it out of the data.",
    ),
    Code(
        "LA003",
        "ambiguous",
        "The label of this image is in doubt.",
        "The network is torn between the given label and another one.",
        f"{_REVIEW} If the image shows both classes, take it out of the data or give it a class of its own.",
    ),
    Code(
        "LA004",
        "duplicate",
        "This image is in the data with different labels.",
        "Another file shows the same image and has another label: one of the two labels is wrong.",
        "Compare the copies, keep one, and give it the right label.",
    ),
    Code(
        "LA005",
        "unreadable",
        "This image cannot be read.",
        "The file is damaged, empty, of another format than its name says, or may not be read. It has no verdict.",
        "Open the file. Replace it by a sound copy, or take it out of the data.",
    ),
    Code(
        "LA006",
        "near-duplicate",
        "This image is in the data more than once.",
        "Another file shows the same image: equal, resized, recompressed, cropped a little, mirrored or with other "
        "colors. Copies count several times in a training, and copies of a training image in a test set flatter it.",
        "Compare the copies and keep the best one.",
    ),
    Code(
        "LA007",
        "leaked",
        "This image is in more than one split.",
        "A copy of the image is in another split, so a network is tested on what it was trained on.",
        "Take the copy out of the training split.",
    ),
    Code(
        "LA008",
        "no-class",
        "This image belongs to none of the classes.",
        "The image is unlike the images of every class.",
        "Look at the image. If none of the classes fits, take it out of the data or add a class.",
    ),
    Code(
        "LA009",
        "indistinct",
        "The class of this image cannot be told from another class.",
        "Of the images of both, the network believes in the other class nearly as much as in the given one: the labels "
        "are mixed, or the images do not show the difference. Wrong labels between the two are not found.",
        "Look at both classes. Merge them, or write down what tells them apart and label them again.",
    ),
)
"""In the order of their numbers."""

BY_CODE = {each.code: each for each in CODES}
BY_NAME = {each.name: each for each in CODES}


def find_code(text: str, where: str = "") -> Code:
    """Return the entry of a code or name, in any case; raise a UsageError, which says ``where`` it stands."""
    for each in CODES:
        if text.strip().lower() in (each.code.lower(), each.name):
            return each
    known = ", ".join(f"{each.code} ({each.name})" for each in CODES)
    raise UsageError(f"{where}{where and ': '}{text!r} is no code of a finding", fix=f"give one of {known}")
