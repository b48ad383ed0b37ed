"""The process tree, also the way it is found where there is no subreaper and no /proc."""

import os
import subprocess
import sys

import pytest

from hpcsubmit.local import processes

# A daemon that ignores TERM, below a shell that ends at once; then the tree is killed and counted again.
DAEMON = """
import signal, subprocess, time
from hpcsubmit.local import processes
tree = processes.{tree}
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
script = "setsid {python} -c '" + deaf + "' & sleep 60"
shell = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
shell.stdout.readline()
while len(before := tree.left()) < 3:  # the shell may not have started its own sleep yet
    time.sleep(0.01)
shell.kill()
shell.wait()
orphans = tree.left()
left = tree.kill()
alive = [row.pid for row in processes._table() if row.pid in before and row.alive]
print(len(before), len(orphans), left, alive)
"""


@pytest.mark.parametrize(
    "tree", ["Tree.adopt(tuple)", "Tree(tuple, adopts=False)"], ids=["subreaper", "groups"]
)
def test_a_daemon_does_not_escape(tree: str) -> None:
    code = DAEMON.format(tree=tree, python=sys.executable)
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert said.stdout == "3 2 set() []\n"


def test_ps_tells_what_proc_tells() -> None:
    rows = [row for row in processes._ps_table() if row.pid == os.getpid()]
    assert rows == [row for row in processes._table() if row.pid == os.getpid()]
    assert rows[0].parent == os.getppid()
    assert rows[0].alive
