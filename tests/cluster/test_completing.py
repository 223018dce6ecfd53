import os
import subprocess
import sys

from latentfill.cluster.connection import clear_up


def test_what_the_dead_have_left_is_removed_and_nothing_of_the_living(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (dead.pid, os.getpid(), os.getppid(), "somebody's"):
        (tmp_path / str(name) / "faces").mkdir(parents=True)
    clear_up(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {str(os.getppid()), "somebody's"}
    clear_up(tmp_path / "missing")
