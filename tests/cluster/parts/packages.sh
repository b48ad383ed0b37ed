# shellcheck shell=bash
# Installs the Debian packages that are missing, and starts none of their daemons.

SLURM_PACKAGES=(slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge mariadb-server
  libpmix2 openmpi-bin iproute2 procps util-linux python3-venv)
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK="# made by hpcsubmit's test cluster for one apt-get, and removed after it"

install_slurm() { install_packages "${SLURM_PACKAGES[@]}"; }

# install_packages NAME...: those of them that are missing.
install_packages() {
  local package missing=() log=$STATE/apt.log
  for package; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] \
      || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  echo "testcluster: installing ${missing[*]} (log: $log)" >&2
  (
    # 9 is the lock: what apt starts must not hold it.
    exec 9>&-
    export DEBIAN_FRONTEND=noninteractive
    forbid_daemons
    try_again fetch_and_install && keep_daemons_off
  ) >"$log" 2>&1 </dev/null || die "apt-get could not install ${missing[*]}; read $log"
}

# try_again COMMAND...: until it succeeds, where an index or apt's lock is not to be had for a moment.
try_again() {
  local pause
  for pause in 15 60 120; do
    ! "$@" || return 0
    sleep "$pause"
  done
  "$@"
}

# Each time from the update on: what an older index names may be gone.
fetch_and_install() {
  # What an apt-get left that was killed here.
  dpkg --configure -a || true
  # A source that fails may not be one that is needed here.
  apt-get update -q -o Acquire::Retries=5
  apt-get install -y -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 \
    --no-install-recommends "${missing[@]}"
}

# Debian starts a daemon as it is installed, unless the policy script answers 101 ("forbidden").
forbid_daemons() {
  if [[ -e $POLICY ]] && ! grep -qxF "$POLICY_MARK" "$POLICY"; then
    local answer=0
    "$POLICY" munge start || answer=$?
    ((answer == 101)) || die "$POLICY of this machine lets packages start daemons"
    return 0
  fi
  trap 'rm -f "$POLICY"' EXIT
  printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
  chmod 755 "$POLICY"
}

# The policy holds for the installation only: nor may they start at the next boot.
keep_daemons_off() {
  local package
  [[ -d /run/systemd/system ]] || return 0
  for package in "${missing[@]}"; do
    case $package in
      mariadb-server) systemctl disable mariadb ;;
      munge | slurmctld | slurmd | slurmdbd) systemctl disable "$package" ;;
    esac
  done
}
