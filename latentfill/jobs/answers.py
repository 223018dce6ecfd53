"""What `complete` writes for each input: which file it goes to, what was asked, and how the answer is told."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final

from ..completion import observations
from ..completion.observations import Sight
from ..errors import LatentfillError
from ..gan.checkpoint import weights
from ..gan.gan import Gan
from ..images import photos
from ..models import load
from ..options import CompleteOptions

if TYPE_CHECKING:
    from ..cli.complete import Options

ANEW = "Give another --out, or --overwrite to make it anew."
LEFT_ALONE: dict[str, Any] = {"observe": None, "degrade": None}


@final
@dataclass(frozen=True)
class Question:
    """One input and where its answer goes: `stem`.png and `stem`.json. `hole` is a picture of its own hole, encoded."""

    source: photos.Source
    number: int
    stem: Path
    hole: bytes | None = None

    @property
    def answered(self) -> bool:
        return self.file(".png").exists() and self.file(".json").exists()

    def file(self, suffix: str) -> Path:
        return self.stem.with_name(self.stem.name + suffix)


def ask(places: Sequence[Path], out: Path) -> list[Question]:
    """Every picture in `places`, with a name of its own in `out`: its stem, or all of its path if stems are equal.

    What lies in `out` is an answer, not a question. Raises LatentfillError if an answer would replace its question.
    """
    here = out.resolve()
    sources = list(photos.find(places))
    if any(place.is_dir() and here != place.resolve() and here.is_relative_to(place.resolve()) for place in places):
        sources = [source for source in sources if not source.path.resolve().is_relative_to(here)]
    questions = named(sources, out)
    if any(q.source.path.resolve() == q.file(".png").resolve() for q in questions) or any(
        place.is_dir() and place.resolve() == here for place in places
    ):
        raise LatentfillError(
            f"{out} holds the pictures to complete", "Give another --out: originals are not replaced."
        )
    return questions


def named(sources: Sequence[photos.Source], out: Path) -> list[Question]:
    """A question for each source, which are numbered from 1. Nothing in a name leads out of `out`."""
    stems = Counter(inside(source.name).stem for source in sources)
    paths = Counter(inside(source.name).with_suffix("") for source in sources)

    def name(source: photos.Source) -> PurePosixPath:
        path = inside(source.name)
        if stems[path.stem] == 1:
            return PurePosixPath(path.stem)
        return path.with_suffix("") if paths[path.with_suffix("")] == 1 else path

    return [Question(source, i + 1, out / name(source)) for i, source in enumerate(sources)]


def inside(name: str) -> PurePosixPath:
    """A name as a path below whatever folder it is put in."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return PurePosixPath(*parts) if parts else PurePosixPath("_")


def hole_seed(seed: int, name: str) -> int:
    """What an image's hole is drawn from: the name of its file alone, so that neighbours and order do not matter."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def hole_of(options: "Options") -> str:
    """What is to be filled: of an observed picture nothing, if nothing is said."""
    return options.hole or ("full" if sight_of(options) else "center")


def sight_of(options: "Options") -> Sight | None:
    """What the pictures are observations of, or are made to be."""
    written = options.degrade if options.observe is None else options.observe
    return None if written is None else observations.parse(written)


def asked_for(options: "Options") -> dict[str, Any]:
    """What decides how a photo is completed, as it stands in its story."""
    return {
        "observe": options.observe,
        "degrade": options.degrade,
        "hole": hole_of(options) + (" inverted" if options.invert else ""),
        "model": options.model,
        "preset": options.preset,
        "fit": options.fit,
        "options": asdict(options.search),
        "photo": asdict(options.photo),
    }


def check_answers(questions: Iterable[Question], options: "Options") -> None:
    """Raise LatentfillError if what is there was made for other questions: skipping it would pass it off as theirs."""
    asked, model = asked_for(options), ""
    for question in questions:
        try:
            told = json.loads(question.file(".json").read_text())
        except (OSError, ValueError) as error:
            path = question.file(".json")
            raise LatentfillError(f"{path} cannot be read: {error}", "Remove it, or give --overwrite.") from error
        other = otherwise(told, asked)
        if other is not None:
            raise LatentfillError(f"{question.file('.png')} was made {other}", ANEW)
        if "weights" in told:
            model = model or weights_of(load(options.model, class_name=options.class_name))
            if told["weights"] != model:
                what = f"{options.model} as it was then: its weights have changed since"
                raise LatentfillError(f"{question.file('.png')} was made with {what}", ANEW)


def otherwise(told: dict[str, Any], asked: dict[str, Any]) -> str | None:
    """How what is `told` of an answer differs from what is asked for now, if it does."""
    # what is not told was not yet to be chosen
    told = {**LEFT_ALONE, **told, "options": {**asdict(CompleteOptions()), **told.get("options", {})}}
    told["photo"] = {"grow": 0, **told.get("photo", {})}
    return next(_differences(told, asked), None)


def weights_of(gan: Gan) -> str:
    """What tells a model from another of its name: a digest of all that completes."""
    return weights(gan.generator, gan.discriminator, gan.encoder)


def _differences(told: dict[str, Any], asked: dict[str, Any]) -> Iterator[str]:
    """Each choice that was another, as a user writes it: "with --steps 5, not 100"."""
    for key, value in asked.items():
        if key not in told or told[key] == value:
            continue
        if isinstance(value, dict) and isinstance(told[key], dict):
            yield from _differences(told[key], value)
            continue
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            yield f"{'without' if value else 'with'} {flag}"
        elif told[key] is None or value is None:
            yield f"without {flag}, not with {value}" if told[key] is None else f"with {flag} {told[key]}, not without"
        else:
            yield f"with {flag} {told[key]}, not {value}"


def tell(question: Question, options: "Options", facts: dict[str, Any]) -> None:
    """Write the story of one completion. It comes last: with it, the question counts as answered."""
    story = {"image": question.source.name, **asked_for(options), **facts}
    path = question.file(".json")
    making = path.with_name(f".{path.name}.making")
    making.write_text(json.dumps(story, indent=1) + "\n")
    making.replace(path)
