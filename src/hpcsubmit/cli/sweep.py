"""`hpcsubmit sweep create|run|status|...`."""

from hpcsubmit.cli.group import LazyGroup

_STATES = {
    "stop": "let the runs of a sweep end, and start no more",
    "cancel": "end a sweep and its runs",
    "pause": "start no more runs for now",
    "resume": "start runs again",
}
command = LazyGroup(
    "sweep",
    {
        "create": "make the sweep of a file on the wandb server",
        "run": "make the sweep of a file and submit its runs, or run it without a server",
        "status": "how far a sweep is, and its best run",
        **_STATES,
        "rerun": "run those trials again that failed or are missing",
        "sync": "upload what trials without a server have logged with wandb",
        "results": "the parameters and metrics of all runs, as a table or a page",
    },
    help="Many runs of one program with other parameters.",
    shared=dict.fromkeys(_STATES, "sweep_state"),
)
