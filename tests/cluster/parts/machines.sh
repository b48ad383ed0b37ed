# shellcheck shell=bash
# Starts and ends fake machines.
#
# A fake machine is one process tree in namespaces of its own: process ids, network, hostname,
# IPC, mounts and cgroups.  Its process 1 is init.sh.  The machines of a cluster are joined by a
# bridge that lives in one more network namespace, the "switch"; nothing leads out of there.
#
# Every process that outlives the script which started it is recorded in $AREA/run by its id
# *and* its start time, and only what still has both is ever signalled.

# identity PID: what tells this process from a later one with the same id; fails for a dead one.
identity() {
  local stat fields boot
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra fields <<<"${stat##*) }"
  # A zombie is dead, although it still has its start time.
  [[ ${fields[0]} != [ZX] ]] || return 1
  read -r boot </proc/sys/kernel/random/boot_id
  echo "$1 ${fields[19]} $boot"
}

record() {
  identity "$2" >"$AREA/run/$1.new" && mv "$AREA/run/$1.new" "$AREA/run/$1.process"
}

# live_pid NAME: the id of the recorded process, if it still is that process.
live_pid() {
  local recorded
  { read -r recorded <"$AREA/run/$1.process"; } 2>/dev/null || return 1
  [[ $(identity "${recorded%% *}") == "$recorded" ]] && echo "${recorded%% *}"
}

is_gone() { ! live_pid "$1" >/dev/null; }

end_process() {
  local pid
  if pid=$(live_pid "$1"); then
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 120 "the end of process $pid ($1)" "/proc/$pid/stack" is_gone "$1"
  fi
  rm -f "$AREA/run/$1.process"
}

# in_machine NAME COMMAND...: as root, with the caller's environment.
in_machine() {
  local pid
  pid=$(live_pid "$1") || die "machine $1 of cluster $CLUSTER is not up"
  shift
  nsenter -t "$pid" -m -u -i -n -p -C -- "$@"
}

switch_is_ready() {
  local pid
  pid=$(live_pid switch) \
    && nsenter -t "$pid" -n ip -o link show dev testswitch up 2>/dev/null | grep -q testswitch
}

start_switch() {
  ! switch_is_ready || return 0
  end_process switch
  (
    cd / && exec 9>&-
    record switch "$BASHPID"
    exec setsid unshare -n sh -ec 'ip link add testswitch type bridge
      ip link set testswitch up
      exec sleep infinity'
  ) </dev/null >>"$AREA/log/switch.log" 2>&1 &
  wait_until 120 "the start of the switch of $CLUSTER" "$AREA/log/switch.log" switch_is_ready
}

# join_cgroups NAME: puts the calling process into groups of the machine's own, below the ones
# it is in.  With a cgroup namespace made there, they are all that the machine ever sees.
join_cgroups() {
  local controllers path parent group name=hpcsubmit${STATE//\//.}.$CLUSTER.$1
  : >"$AREA/run/$1.cgroups"
  while read -r controllers path; do
    parent=/sys/fs/cgroup/${controllers%%,*}${path%/} group=$parent/$name
    echo "$group" >>"$AREA/run/$1.cgroups"
    mkdir -p "$group"
    if [[ -e $group/cpuset.cpus ]]; then
      # A new cpuset is empty, and nothing may join it before it has been given something.
      cat "$parent/cpuset.cpus" >"$group/cpuset.cpus"
      cat "$parent/cpuset.mems" >"$group/cpuset.mems"
    fi
    echo "$BASHPID" >"$group/cgroup.procs"
  done < <(cgroup_hierarchies)
}

cgroup_is_removed() {
  [[ ! -d $1 ]] || find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
}

leave_cgroups() {
  local group
  [[ -f $AREA/run/$1.cgroups ]] || return 0
  while read -r group; do
    wait_until 120 "the removal of the cgroup" "$group/cgroup.procs" cgroup_is_removed "$group"
  done <"$AREA/run/$1.cgroups"
  rm "$AREA/run/$1.cgroups"
}

# Whether process 1 runs and its network cable is plugged in; from there it boots by itself.
is_powered() {
  local pid
  pid=$(live_pid "$1") && nsenter -t "$pid" -n ip link show dev eth0 >/dev/null 2>&1
}

# The outer process becomes the one that makes the namespaces (before, its children are mere
# helpers); from then on its only child is the machine's process 1.
record_init() {
  local outer init
  outer=$(live_pid "$1.outer") || die "machine $1 died as it started; read $AREA/log/$1.boot.log"
  [[ $(<"/proc/$outer/comm") == unshare ]] || return 1
  read -r init _ < <(cat "/proc/$outer/task/$outer/children" && echo)
  [[ -n $init ]] && record "$1" "$init"
}

power_on() {
  local name=$1 pid
  ! is_powered "$name" || return 0
  # Perhaps half a machine is left of a script that was killed here.
  power_cut "$name"
  mkdir -p "$AREA/machines/$name"
  (
    # Daemons must neither start in a folder that their users cannot enter, nor hold our lock.
    cd / && exec 9>&-
    # First of all, by the process itself: whoever dies now, it stays known.
    record "$name.outer" "$BASHPID"
    [[ $(<"$AREA/tracking") != cgroup ]] || join_cgroups "$name"
    exec setsid env -i PATH="$PATH" LANG="$LANG" HOME=/root HPCSUBMIT_TESTCLUSTER="$STATE" \
      unshare -m -n -u -i -p -C --fork --kill-child=KILL \
      bash "$STATE/scripts/parts/init.sh" "$CLUSTER" "$name"
  ) </dev/null >>"$AREA/log/$name.boot.log" 2>&1 &
  wait_until 120 "the record of machine $name" "$AREA/log/$name.boot.log" live_pid "$name.outer" >/dev/null
  wait_until 120 "the start of machine $name" "$AREA/log/$name.boot.log" record_init "$name"
  pid=$(live_pid switch) || die "the switch of $CLUSTER is not up"
  nsenter -t "$pid" -n ip link del "to-$name" 2>/dev/null || true
  nsenter -t "$pid" -n ip link add "to-$name" master testswitch up \
    type veth peer name eth0 netns "$(live_pid "$name")"
}

is_booted() {
  local pid
  pid=$(live_pid "$1") || die "machine $1 died; read $AREA/log/$1.boot.log"
  nsenter -t "$pid" -m test -e /run/booted
}

wait_for_boot() {
  wait_until 600 "the boot of machine $1" "$AREA/log/$1.boot.log and the logs beside it" is_booted "$1"
}

# power_cut NAME: with process 1 of its namespace the kernel ends everything in the machine.
power_cut() {
  end_process "$1"
  end_process "$1.outer"
  leave_cgroups "$1"
}
