"""The architecture, written as what may not happen."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import latentfill

PROJECT = Path(__file__).parents[1]
ROOT = PROJECT / "latentfill"
# Each folder may import the folders named here, and the root files of EVERYWHERE. `cli` and `web` are at the top.
EVERYWHERE = {"", "types", "errors", "options", "signals", "process_group", "device", "seeds", "version"}
MAY_IMPORT = {
    "options": set(),
    "files": {"images"},
    "images": {"files"},
    "faces": {"images"},
    "gan": {"images"},
    "models": {"gan", "files"},
    "runs": {"images", "files", "gan"},
    "training": {"images", "files", "gan", "runs"},
    "completion": {"images", "gan"},
    "uncertainty": {"images", "gan", "completion"},
    "texture": {"faces"},
    "photo": {"images", "faces", "gan", "completion", "uncertainty", "texture"},
    "pipeline": {"images", "faces", "gan", "completion", "photo", "uncertainty", "models", "texture"},
}
MAY_IMPORT["evaluation"] = MAY_IMPORT["pipeline"] | {"files", "runs"}
MAY_IMPORT["figures"] = MAY_IMPORT["evaluation"] | {"evaluation"}
MAY_IMPORT["batch"] = MAY_IMPORT["figures"] | {"figures", "pipeline"}
MAY_IMPORT["web"] = MAY_IMPORT["batch"] | {"batch"}
MAY_IMPORT["cluster"] = MAY_IMPORT["batch"] | {"batch", "training"}
MAY_IMPORT["cli"] = MAY_IMPORT["cluster"] | {"cluster", "web"}
CIRCLES = 0  # of files that import each other, late imports counted: never more
FILES_AND_SCREENS = {"os", "sys", "pathlib", "json", "csv", "PIL", "rich", "tqdm", "logging", "matplotlib"}
NEVER = {
    "completion": FILES_AND_SCREENS,  # a search knows no files and no screens
    "uncertainty": FILES_AND_SCREENS,
    **{
        f"gan/{name}.py": FILES_AND_SCREENS
        for name in ("gan", "dcgan", "fused", "lapgan", "batch_layers", "process_group")
    },
    **{f"gan/{name}.py": FILES_AND_SCREENS for name in ("residual", "encoder", "completer", "growing", "directions")},
    **{f"training/{name}.py": FILES_AND_SCREENS for name in ("trainer", "losses", "augment", "optimiser")},
    "": {"torchvision", "face_recognition_models"},
}
HEAVY = {
    "torch",
    "numpy",
    "PIL",
    "matplotlib",
    "scipy",
    "tensorboard",
    "pydantic",
    "rich",
    "yaml",
    "safetensors",
    "cv2",
    "dlib",
    "skimage",
    "onnx",
    "onnxruntime",
    "huggingface_hub",
    "fastapi",
    "uvicorn",
}
LIGHT = ["cli", "options", "errors.py", "__init__.py", "models", "version.py"]  # what --help imports
LIGHT_EXCEPT = {"models/onnx.py"}  # imported by verbs when they run
FILES = sorted(ROOT.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULES = {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


@cache
def imported_here(module: str) -> tuple[str, ...]:
    """The modules of this package that `module` imports: at once, late, or for type checkers alone."""
    return tuple(_find_imports(module))


def _find_imports(module: str) -> Iterator[str]:
    path = MODULES[module]
    package = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                whole = ".".join([*parts, alias.name])
                yield whole if whole in MODULES else ".".join(parts)


def folder_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported_at_once(tree: ast.Module) -> Iterator[str]:
    """Imports that run when the module is imported: not those in functions, nor for type checkers alone."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from imported(node)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_file_keeps_to_its_place(path: Path) -> None:
    here, text = place(path), path.read_text()
    tree = ast.parse(text)
    assert not any(name.split(".")[0] == "latentfill" for name in imported(tree)), "inside, imports are relative"
    for where, banned in NEVER.items():
        if here.startswith(where):
            assert not banned & {name.split(".")[0] for name in imported(tree)}
    if any(here.startswith(light) for light in LIGHT) and here not in LIGHT_EXCEPT:
        assert not HEAVY & {name.split(".")[0] for name in imported_at_once(tree)}
    assert path.stem not in {"utils", "helpers", "common", "misc", "base", "core"}
    assert len(text.splitlines()) <= 400
    assert not re.search(r"\bmasks?\b\s*[=:(\[]", text), "say known or hole"
    assert not re.search(r"manual_seed\(|np\.random\.(seed|rand|randn|randint|default_rng\(\))", text) or (
        "Generator" in text and "torch.manual_seed" not in text and "np.random.seed" not in text
    ), "every draw has its own generator"
    for node in ast.walk(tree):
        if isinstance(node, ast.With):  # a paused generator would leave the context open
            assert not any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node))
        if isinstance(node, ast.Constant) and node.value == 127.5:
            assert here == "images/pixels.py"
        assert not isinstance(node, ast.Assert), "assert is for tests"


def test_a_folder_imports_only_what_lies_below() -> None:
    climbs = set()
    for module in MODULES:
        here = folder_of(module)
        for other in map(folder_of, imported_here(module)):
            if here in MAY_IMPORT and other != here and other not in EVERYWHERE | MAY_IMPORT[here]:
                climbs.add(f"{here} -> {other}")
    assert not climbs


def test_files_that_import_each_other_become_fewer() -> None:
    above = {module: set(imported_here(module)) - {module} for module in MODULES}
    reached = {module: set(below) for module, below in above.items()}
    for _ in MODULES:
        grown = {module: below.union(*(reached[other] for other in below)) for module, below in reached.items()}
        if grown == reached:
            break
        reached = grown
    circles = {
        frozenset(m for m in below if module in reached[m]) for module, below in reached.items() if module in below
    }
    assert len(circles) == CIRCLES, [sorted(circle) for circle in circles]


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_concrete_class_is_final_and_a_value_frozen(path: Path) -> None:
    classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    extended = {ast.unparse(base) for node in classes for base in node.bases}  # by others beside it
    for node in classes:
        bases = {ast.unparse(base) for base in node.bases}
        decorators = " ".join(ast.unparse(d) for d in node.decorator_list)
        if "dataclass" in decorators:
            assert "frozen=True" in decorators, f"{node.name} can be changed"
        assert not bases & {"ABC", "Base"}
        if bases & {"Protocol", "NamedTuple", "Exception", "LatentfillError"} or decorators.startswith("dataclass"):
            continue
        if node.name in extended:
            continue
        assert "final" in decorators, f"{node.name} is neither an interface nor final"


def test_no_folder_grows_beyond_what_one_remembers() -> None:
    from latentfill.cli.main import VERBS

    for folder in {path.parent for path in FILES}:
        listed = {"__init__", *(VERBS if folder == ROOT / "cli" else ())}  # `latentfill --help` remembers the verbs
        assert len([path for path in folder.glob("*.py") if path.stem not in listed]) <= 12, folder


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, latentfill; sys.exit(' '.join({HEAVY!r} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LOOKED_AT = ("align", "train", "sample", "complete", "evaluate", "serve", "verify", "info", "export", "push")


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in LOOKED_AT)])
def test_help_imports_no_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom latentfill.cli.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'scipy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_every_public_name_is_where_the_type_checker_sees_it() -> None:
    from importlib import import_module

    seen = {}
    for node in ast.walk(ast.parse(Path(latentfill.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            seen |= {alias.name: f"latentfill.{node.module}" for alias in node.names}
    assert seen.pop("__version__") == "latentfill.version" and set(seen) == set(latentfill.__all__)
    for name, module in list(seen.items()) * 2:
        assert getattr(latentfill, name) is getattr(import_module(module), name)


def test_every_verb_has_its_module_and_the_module_its_options() -> None:
    from importlib import import_module

    from latentfill.cli.main import VERBS

    for verb in VERBS:
        module = import_module(f"latentfill.cli.{verb}")
        assert callable(module.run) and module.Options.__doc__


def test_torchvision_is_nowhere_a_dependency() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for group in project["optional-dependencies"].values():
        wanted += group
    banned = ("torchvision", "torch-fidelity", "litdata", "clean-fid", "lpips")
    assert not [name for name in wanted if name.lower().startswith(banned)]
    assert "torch==" in (PROJECT / "constraints.txt").read_text()
