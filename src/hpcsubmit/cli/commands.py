"""The commands there are."""

COMMANDS = {
    "submit": "submit a job; the same as hpcsubmit without a command",
    "init": "write hpcsubmit.yaml, the project's application file, from what the project holds",
    "sweep": "many runs with different parameters: sweep run FILE, sweep results RUN, ...",
    "status": "what the scheduler knows of jobs",
    "cancel": "end jobs",
    "clean": "remove what nothing needs any more: clean nodes, clean data, clean env",
    "stage": "pack data ahead of any job; stage --list shows what is packed",
    "container": "make the image of container jobs: container init, container build",
    "env": "the environment of the project's jobs: what it is, and its building",
    "runs": "list what was submitted; runs show RUN prints one",
    "clusters": "list the cluster profiles; clusters show NAME prints one",
    "gpus": "who uses this machine's GPUs; gpus --cluster shows what is free on the nodes",
}
"""The commands and what they do. Each is `command` in the module of its name, imported when asked for."""

INTERRUPTED = 130
"""What a command ends with that the user interrupted."""
