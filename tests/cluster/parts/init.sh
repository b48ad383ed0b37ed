#!/bin/bash
# init.sh CLUSTER MACHINE: process 1 of a fake machine, in the namespaces that power_on made.
# It runs from a copy in the state folder: the checkout may lie where the machine cannot see it.
set -eu
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/cluster/parts/common.sh
. "$here/common.sh"
# shellcheck source=tests/cluster/parts/daemons.sh
. "$here/daemons.sh"
use_cluster "$1"
HOSTNAME=$2
disks=$AREA/machines/$HOSTNAME

has_cable() { ip link show dev eth0 >/dev/null 2>&1; }

set_up_network() {
  echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 || true
  wait_until 180 "the plugging in of the network cable" "the output of testcluster.sh" has_cable
  ip link set lo up
  ip addr add "${ADDRESS[$HOSTNAME]}/24" dev eth0
  ip link set eth0 up
}

# The root of each cgroup hierarchy is this machine's own group, as its cgroup namespace says.
mount_cgroups() {
  local controllers controller
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while read -r controllers _; do
    mkdir "/sys/fs/cgroup/$controllers"
    mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
    for controller in ${controllers//,/ }; do
      [[ -e /sys/fs/cgroup/$controller ]] || ln -s "$controllers" "/sys/fs/cgroup/$controller"
    done
  done < <(cgroup_hierarchies)
}

mount_disks() {
  local disk
  # This machine's own disks.
  for disk in tmp var/tmp localscratch scratch-ssd; do
    mkdir -p "$disks/$disk"
    chmod 1777 "$disks/$disk"
    mount --bind "$disks/$disk" "/$disk"
  done
  mount -t tmpfs -o mode=1777 shm /dev/shm
  mount -t tmpfs -o mode=755 run /run
  mkdir -p "$disks/spool" /run/{log,state,spool,slurm,munge,mysqld,daemon,gpu}
  chown slurm /run/slurm
  chown munge /run/munge
  chown mysql /run/mysqld
  mount --bind "$disks/spool" /run/spool
  mount --bind "$AREA/log" /run/log
  # The cluster's: disks, configuration, and what its control machine remembers.
  for disk in home scratch project; do mount --bind "$AREA/shared/$disk" "/$disk"; done
  mount --bind "$AREA/etc/slurm" /etc/slurm
  mount --bind "$AREA/etc/munge" /etc/munge
  mount --bind "$AREA/etc/hosts" /etc/hosts
  [[ ! -e /etc/resolv.conf ]] || mount --bind /dev/null /etc/resolv.conf
  [[ ${ROLE[$HOSTNAME]} != control ]] || mount --bind "$AREA/state" /run/state
  # Last: nothing here can look at another machine's disks.
  mount -t tmpfs -o mode=755,size=64k hidden "$STATE/clusters"
}

# Users mount images through fuse, and some machines let only root open its device: here is one
# for all, as udev makes it elsewhere.
open_fuse() {
  [[ -c /dev/fuse ]] || return 0
  mknod -m 666 /run/fuse c 10 229
  mount --bind /run/fuse /dev/fuse
}

boot_control() {
  boot_daemon mariadb
  mariadb --no-defaults -S "$SOCKET" -e "create user if not exists slurm@localhost identified by 'slurm';
    grant all on slurm_acct_db.* to slurm@localhost;"
  # A slurmctld that finds no slurmdbd starts without accounts, and one whose accounts come
  # later refuses jobs until they have reached it.
  boot_daemon slurmdbd
  if [[ ! -e /run/state/accounts ]]; then
    sacctmgr -i </etc/slurm/accounts
    : >/run/state/accounts
  fi
  boot_daemon slurmctld
}

boot_compute() {
  local number try
  # gres.conf wants character devices: these are /dev/null under other names.
  for number in {0..7}; do mknod -m 666 "/run/gpu/nvidia$number" c 1 3; done
  # A slurmd that finds no slurmctld backs off for ten seconds.
  for ((try = 0; try < 1200; try++)); do
    ! answers slurmctld || break
    sleep 0.1
  done
  boot_daemon slurmd
}

mount --make-rprivate /
hostname "$HOSTNAME"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[[ $(<"$AREA/tracking") != cgroup ]] || mount_cgroups
mount_disks
open_fuse
set_up_network
boot_daemon munged
case ${ROLE[$HOSTNAME]} in
  control) boot_control ;;
  compute) boot_compute ;;
esac
: >/run/booted

# Process 1 inherits orphans, and must stay to reap them.
set +e
while :; do
  sleep infinity &
  wait $!
done
