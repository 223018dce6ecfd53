import os
import re
import subprocess
import sys
from pathlib import Path

import latentfill.figures

MODULES = [path.stem for path in Path(latentfill.figures.__file__).parent.glob("*.py") if path.stem != "__init__"]


def test_figures_need_no_backend_that_the_environment_names():
    backend = "module://matplotlib_inline.backend_inline"
    imports = "; ".join(f"import latentfill.figures.{name}" for name in MODULES)
    check = f"{imports}; import os; assert os.environ['MPLBACKEND'] == {backend!r}"
    made = subprocess.run(
        [sys.executable, "-c", check], env={**os.environ, "MPLBACKEND": backend}, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


def test_matplotlib_is_imported_in_one_place():
    sources = Path(latentfill.__file__).parent.rglob("*.py")
    users = {path.name for path in sources if re.search(r"^\s*(import|from) matplotlib", path.read_text(), re.M)}
    assert users == {"curves.py"}
