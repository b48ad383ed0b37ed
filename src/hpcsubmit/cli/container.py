"""`hpcsubmit container init|build`."""

from hpcsubmit.cli.group import LazyGroup

command = LazyGroup(
    "container",
    {
        "init": "write the definition of the project's image",
        "build": "build the image, here or in a job",
    },
    help="Make the image that container jobs run in.",
)
