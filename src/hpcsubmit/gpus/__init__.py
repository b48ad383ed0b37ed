"""What GPUs there are and who uses them: on this machine, and on the nodes of a Slurm cluster.

Neither needs a project. `machine` and `nodes` ask; `devices`, `gres` and the modules in _text are pure.
"""
