"""Golden outputs: `record FOLDER` keeps what today's code answers, `compare FOLDER` tells what differs now, and how.

For a change that must change nothing. All goes through what users see, the command, the public names and the HTTP API,
so that the insides may move. Which code is asked, PYTHONPATH says. One thread alone, so that all is equal to the bit.
"""

import argparse
import csv
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageDraw

SETTINGS = {
    "COLUMNS": "80",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
VERBS = "align train sample complete calibrate evaluate serve verify report plot figures info export push"
VOLATILE = re.compile(r"seconds|per_second|^(date|time|version|latentfill|torch|machine|command|place|seal|cache)$")
DATE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+")
HOLES = ("center", "half", "random:0.8", "thin", "pattern")
STEPS: dict[str, dict[str, int]] = {"fast": {}, "best": {"tune_steps": 6}, "paper": {"steps": 6}, "seed": {"steps": 6}}
TINY = "shapes --size 16 --base 4 --images-seen 64"
SHARED = "--batch-size 4 --log-every 16 --precision fp32 --threads 1 --cache cache"
KINDS = {  # what each training is asked for; --model and --begin name one above
    "modern": f"{TINY} --latent 8 --images-seen 96",
    "seed": f"{TINY} --latent 8 --preset seed",
    "vae": f"{TINY} --latent 8 --kind vae",
    "encoder": "shapes --images-seen 32 --kind encoder --model modern --encoder-base 2 --encoder-hidden 4",
    "completer": "shapes --images-seen 32 --kind completer --begin modern",
    "lapgan": f"{TINY} --latent 8 --kind lapgan",
    "context": f"{TINY} --kind context-encoder --hole center",
}
PHOTO = "--place faces --hole rectangle:200,110,60,40"
COMPLETED = {  # by the command; `fill` has every preset with every hole
    "fast": "aligned.png face.png --preset fast --hole pattern",
    "best": "aligned.png face.png --preset best --hole drawn.png --tune-steps 6 --candidates 2 --edits 2",
    "paper": "aligned.png --preset paper --hole random:0.8 --steps 6 --every 3 --gif",
    "seed": "face.png --preset seed --hole center --steps 6 --every 3",
    "photo": f"astronaut.png --preset best --tune-steps 6 {PHOTO}",
    "observed": "face.png --preset fast --degrade grey+lowres:4",
}
SEARCHES: dict[str, dict[str, Any]] = {  # what no preset does; each with the rest of `paper`
    "cosine": {"schedule": "cosine", "steps": 6},
    "nesterov": {"method": "nesterov", "learning_rate": 0.001, "steps": 6},
    "hmc": {"method": "hmc", "steps": 2, "hmc_leapfrog_steps": 3},
    "posterior": {"method": "posterior", "steps": 4},
    "attempts": {"attempts": 4, "prune": True, "held_out": 0.1, "candidates": 2, "steps": 8},
    "warm": {"start": "encoder", "steps": 3, "tune_steps": 3},
    "overlay": {"blend": "overlay", "context": "l1", "balance": "sum", "steps": 3},
}


def draw_inputs() -> None:
    """Into the folder that we are in: a photo, its face unaligned, shapes to learn from, a hole."""
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut())  # type: ignore[no-untyped-call]
    rng = np.random.default_rng(0)
    photo.save("astronaut.png")
    photo.crop((140, 20, 300, 180)).resize((128, 128)).save("face.png")
    hole = Image.new("L", (128, 128))
    ImageDraw.Draw(hole).line([(30, 40), (70, 60), (95, 100)], 255, 14)
    hole.save("drawn.png")
    Path("shapes").mkdir()
    for number in range(24):
        shape = Image.new("RGB", (20, 16), tuple(rng.integers(0, 256, 3).tolist()))
        x, y, r = rng.integers(4, 12, 3).tolist()
        ImageDraw.Draw(shape).ellipse((x - r, y - r, x + r, y + r), tuple(rng.integers(0, 256, 3).tolist()))
        shape.save(f"shapes/{number:02}.png")
    Image.open("shapes/00.png").crop((0, 0, 16, 16)).save("small.png")


def command(line: str) -> dict[str, Any]:
    """What the command answers: its code, and what it prints."""
    done = subprocess.run([sys.executable, "-m", "latentfill", *line.split()], capture_output=True, text=True)
    if done.returncode:
        print(f"latentfill {line} ended with {done.returncode}\n{done.stderr[-1500:]}", file=sys.stderr)
    return {"code": done.returncode, "printed": done.stdout.splitlines()}


def keep(out: Path, name: str, what: Any) -> None:
    """JSON without what changes from run to run, or bytes, as a file of the part `out`."""
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(what if isinstance(what, bytes) else (json.dumps(cleaned(what), indent=1) + "\n").encode())


def keep_folder(out: Path, folder: Path) -> None:
    """The names of all files of a folder, and the pictures, JSON and tables themselves."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [re.sub(r"tfevents.*", "tfevents", path.relative_to(folder).as_posix()) for path in files]
    keep(out, f"{folder.name}.files.json", sorted(names))
    for path, name in zip(files, names, strict=True):
        if path.suffix in (".json", ".csv"):
            told = list(csv.DictReader(path.open())) if path.suffix == ".csv" else json.loads(path.read_text())
            keep(out, f"{folder.name}/{name}", told)
        elif path.suffix in (".png", ".gif"):
            keep(out, f"{folder.name}/{name}", path.read_bytes())


def cleaned(value: Any) -> Any:
    """JSON without times, dates, versions and places."""
    if isinstance(value, dict):
        return {key: cleaned(one) for key, one in value.items() if not VOLATILE.search(key)}
    if isinstance(value, str) and not value.startswith("data:"):
        return DATE.sub("DATE", value)
    return [cleaned(one) for one in value] if isinstance(value, list) else value


def record_commands(out: Path) -> None:
    """Every verb's help, and faces aligned: the aligned picture is an input of what follows."""
    keep(out, "help.json", {verb: command(f"{verb} --help") for verb in ("", *VERBS.split())})
    keep(out, "align.json", command("align astronaut.png faces --size 128"))
    keep_folder(out, Path("faces"))
    shutil.copy("faces/astronaut.png", "aligned.png")
    keep(out, "sample.json", command("sample flowers-64 samples --count 4 --walk --stops 2"))
    keep_folder(out, Path("samples"))


def record_trainings(out: Path) -> None:
    """Each kind briefly trained: a digest of every tensor of its model files, its losses, and what the run holds."""
    from safetensors.numpy import load_file

    for kind, words in KINDS.items():
        keep(out, f"{kind}.json", command(f"train {words} --run {kind} {SHARED}"))
        keep_folder(out, Path(kind))
        for path in sorted(Path(kind).rglob("*.safetensors")):
            tensors = {name: f"{one.dtype}{one.shape} {digest(one)}" for name, one in load_file(path).items()}
            keep(out, f"{path}.json", dict(sorted(tensors.items())))


def record_completions(out: Path) -> None:
    """Pictures and a photo completed by the command: PNG, JSON, grids, logs."""
    for name, words in COMPLETED.items():
        keep(out, f"{name}.json", command(f"complete {words} --out done/{name} --threads 1"))
        keep_folder(out, Path("done", name))


def record_fills(out: Path) -> None:
    """Every preset with every hole by `latentfill.fill`, and by the models that were trained here."""
    from dataclasses import replace

    import torch

    import latentfill

    torch.set_num_threads(1)
    gan = latentfill.load()
    asked: list[tuple[str, Any, Any, str, str, str]] = [
        (f"{preset}-{hole.replace(':', '-')}", gan, latentfill.COMPLETE_PRESETS[preset], preset, "aligned.png", hole)
        for preset in STEPS
        for hole in (*HOLES, "drawn.png")
    ]
    for kind in ("modern", "seed", "vae", "encoder", "completer", "lapgan"):
        options = latentfill.COMPLETE_PRESETS["paper"]
        asked.append((f"of-{kind}", latentfill.load(kind), options, "paper", "small.png", "center"))
    for name, model, options, preset, photo, hole in asked:
        found = latentfill.fill(photo, hole, model, replace(options, **STEPS[preset]))
        found.save("filled.png")
        keep(out, f"{name}.png", Path("filled.png").read_bytes())
        keep(
            out,
            f"{name}.json",
            {"losses": list(found.losses), "notes": list(found.notes), "trust": str(found.trust and found.trust.words)},
        )
    directions = latentfill.find_directions(gan.generator, count=2)
    keep(out, "public.json", {"names": latentfill.__all__, "directions": directions.strengths.tolist()})


def record_searches(out: Path) -> None:
    """Other ways to search, or what is said against them."""
    from dataclasses import replace

    import torch

    import latentfill

    torch.set_num_threads(1)
    gan = latentfill.load()
    for name, changed in SEARCHES.items():
        try:
            options = replace(latentfill.COMPLETE_PRESETS["paper"], **{"cold_steps": 0, **changed})
            found = latentfill.fill("face.png", "center", gan, options)
        except (latentfill.LatentfillError, ValueError) as error:
            keep(out, f"{name}.json", {"refused": str(error)})
            continue
        found.save("filled.png")
        keep(out, f"{name}.png", Path("filled.png").read_bytes())
        keep(out, f"{name}.json", {"losses": list(found.losses), "notes": list(found.notes)})


def record_answers(out: Path) -> None:
    """A transcript of the HTTP API: status, kind and body of answers and of refusals."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["serve", "--models", "faces-128", "modern", "--port", port, "--threads", "1", "--max-steps", "500"]
    server = subprocess.Popen([sys.executable, "-m", "latentfill", *words], stderr=subprocess.DEVNULL)
    try:
        for number, (name, what) in enumerate(ask_all(f"http://127.0.0.1:{port}")):
            keep(out, f"{number:02}-{name}", what)
    finally:
        server.terminate()
        server.wait(60)


def ask_all(address: str) -> Iterator[tuple[str, Any]]:
    """The name of each answer, and what is kept of it."""

    def ask(path: str, body: bytes | None = None, kind: str = "application/json", accept: str = "*/*") -> Any:
        try:
            answer = urlopen(Request(address + path, body, {"content-type": kind, "accept": accept}), timeout=60)
        except HTTPError as error:
            answer = error
        data, kind = answer.read(), answer.headers.get("content-type", "")
        if not kind.endswith("json"):  # of a stream, the steps that there was time to draw are left out
            return {"status": answer.status, "kind": kind, "bytes": f"data:{kind};sha256,{sha256(data).hexdigest()}"}
        lines = [data] if kind.endswith("/json") else data.splitlines()
        told = [json.loads(line) for line in lines]
        kept = [one for one in told if not (isinstance(one, dict) and one.get("event") in ("step", "queued"))]
        return {"status": answer.status, "kind": kind, "body": kept}

    def send(path: str, accept: str = "application/json", **fields: str | bytes | Path) -> Any:
        parts = []
        for name, value in fields.items():
            file = f'; filename="{value.name}"' if isinstance(value, Path) else ""
            data = (
                value.read_bytes() if isinstance(value, Path) else value.encode() if isinstance(value, str) else value
            )
            parts.append(f'--golden\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data)
        body = b"\r\n".join([*parts, b"--golden--\r\n"])
        return ask(f"/api/v1/{path}", body, "multipart/form-data; boundary=golden", accept)

    for _ in range(240):
        try:
            urlopen(f"{address}/healthz", timeout=5)
            break
        except OSError:
            time.sleep(0.5)
    face, hole, few = Path("aligned.png"), Path("drawn.png"), {"preset": "best", "options": '{"tune_steps": 6}'}
    yield "health.json", ask("/healthz")
    yield "models.json", ask("/api/v1/models")
    done = send("complete", photo=face, hole=hole, **few)
    yield "complete.json", done
    yield "complete-picture.json", send("complete", "image/png", photo=face, hole=hole, **few)
    yield "complete-stream.json", send("complete/stream", photo=face, hole_spec="half", preset="fast")
    yield "complete-observed.json", send("complete", photo=face, observe="grey", preset="fast")
    yield "complete-photo.json", send("complete", photo=Path("astronaut.png"), hole_spec=PHOTO.split()[-1], **few)
    yield "complete-other.json", send("complete", photo=Path("small.png"), hole_spec="left", model="modern", **few)
    state = str(done["body"][0].get("state"))
    yield "edits.json", send("edits", photo=face, hole=hole, **few, state=state, count="2", frames="3")
    yield "edits-pick.json", send("edits", "image/png", photo=face, hole=hole, **few, state=state, pick="[0, 0]")
    yield "decode.json", send("decode", hole=hole, size="[128, 128]")
    yield "faces.json", send("faces", photo=Path("astronaut.png"))
    for name, body in {
        "images": {"images": [{"7": 1}, {"7": 1, "8": -1}]},
        "walk": {"walk": [1, 2], "frames": 3},
    }.items():
        yield f"sample-{name}.json", ask("/api/v1/sample", json.dumps(body).encode())
    yield "sample-wrong.json", ask("/api/v1/sample", b'{"images": [{"7": 1}], "walks": 3}')
    yield "sample-none.json", ask("/api/v1/sample", b"{}")
    wrong: list[dict[str, Any]] = [
        {"hole_spec": "half"},
        {"photo": face},
        {"photo": b"no picture", "hole_spec": "half"},
        {"photo": face.read_bytes()[:2000], "hole_spec": "half"},
        {"photo": face, "hole": hole, "hole_spec": "half"},
        {"photo": face, "hole": Path("small.png")},
        {"photo": face, "hole_spec": "haf"},
        {"photo": face, "hole_spec": "half", "preset": "bset"},
        {"photo": face, "hole_spec": "half", "model": "none"},
        {"photo": face, "hole_spec": "half", "colour": "1"},
        {"photo": face, "hole_spec": "half", "options": '{"steps": -1}'},
        {"photo": face, "hole_spec": "half", "options": '{"stesp": 1}'},
        {"photo": face, "hole_spec": "half", "options": '{"steps": 100000}'},
        {"photo": face, "hole_spec": "half", "options": "{"},
        {"photo": face, "hole_spec": "half", "observe": "greey"},
    ]
    for fields in wrong:
        yield "refused.json", send("complete", **fields)
    yield "edits-refused.json", send("edits", photo=face, hole=hole, **few, state="{}")
    yield "nowhere.json", ask("/api/v1/nowhere")
    yield "method.json", ask("/api/v1/complete")
    yield "no-form.json", ask("/api/v1/complete", b"{}")


PARTS = {
    "commands": record_commands,
    "train": record_trainings,
    "complete": record_completions,
    "fill": record_fills,
    "serve": record_answers,
    "search": record_searches,
}
NEEDED = {"commands": ["complete", "fill", "serve"], "train": ["fill", "serve"]}  # they make what these take


def record(folder: Path, parts: list[str]) -> None:
    """All parts, each with a manifest of digests, into a folder; the inputs are made in one that goes again."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        draw_inputs()
        for name, make in PARTS.items():
            if name in parts or (name in NEEDED and set(NEEDED[name]) & set(parts)):
                start = time.perf_counter()
                shutil.rmtree(folder / name, ignore_errors=True)
                try:
                    make(folder / name)
                except Exception as error:  # the other parts are still worth comparing
                    traceback.print_exc()
                    keep(folder / name, "failed.json", f"{type(error).__name__}: {error}")
                keep(folder / name, "manifest.json", digests(folder / name))
                print(f"{name}: {len(digests(folder / name))} files, {time.perf_counter() - start:.0f} s", flush=True)
        os.chdir("/")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def digest(values: Any) -> str:
    return sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def compare(folder: Path, parts: list[str]) -> bool:
    """Make the parts again, tell what differs and how, and say whether nothing does."""
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        again = Path(name)
        record(again, parts)
        for part in sorted(path.name for path in again.iterdir()):
            old, new = (json.loads((root / part / "manifest.json").read_text()) for root in (folder, again))
            if old != digests(folder / part):
                print(f"{part}: what was recorded is damaged")
                differing += 1
            for path in sorted({*old, *new}):
                if old.get(path) != new.get(path):
                    differing += 1
                    known = "is new" if path not in old else "is missing" if path not in new else ""
                    print(f"{part}/{path}: {known or '; '.join(tell(folder / part / path, again / part / path)[:8])}")
    print(f"{differing} differ" if differing else "Nothing differs.")
    return not differing


def tell(old: Path, new: Path) -> list[str]:
    """How two files of a name differ."""
    if old.suffix == ".json":
        return list(differences(json.loads(old.read_text()), json.loads(new.read_text())))
    return [differing_pixels(old.read_bytes(), new.read_bytes())]


def differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """The keys at which two JSON values differ, and what stands there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            if name not in old or name not in new:
                yield f"{key}.{name} is {'new' if name not in old else 'missing'}"
            else:
                yield from differences(old[name], new[name], f"{key}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{key}[{number}]")
    elif old != new and str(old).startswith("data:image/") and ";base64," in str(old) and ";base64," in str(new):
        yield f"{key}: {differing_pixels(*(b64decode(one.split(',')[1]) for one in (old, new)))}"
    elif old != new:
        yield f"{key}: {str(old)[:80]} -> {str(new)[:80]}"


def differing_pixels(old: bytes, new: bytes) -> str:
    one, other = (np.asarray(Image.open(BytesIO(data))).astype(int) for data in (old, new))
    if one.shape != other.shape:
        return f"{one.shape} -> {other.shape}"
    off = np.abs(one - other)
    return (
        f"pixels up to {off.max()} off, {(off > 0).mean():.2%} of values" if off.any() else "other bytes, same pixels"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("record", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="of all, these alone")
    arguments = parser.parse_args()
    found = importlib.util.find_spec("latentfill")
    if found is None or found.origin is None:
        raise SystemExit("there is no latentfill: set PYTHONPATH")
    source = str(Path(found.origin).resolve().parent.parent)
    wanted = {**SETTINGS, "PYTHONPATH": source}
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # libraries read these as they load
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    print(f"latentfill of {source}", flush=True)
    folder = arguments.folder.resolve()
    if arguments.verb == "record":
        record(folder, arguments.parts)
    elif not compare(folder, arguments.parts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
