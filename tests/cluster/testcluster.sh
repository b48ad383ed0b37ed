#!/bin/bash
# testcluster.sh - a real multi-node Slurm on this one machine; README.md says more.
#
#   testcluster.sh up [cedar] [plai]             start what is not up (both unless named)
#   testcluster.sh down [--wipe] [cedar] [plai]  end it; --wipe forgets its jobs, disks and logs
#   testcluster.sh on CLUSTER[:MACHINE] [-u USER] [-C FOLDER] [-e NAME=VALUE]... [COMMAND...]
#                                                run a command there, as ssh would (a shell if none)
#   testcluster.sh power cut|on CLUSTER MACHINE
#   testcluster.sh daemon stop|kill|start|status CLUSTER MACHINE munged|mariadb|slurmdbd|slurmctld|slurmd
#   testcluster.sh apptainer                     install Apptainer for the machines' users
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/cluster/parts/common.sh
. "$here/parts/common.sh"
# shellcheck source=tests/cluster/parts/machines.sh
. "$here/parts/machines.sh"

lock() {
  mkdir -p "$STATE"
  exec 9>"$STATE/lock"
  flock -w 1800 9 || die "another testcluster.sh has held $STATE/lock for half an hour"
}

check_state_folder() {
  case $STATE/ in
    /tmp/* | /var/tmp/* | /run/* | /dev/* | /proc/* | /sys/* | /home/* | /scratch/* | /project/* | \
      /localscratch/* | /scratch-ssd/* | /root/*)
      die "the state folder $STATE lies where the fake machines or their users cannot see it" ;;
    /*) ;;
    *) die "the state folder $STATE must be given as an absolute path" ;;
  esac
}

# all_nodes_serve: each compute node is listed by slurmctld as one that takes jobs.
all_nodes_serve() {
  local states
  states=$(in_machine "$(with_role login)" timeout 20 sinfo -h -N -o '%N %t' 2>/dev/null | sort -u) || return 1
  [[ $(grep -cE ' (idle|mix|alloc|comp)$' <<<"$states") != "$(with_role compute | wc -l)" ]] || return 0
  # What drained a node may be known only now.
  resume_drained_nodes
  return 1
}

# A node that failed in an earlier test's hands may be drained; that is over now.
resume_drained_nodes() {
  local login node
  login=$(with_role login)
  for node in $(in_machine "$login" timeout 20 sinfo -h -N -t drain,fail -o %N | sort -u); do
    in_machine "$login" timeout 20 scontrol update "nodename=$node" state=resume || true
  done
}

start_cluster() {
  local name settings
  use_cluster "$1"
  make_folders
  # Scripts, configuration and tracking: machines that were started with others start anew.
  settings="$(<"$STATE/scripts/sum") $(choose_tracking)"
  if [[ $(cat "$AREA/run/settings" 2>/dev/null) != "$settings" ]]; then
    stop_machines
    choose_tracking >"$AREA/tracking"
    write_configuration
    echo "$settings" >"$AREA/run/settings"
  fi
  make_database
  start_switch
  for name in "${MACHINES[@]}"; do power_on "$name"; done
}

await_cluster() {
  local name
  use_cluster "$1"
  for name in "${MACHINES[@]}"; do wait_for_boot "$name"; done
  resume_drained_nodes
  wait_until 300 "that all nodes of $CLUSTER serve" "$AREA/log/slurmctld.log" all_nodes_serve
  echo "$CLUSTER is up: ${MACHINES[*]}"
}

stop_machines() {
  local name control daemon
  control=$(with_role control)
  if live_pid "$control" >/dev/null; then
    # Let them save what they know; a daemon that hangs is cut off with its machine.
    for daemon in slurmctld slurmdbd mariadb; do
      timeout 90 bash "$here/testcluster.sh" daemon stop "$CLUSTER" "$control" "$daemon" 9>&- || true
    done
  fi
  for name in "${MACHINES[@]}"; do power_cut "$name"; done
  end_process switch
}

command_up() {
  local clusters=("$@") name
  ((${#clusters[@]})) || clusters=(cedar plai)
  ((EUID == 0)) || die "only root can make machines"
  check_state_folder
  # shellcheck source=tests/cluster/parts/packages.sh
  . "$here/parts/packages.sh"
  # shellcheck source=tests/cluster/parts/prepare.sh
  . "$here/parts/prepare.sh"
  for name in "${clusters[@]}"; do use_cluster "$name"; done
  lock
  chmod 755 "$STATE"
  install_slurm
  make_users
  install_scripts "$here"
  for name in "${clusters[@]}"; do start_cluster "$name"; done
  for name in "${clusters[@]}"; do await_cluster "$name"; done
}

command_down() {
  local clusters=() wipe='' name
  for name; do
    case $name in
      --wipe) wipe=1 ;;
      *) clusters+=("$name") ;;
    esac
  done
  ((${#clusters[@]})) || clusters=(cedar plai)
  check_state_folder
  lock
  for name in "${clusters[@]}"; do
    use_cluster "$name"
    [[ -d $AREA ]] || continue
    stop_machines
    # Renamed first: half a removal must not be taken for a cluster.
    [[ -z $wipe ]] || mv "$AREA" "$AREA.wiped.$$"
    rm -rf "$AREA".wiped.*
    echo "$CLUSTER is down"
  done
}

command_power() {
  use_cluster "$2"
  known_machine "$3"
  lock
  case $1 in
    cut) power_cut "$3" ;;
    on) power_on "$3" && wait_for_boot "$3" ;;
    *) die "power: '$1' is neither cut nor on" ;;
  esac
}

command_daemon() {
  use_cluster "$2"
  known_machine "$3"
  # shellcheck disable=SC2016
  in_machine "$3" bash -euc '. "$1/common.sh"; . "$1/daemons.sh"; daemon_command "$2" "$3"' \
    daemon "$STATE/scripts/parts" "$1" "$4"
}

command_apptainer() {
  ((EUID == 0)) || die "only root can install Apptainer"
  check_state_folder
  # shellcheck source=tests/cluster/parts/packages.sh
  . "$here/parts/packages.sh"
  # shellcheck source=tests/cluster/parts/apptainer.sh
  . "$here/parts/apptainer.sh"
  lock
  chmod 755 "$STATE"
  install_apptainer
  echo "its commands are in $APPTAINER/bin"
}

# The environment is what a login would have, and nothing of the caller's.
command_on() {
  local place=$1 user=root folder='' machine pid home entry path login variables=()
  shift
  use_cluster "${place%%:*}"
  machine=$(with_role login)
  [[ $place != *:* ]] || machine=${place#*:}
  known_machine "$machine"
  while getopts u:C:e: entry; do
    case $entry in
      u) user=$OPTARG ;;
      C) folder=$OPTARG ;;
      e) variables+=("$OPTARG") ;;
      *) exit 2 ;;
    esac
  done
  shift $((OPTIND - 1))
  (($#)) || set -- bash -l
  pid=$(live_pid "$machine") || die "machine $machine of cluster $CLUSTER is not up"
  home=$(getent passwd "$user" | cut -d: -f6)
  [[ -n $home ]] || die "there is no user '$user'"
  path=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games
  [[ $user != root ]] || path=$PATH
  mapfile -t login < <(printf '%s\n' "HOME=$home" "USER=$user" "LOGNAME=$user" SHELL=/bin/bash \
    "PATH=$path" "LANG=$LANG" "TERM=${TERM:-dumb}" "SCRATCH=/scratch/$user"
    grep -v '^#' "$CONFIGS/$CLUSTER/login.env")
  # nsenter waits for the command; signals sent to their process group are the command's alone.
  # shellcheck disable=SC2016
  exec env --ignore-signal=INT --ignore-signal=TERM --ignore-signal=HUP --ignore-signal=QUIT \
    nsenter -t "$pid" -m -u -i -n -p -C -- \
    setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
    env -i --default-signal=INT --default-signal=TERM --default-signal=HUP --default-signal=QUIT \
    "${login[@]}" "${variables[@]}" \
    bash -c 'cd -- "$1" || exit; unset OLDPWD; shift; exec "$@"' login "${folder:-$home}" "$@"
}

case ${1-} in
  up | down | on | power | daemon | apptainer) "command_$1" "${@:2}" ;;
  *) die "the commands are up, down, on, power, daemon and apptainer; see the head of $0" ;;
esac
