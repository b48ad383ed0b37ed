#!/bin/sh
# As root on every node of a job, before the job's first process there.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
folder=/localscratch/$SLURM_JOB_USER.$SLURM_JOB_ID.0
mkdir -p "$folder" && chown "$SLURM_JOB_UID" "$folder" && chmod 700 "$folder"
