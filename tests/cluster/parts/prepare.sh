# shellcheck shell=bash
# Writes what a cluster needs before its machines start: users, folders, configuration, database.

USERS=(researcher researcher2)

# The machines see a copy of these scripts: the checkout may be below /root or /tmp.
install_scripts() {
  local sum
  sum=$(cd "$1" && find parts etc -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  [[ $(cat "$STATE/scripts/sum" 2>/dev/null) != "$sum" ]] || return 0
  rm -rf "$STATE/scripts.new"
  mkdir "$STATE/scripts.new"
  cp -r "$1/parts" "$1/etc" "$STATE/scripts.new/"
  echo "$sum" >"$STATE/scripts.new/sum"
  # A running process 1 keeps the file that it has open.
  rm -rf "$STATE/scripts"
  mv "$STATE/scripts.new" "$STATE/scripts"
}

make_users() {
  local user
  for user in "${USERS[@]}"; do
    getent passwd "$user" >/dev/null || useradd -M -s /bin/bash -d "/home/$user" "$user"
  done
}

# Jobs are tracked by cgroups of version 1 where this machine has them and lets us use them.
choose_tracking() {
  local controllers path probe
  case ${HPCSUBMIT_TESTCLUSTER_TRACKING-} in
    cgroup | process) echo "$HPCSUBMIT_TESTCLUSTER_TRACKING" && return ;;
    '') ;;
    *) die "HPCSUBMIT_TESTCLUSTER_TRACKING is neither cgroup nor process" ;;
  esac
  for controllers in memory cpuset cpuacct devices freezer; do
    path=$(cgroup_hierarchies | awk -v c="$controllers" 'index("," $1 ",", "," c ",") { print $2 }')
    probe=/sys/fs/cgroup/$controllers${path%/}/hpcsubmit-probe-$$
    if [[ -z $path ]] || ! { mkdir "$probe" && rmdir "$probe"; } 2>/dev/null; then
      echo process && return
    fi
  done
  echo cgroup
}

make_folders() {
  local user
  # The mount points, in the root that all machines see; empty, and left where they are.
  mkdir -p /scratch /project /localscratch /scratch-ssd /etc/slurm
  mkdir -p "$AREA"/{run,log,machines,etc/slurm,etc/munge,state/slurmctld} "$AREA"/shared/{home,scratch,project}
  chown slurm "$AREA/log" "$AREA/state/slurmctld"
  mkdir -p "$AREA/shared/scratch/root"
  for user in "${USERS[@]}"; do
    [[ -d $AREA/shared/home/$user ]] || cp -r /etc/skel "$AREA/shared/home/$user"
    mkdir -p "$AREA/shared/scratch/$user"
    chown -R "$user:" "$AREA/shared/home/$user"
    chown "$user:" "$AREA/shared/scratch/$user"
  done
  mkdir -p "$AREA/shared/project/def-fwood"
  chmod 1777 "$AREA/shared/project/def-fwood"
}

write_configuration() {
  local etc=$AREA/etc name
  cp "$CONFIGS/common"/*.conf "$CONFIGS/common"/*.sh "$etc/slurm/"
  find "$CONFIGS/$CLUSTER" -type f ! -name machines ! -name login.env -exec cp -t "$etc/slurm" {} +
  cp "$etc/slurm/tracking-$(<"$AREA/tracking").conf" "$etc/slurm/tracking.conf"
  # slurmdbd refuses a file that others can read: it holds a password.
  chown slurm "$etc/slurm/slurmdbd.conf"
  chmod 600 "$etc/slurm/slurmdbd.conf"
  chmod 755 "$etc/slurm"/*.sh
  {
    echo "127.0.0.1 localhost"
    for name in "${MACHINES[@]}"; do echo "${ADDRESS[$name]} $name"; done
  } >"$etc/hosts"
  [[ -s $etc/munge/munge.key ]] || head -c 1024 /dev/urandom >"$etc/munge/munge.key"
  chown -R munge:munge "$etc/munge"
  chmod 700 "$etc/munge"
  chmod 400 "$etc/munge/munge.key"
}

# The database's system tables are the same each time: made once, then copied.
make_database() {
  local template=$STATE/database-template
  [[ ! -d $AREA/state/mariadb ]] || return 0
  if [[ ! -d $template ]]; then
    rm -rf "$template.new"
    mkdir "$template.new"
    mariadb-install-db --no-defaults --user=mysql --datadir="$template.new" --skip-test-db \
      --innodb-log-file-size=16M --auth-root-authentication-method=socket \
      >"$AREA/log/mariadb-install-db.log" 2>&1 </dev/null 9>&- \
      || die "no database could be made; read $AREA/log/mariadb-install-db.log"
    mv "$template.new" "$template"
  fi
  rm -rf "$AREA/state/mariadb.new"
  cp -a "$template" "$AREA/state/mariadb.new"
  mv "$AREA/state/mariadb.new" "$AREA/state/mariadb"
}
