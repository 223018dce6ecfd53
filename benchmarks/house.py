"""How large the code is, and how it hangs together: lines, files, names, circles, and the files that a photo passes.

    python benchmarks/house.py [FOLDER]

FOLDER holds the package `latentfill`; by default it is this project. Give the folder of another version to compare.
"""

import argparse
import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from machine import heading

PASSED = """
import sys
from pathlib import Path
passed = set()
def note(frame, event, argument):
    if event == "call" and "/latentfill/" in (name := frame.f_code.co_filename):
        passed.add(name)
sys.setprofile(note)
from latentfill.cli.main import main
try:
    main(["complete", "in.png", "--out", "out", "--hole", "center", "--preset", "fast", "--place", "center"])
except SystemExit:
    pass
sys.setprofile(None)
print(len(passed))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[1])
    project = parser.parse_args().folder.resolve()
    root = project / "latentfill"
    files = sorted(root.rglob("*.py"))
    modules = {
        ".".join(path.relative_to(project).with_suffix("").parts).removesuffix(".__init__"): path for path in files
    }
    trees = {name: ast.parse(path.read_text()) for name, path in modules.items()}
    importers = defaultdict(set)
    for name, tree in trees.items():
        for other in imported(name, modules[name], tree, modules):
            importers[other].add(name)
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    lengths = [(node.end_lineno or 0) - node.lineno + 1 for node in functions]
    named = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    print(heading(f"The house: {project.name}"))
    rows = {
        "lines": sum(len(path.read_text().splitlines()) for path in files),
        "files": len([path for path in files if path.stem != "__init__"]),
        "folders": len({path.parent for path in files}),
        "folders deep": max(len(path.relative_to(root).parts) for path in files) - 1,
        "files above 400 lines": sum(len(path.read_text().splitlines()) > 400 for path in files),
        "public names": len([node for node in named if not node.name.startswith("_")]),
        "modules with one importer": sum(len(importers[name]) == 1 for name in modules),
        "circles": circles(importers),
        "median lines of a function": int(np.median(lengths)),
        "90th percentile": int(np.percentile(lengths, 90)),
        "files that a picture of `complete` passes": passed(project),
    }
    for name, number in rows.items():
        print(f"{name:45} {number:7,}")


def imported(name: str, path: Path, tree: ast.AST, modules: dict[str, Path]) -> set[str]:
    """The modules of the package that one imports, late imports and those of type checkers included."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                whole = ".".join([*parts, alias.name])
                found.add(whole if whole in modules else ".".join(parts))
    return found - {name}


def circles(importers: dict[str, set[str]]) -> int:
    """Groups of files that import each other."""
    reached = {name: set(above) for name, above in importers.items()}
    while True:
        grown = {name: above.union(*(reached.get(other, set()) for other in above)) for name, above in reached.items()}
        if grown == reached:
            break
        reached = grown
    return len(
        {frozenset(m for m in reached[one] if one in reached.get(m, ())) for one in reached if one in reached[one]}
    )


def passed(project: Path) -> int:
    """Files of the package in which a function runs while one picture is completed, from the command to the file."""
    from PIL import Image

    with TemporaryDirectory() as folder:
        values = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(values).save(Path(folder) / "in.png")
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(project)!r})\n{PASSED}"]
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return int(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
