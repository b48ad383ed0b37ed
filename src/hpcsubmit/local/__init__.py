"""The embedded cluster `local`: Slurm's commands for one machine, without root or a daemon.

`python -P -m hpcsubmit.local COMMAND ...` is sbatch, srun, squeue, scontrol or scancel. Every job has a
folder of records (job.py) and one process that looks after it (runner.py); there is nothing else.
"""
