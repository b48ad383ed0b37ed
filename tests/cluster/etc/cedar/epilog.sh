#!/bin/sh
# As root on every node of a job, after the job's last process there.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
rm -rf "/localscratch/$SLURM_JOB_USER.$SLURM_JOB_ID.0"
