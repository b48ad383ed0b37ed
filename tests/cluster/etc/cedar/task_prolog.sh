#!/bin/sh
# As the user before each task: a printed line "export NAME=VALUE" sets a variable of the task.
echo "export SLURM_TMPDIR=/localscratch/$(/usr/bin/id -un).$SLURM_JOB_ID.0"
