#!/bin/sh
# Debian ships Python without venv: installs it where that is allowed, says what to do elsewhere.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
else
  echo "python3 has no venv module; on Debian: apt-get install python3-venv" >&2
  exit 1
fi
