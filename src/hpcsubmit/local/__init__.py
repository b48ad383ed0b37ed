"""The embedded cluster `local`: Slurm's commands for one machine, without root or a daemon.

`python -P -m hpcsubmit.local COMMAND ...` is sbatch, srun, squeue, scontrol or scancel. Every job has a
folder of records (job.py) and one process that looks after it (runner.py). An array has one more of both
(job_array.py, array_runner.py), for the tasks that wait; there is nothing else.
"""
