#!/bin/sh
# Stands in for mail: one line for each message that slurmctld would have sent.
echo "$(date +%FT%T) $*" >> /run/log/mail.txt
