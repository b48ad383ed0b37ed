#!/bin/sh
# Debian ships Python without venv: installs it where that is allowed, says what to do elsewhere.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  # Again where an index or apt's lock was not to be had for a moment.
  for pause in 15 60 120 0; do
    apt-get -qq -o Acquire::Retries=5 update || true
    if apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3-venv; then
      exit 0
    fi
    sleep "$pause"
  done
  exit 1
else
  echo "python3 has no venv module; on Debian: apt-get install python3-venv" >&2
  exit 1
fi
