# shellcheck shell=bash
# Sourced by every script here: where things are, which machines a cluster has, and how to
# wait for something without waiting for ever.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
umask 022

STATE=${HPCSUBMIT_TESTCLUSTER:-/var/lib/hpcsubmit-testcluster}
CONFIGS=$(dirname "${BASH_SOURCE[0]}")/../etc

die() {
  echo "testcluster: $*" >&2
  exit 1
}

# wait_until SECONDS WHAT LOG COMMAND...: the command is tried until it succeeds.
wait_until() {
  local seconds=$1 what=$2 log=$3 end
  shift 3
  end=$((SECONDS + seconds))
  until "$@"; do
    ((SECONDS <= end)) || die "$what did not happen within $seconds s; read $log"
    sleep 0.05
  done
}

# shellcheck disable=SC2034  # AREA and ADDRESS are for the scripts that source this one.
# use_cluster NAME: sets CLUSTER, AREA (its folder), MACHINES (names), ROLE and ADDRESS (by name).
use_cluster() {
  local name role address
  CLUSTER=$1 AREA=$STATE/clusters/$1 MACHINES=()
  declare -gA ROLE=() ADDRESS=()
  [[ $1 != */* && -f $CONFIGS/$1/machines ]] || die "there is no cluster '$1' (cedar, plai)"
  while read -r name role address; do
    [[ -z $name || $name == '#'* ]] && continue
    MACHINES+=("$name")
    ROLE[$name]=$role ADDRESS[$name]=$address
  done <"$CONFIGS/$1/machines"
}

# with_role ROLE: the names of the cluster's machines that have this role.
with_role() {
  local name
  for name in "${MACHINES[@]}"; do
    [[ ${ROLE[$name]} != "$1" ]] || echo "$name"
  done
}

known_machine() {
  [[ -n ${ROLE[$1]-} ]] || die "cluster $CLUSTER has no machine '$1' (${MACHINES[*]})"
}

# cgroup_hierarchies: "CONTROLLERS PATH" for each hierarchy of cgroup version 1 that Slurm uses,
# PATH being where the calling process is in it.
cgroup_hierarchies() {
  local controllers path
  while IFS=: read -r _ controllers path; do
    case ,$controllers, in
      *,memory,* | *,cpuset,* | *,cpu,* | *,cpuacct,* | *,devices,* | *,freezer,*)
        echo "$controllers $path" ;;
    esac
  done </proc/self/cgroup
}
