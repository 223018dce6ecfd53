"""The outputs of `complete` for each input: its file, a record of its inputs, and its metadata."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, final
from unicodedata import normalize

from ..completion.operators import Operator, parse_operator
from ..errors import LatentfillError
from ..files import provenance
from ..files.input_digests import Contents, Landmarks, describe_changes, digest_hole, digest_landmarks, digest_photo
from ..files.listing import Listing, Roles, list_sources
from ..files.naming import Results, location, name_results
from ..files.provenance import ForeignFileError
from ..gan.gan import Gan
from ..gan.model_file import digest_weights as digest_networks
from ..images import photos
from ..images.archives import RESULT_SUFFIXES
from ..images.holes import HoleSpec
from ..options import CompleteOptions

if TYPE_CHECKING:
    from ..options.commands import CompleteCommand

ANEW = "Give another --out, or --overwrite to make it anew."
LEFT_ALONE: dict[str, Any] = {"observe": None, "degrade": None, "hole_threshold": 128, "format": "png"}
OF_MODEL = {"weights": "its weights have", "calibration": "its calibration or alignment has"}
WHOLE, CHANGED = "whole", "changed"
INVERTED = " inverted"
FIRST = ("latentfill", "image", "trust", "placement", "notes", "drawn_by", "loss", "terms")  # first in a metadata file
LAST = ("candidates", "squares", "z", "seal")
NUMBERS = re.compile(r"\[\s+-?\d[-+.\deE,\s]*\]")
FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}  # of --format
JPEGS = {".jpe": ".jpg", ".jfif": ".jpg"}


@final
@dataclass(frozen=True)
class Input:
    """One input and where its result goes: `stem` with `suffix`, and `stem`.json.

    `hole` is a picture of its own hole, encoded.

    `photo` is the SHA-256 of its file, "" until that is computed; `moved` the name that its result would have, if
    another file had not been there.
    """

    source: photos.Source
    number: int
    stem: Path
    hole: bytes | None = None
    photo: str = ""
    moved: str = ""
    suffix: str = ".png"

    @property
    def picture(self) -> Path:
        """The path of its result."""
        return self.file(self.suffix)

    def file(self, suffix: str) -> Path:
        return self.stem.with_name(self.stem.name + suffix)


def result_suffixes(form: str) -> Sequence[str]:
    """The suffixes that results may have with `--format`."""
    return RESULT_SUFFIXES if form == "same" else (FORMATS[form],)


def choose_suffix(form: str, name: str) -> str:
    """The suffix of the result of a picture; with `same` its own, or .png if such files are not written."""
    if form != "same":
        return FORMATS[form]
    end = PurePosixPath(name).suffix.lower()
    end = JPEGS.get(end, end)
    return end if end in RESULT_SUFFIXES else ".png"


def is_same_kind(item: Input) -> bool:
    """Whether the result has the suffix of its picture."""
    return item.suffix != ".png" or PurePosixPath(item.source.name).suffix.lower() in (".png", "")


def list_pictures(
    places: Sequence[Path],
    out: Path,
    roles: Roles,
    read: Sequence[str] = (),
    written: Sequence[str] = (".png",),
) -> Listing:
    """Every picture in `places`, except those in `out`. Raises LatentfillError if the pictures themselves do.

    Files with a suffix in `read` are the caller's, and not counted as left out; `written` are those of results.
    """
    here = Path(os.path.realpath(out))
    listed = list_sources(places, {**roles, out: f"in {out}, the folder for the results"}, read)
    real = (Path(os.path.realpath(source.path)) for source in listed.sources)  # also of links in circles
    own = {path for path in real if path.parent == here}
    if any(place.is_dir() and place.resolve() == here for place in places) or any(p.suffix in written for p in own):
        raise LatentfillError(
            f"{out} holds the pictures to complete", "Give another --out: originals are not replaced."
        )
    return listed


def name_inputs(
    sources: Sequence[photos.Source],
    out: Path,
    results: Results,
    *,
    anew: bool = False,
    form: str = "png",
    digest: Callable[[photos.Source], str] = digest_photo,
) -> list[Input]:
    """An input for each source, numbered from 1, with a name of its own in `out`; `anew` if all are to be made."""
    names = name_results(sources, results, digest, anew=anew)
    return [
        Input(
            source,
            number,
            out / name.stem,
            photo=name.photo,
            moved=name.moved,
            suffix=choose_suffix(form, source.name),
        )
        for number, (source, name) in enumerate(zip(sources, names, strict=True), 1)
    ]


def hole_seed(seed: int, name: str) -> int:
    """The seed of an image's hole: of the name of its file alone, so that neighbours and order do not matter."""
    text = normalize("NFC", f"{seed} {name}")  # some systems store letters and accents separately
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "little")


def hole_text(options: "CompleteCommand") -> str:
    """The hole as a user writes it: of a measurement none, if none is given."""
    return options.hole or ("full" if operator_of(options) or options.photo.extend else "center")


def operator_of(options: "CompleteCommand") -> Operator | None:
    """The measurement operator that the pictures are seen through, or are to be."""
    written = options.degrade if options.observe is None else options.observe
    return None if written is None else parse_operator(written)


def choices(options: "CompleteCommand") -> dict[str, Any]:
    """The options that determine how a photo is completed and what is drawn of it, as in the metadata."""
    return {
        "observe": options.observe,
        "degrade": options.degrade,
        "hole": hole_text(options) + (INVERTED if options.invert else ""),
        "hole_threshold": options.hole_threshold,
        "model": options.model,
        "class": options.class_name,
        "preset": options.preset,
        "fit": options.fit,
        "options": asdict(options.search),
        "photo": asdict(options.photo),
        "edits": options.edits,
        "every": options.every,
        "gif": options.gif,
        "format": options.format,
    }


def digest_contents(item: Input, spec: HoleSpec, landmarks: Landmarks) -> Contents:
    """The contents that a completion is made of, as digests."""
    return {
        "photo": item.photo or digest_photo(item.source),
        "hole": digest_hole(spec, item.source.name, item.hole),
        "landmarks": digest_landmarks(landmarks, item.source.name),
        "place": location(item.source),
    }


def list_unfinished(
    inputs: Iterable[Input], options: "CompleteCommand", spec: HoleSpec, landmarks: Landmarks, gan: Gan
) -> tuple[list[Input], list[str]]:
    """The inputs without a result, and sentences about those whose result was made of other contents.

    Raises LatentfillError if a result was made with other options or another model: skipping it would pass it off as
    one of these.
    """
    chosen, found = choices(options), digest_model(gan)
    left: list[Input] = []
    notes: list[str] = []
    for item in inputs:
        metadata = provenance.read_metadata(item.file(".json"))
        picture = item.file(provenance.result_suffix(metadata))
        state = "" if metadata is None else _state_of(picture, metadata)
        if options.overwrite or metadata is None or not state:
            left.append(item)
            continue
        now = digest_contents(item, spec, landmarks)
        check_same(metadata, chosen, metadata.get("made_of", {}), now, found, str(picture))
        if changed := describe_changes(metadata.get("made_of", {}), now):
            notes.append(f"{item.source.name}: made anew, since {changed} changed")
            left.append(item)
        elif state == CHANGED:
            notes.append(
                f"{picture} was changed since it was written, and stays as it is; remove it to have it made anew"
            )
    return left, notes


def check_same(
    before: Mapping[str, Any],
    chosen: Mapping[str, Any],
    was: Contents,
    now: Contents,
    model: Mapping[str, str],
    what: str,
) -> None:
    """Raise LatentfillError, which names the first difference, if a result was made otherwise than is chosen for now.

    Two names of one hole, or of one model, are no difference.
    """
    defaults = asdict(CompleteOptions())
    kept = {name: value for name, value in before.get("options", {}).items() if name in defaults}  # others are gone
    before = {**LEFT_ALONE, **before, "options": {**defaults, **kept}}
    before["photo"] = {"grow": 0, "extend": "", **before.get("photo", {})}
    before, chosen = _take_apart(before), _take_apart(chosen)
    if now.get("hole") is not None and was.get("hole") == now["hole"]:
        before["hole"] = chosen["hole"]
    if before.get("weights") == model["weights"]:
        before["model"] = chosen["model"]
    difference = next(_differences(before, chosen), None)
    if difference is None:
        changed = [words for key, words in OF_MODEL.items() if before.get(key, model[key]) != model[key]]
        difference = f"with {chosen['model']} as it was then: {changed[0]} changed since" if changed else None
    if difference is not None:
        raise LatentfillError(f"{what} was made {difference}", ANEW)


def digest_model(gan: Gan) -> dict[str, str]:
    """Digests that tell a model from another of its name: of its weights, and of its calibration and alignment."""
    about = json.dumps({name: gan.about.get(name) for name in ("alignment", "trust")}, sort_keys=True, default=str)
    return {"weights": digest_weights(gan), "calibration": provenance.digest(about.encode())}


def digest_weights(gan: Gan) -> str:
    """A digest of all weights that complete."""
    return digest_networks(gan.generator, gan.discriminator, gan.encoder, gan.completer, gan.upsampler)


def write_result(
    item: Input, options: "CompleteCommand", contents: Contents, facts: Mapping[str, Any], picture: bytes
) -> Path:
    """Write one completion, a picture file, and before it its metadata, by which it is known as ours and as answered.

    Raises ForeignFileError if something else is in its place, or was put there since, by another command too.
    """
    path, about = item.picture, item.file(".json")
    before = provenance.read_metadata(about)
    stale = [] if before is None else _in_other_formats(item, before)
    if (about.exists() or path.exists()) and not provenance.can_replace(path, before):
        raise ForeignFileError(f"{path} was not written by latentfill, or was changed since", provenance.MOVE)
    was = before.get("made_of", {}) if before else {}
    if was.get("photo", contents["photo"]) != contents["photo"] and was.get("place") != contents["place"]:
        raise ForeignFileError(
            f"another command has just written {path} for another photo", "Give the same command again."
        )
    old = [provenance.digest_file(one) for one in (path, *stale) if one.exists()]
    output = {"sha256": provenance.digest(picture), "before": old, "suffix": item.suffix}
    metadata = {"image": item.source.name, **choices(options), **facts, "made_of": contents, "output": output}
    text = format_metadata(provenance.seal(metadata)) + "\n"
    photos.write_file(about, lambda file: file.write(text.encode()))
    photos.write_file(path, lambda file: file.write(picture))
    for one in stale:
        one.unlink(missing_ok=True)
    return path


def format_metadata(metadata: Mapping[str, Any]) -> str:
    """JSON for readers: trust, places and notes come first, latents last, and a list of numbers is one line."""
    middle = {name: value for name, value in metadata.items() if name not in (*FIRST, *LAST)}
    first, last = ({name: metadata[name] for name in names if name in metadata} for names in (FIRST, LAST))
    text = json.dumps({**first, **middle, **last}, indent=1)
    return NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text)


def _in_other_formats(item: Input, metadata: Mapping[str, Any]) -> list[Path]:
    """Our pictures of the same name, unchanged, that a result in another format takes the place of."""
    others = [item.file(end) for end in RESULT_SUFFIXES if end != item.suffix]
    known = provenance.picture_digests(metadata)
    ours = {item.file(".png")} if known is None else {one for one in others if one.is_file()}
    return [one for one in others if one in ours and one.is_file() and provenance.fits_metadata(one, metadata)]


def _state_of(picture: Path, metadata: Mapping[str, Any]) -> str:
    """The state of an answer that has metadata: WHOLE, CHANGED by somebody, or "" if it is still to be written.

    A kill between the two files leaves the picture that was there before.
    """
    output = metadata.get("output")
    if not picture.is_file() or output is None:
        return WHOLE if picture.is_file() else ""
    found = provenance.digest_file(picture)
    return WHOLE if found == output["sha256"] else "" if found in output["before"] else CHANGED


def _take_apart(about: Mapping[str, Any]) -> dict[str, Any]:
    """The hole, and whether it was inverted."""
    hole = about["hole"]
    return {**about, "hole": hole.removesuffix(INVERTED), "invert": hole.endswith(INVERTED)}


def _differences(before: Mapping[str, Any], chosen: Mapping[str, Any]) -> Iterator[str]:
    """Each choice that was another, as a user writes it: "with --steps 5, not 100"; options may be new."""
    for key, value in chosen.items():
        if key == "made_of" or key not in before or before[key] == value:
            continue
        if isinstance(value, dict) and isinstance(before[key], dict):
            yield from _differences(before[key], value)
            continue
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            yield f"{'without' if value else 'with'} {flag}"
        elif before[key] is None or value is None:
            yield (
                f"without {flag}, not with {value}"
                if before[key] is None
                else f"with {flag} {before[key]}, not without"
            )
        else:
            yield f"with {flag} {before[key]}, not {value}"
