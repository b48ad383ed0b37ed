"""`hpcsubmit clean nodes|data|env`."""

from hpcsubmit.cli.group import LazyGroup

command = LazyGroup(
    "clean",
    {
        "nodes": "what jobs left on the nodes' own disks",
        "data": "packed data that have changed since",
        "env": "environments that were superseded or not finished",
    },
    help="Remove what nothing needs any more.",
)
