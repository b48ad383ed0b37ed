#!/bin/bash
#SBATCH --job-name=lightning_dist-gan-testing
#SBATCH --comment=r20260131-235959-a2b3
#SBATCH --partition=plai
#SBATCH --time=00-01:00:00
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --gres=gpu:2
#SBATCH --mem-per-gpu=10G
#SBATCH --chdir=/home/u/gan
#SBATCH --output=/scratch/u/gan/hpc_outputs/lightning_testing_%j.out
#SBATCH --open-mode=append

# hpcsubmit 0.1.0, run r20260131-235959-a2b3: hpcsubmit runs show r20260131-235959-a2b3
# Made in /home/u/gan by: hpcsubmit

set -euo pipefail
trap 'echo "hpcsubmit: line $LINENO of the batch script failed" >&2' ERR

# ---- The batch shell: what it records, how it waits, how it ends. Names of its own begin with _: those of the
# user's environment reach the program as they are.

_run_dir=/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3

fail() {
  echo "hpcsubmit: $*" >&2
  exit 1
}

record() { # NAME: stdin becomes that file of the run folder, whole or not at all
  cat >"$_run_dir/.$1.$$" && mv -f "$_run_dir/.$1.$$" "$_run_dir/$1" ||
    echo "hpcsubmit: $_run_dir/$1 could not be written" >&2
}

# Traps run while the shell sits in `wait`, and not while a program is in its foreground: every step is
# waited for in the background, and again when a signal interrupted the wait.
_stopped='' _interrupted=''
trap '_stopped=yes _interrupted=yes' TERM
step() {
  "$@" &
  await $!
}

await() { # PID
  local rc
  while :; do
    _interrupted=''
    if wait "$1"; then rc=0; else rc=$?; fi
    # Of two signals that come together, bash (5.2) may tell only one, and return while the step still runs.
    [ -n "$_interrupted" ] || kill -0 "$1" 2>/dev/null || return "$rc"
  done
}

# One task on every node beside the program, taking no GPU and no memory from it (Slurm 22.05: without the
# `env -u` such a step counts the job's own GPUs and memory twice).
_step_cpus=1
on_every_node() {
  env -u SLURM_GPUS_PER_NODE -u SLURM_MEM_PER_GPU srun --overlap --gres=none --mem=0 --cpus-per-task="$_step_cpus" \
    --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 "$@"
}

tell_how_it_ended() { # EXIT_CODE
  local message
  if [ -n "$_stopped" ]; then
    echo "hpcsubmit: Slurm ended the job: cancelled, out of time or preempted" >&2
  elif [ "$1" != 0 ] && [ -r "$_run_dir/srun.messages" ]; then
    while read -r message; do
      case $message in
        'srun: error: '*': task'*': '*)
          echo "hpcsubmit: the first to fail was ${message#srun: error: }; the job's exit code is $1" >&2
          return
          ;;
      esac
    done <"$_run_dir/srun.messages"
  fi
}

on_exit() {
  local rc=$?
  trap - ERR EXIT
  trap '' TERM # it arrives more than once
  set +e
  # srun gives up on tasks that outlive their TERM, and then ends with 0: that is no success.
  if [ "$_stopped" = yes ] && [ "$rc" = 0 ]; then rc=143; fi
  [ -z "${_keeper_step:-}" ] || end_keeper
  tell_how_it_ended "$rc"
  echo "$rc" | record exit
  exit "$rc"
}
trap on_exit EXIT

rm -f "$_run_dir/exit" "$_run_dir/srun.messages" "$_run_dir/step" # of an attempt before a requeue
printf 'job=%s\nhost=%s\ntime=%s\n' "$SLURM_JOB_ID" "$(uname -n)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" | record started

now() { # microseconds; before bash 5 in whole seconds
  local now=${EPOCHREALTIME:-$SECONDS.000000}
  echo "${now/[.,]/}"
}

amount() { # BYTES BEGUN: how many, in how long, at what rate
  local took=$(($(now) - $2))
  if (($1 < 1000000)); then
    printf '%d kB in %d.%02d s' $((($1 + 999) / 1000)) $((took / 1000000)) $((took / 10000 % 100))
  else
    printf '%d.%d MB in %d.%02d s, %d MB/s' $(($1 / 1000000)) $(($1 / 100000 % 10)) \
      $((took / 1000000)) $((took / 10000 % 100)) $(($1 / (took > 0 ? took : 1)))
  fi
}

# ---- What the steps that prepare a node have in common

complain() { # the short rest lets the line through: srun ends a step at once where one of its tasks failed
  echo "hpcsubmit: $SLURMD_NODENAME: $*" >&3
  sleep 1
  exit 255 # ends xargs too
}

check_room() { # KIB INODES FOLDER [CURE]
  local free
  free=$(free_of -Pk "$3")
  [ "${free:-$1}" -ge "$1" ] || complain "$((($1 + 976) / 977)) MB are needed on its disk, and $((free / 977)) MB are free${4:+: $4}"
  free=$(free_of -Pi "$3")
  [ "${free:-0}" = 0 ] || [ "$free" -ge "$2" ] || complain "$2 files are to be unpacked, and its disk has room for $free"
}

free_of() { # OPTION_OF_DF FOLDER: the number before the percentage; a device's name may hold blanks
  local words word last=''
  { read -r _ && read -ra words; } < <(df "$1" "$2" 2>/dev/null) || return 0
  for word in "${words[@]}"; do
    case $word in *%) break ;; esac
    last=$word
  done
  case $last in '' | *[!0-9]*) ;; *) echo "$last" ;; esac
}

# ---- What the program finds in its environment

export source_dir=/home/u/gan
export project_name=gan
export scratch_dir=/scratch/u/gan
export exp_name=testing
export SOURCE_DIR=/home/u/gan
export PROJECT_NAME=gan
export SCRATCH_DIR=/scratch/u/gan
export EXP_NAME=testing
export OUTPUT_DIR=/scratch/u/gan/testing/runs/r20260131-235959-a2b3
export GLOBAL_WORLD_SIZE=4
export PYTHONUNBUFFERED=1
# hpcsubmit.comm, behind whatever the user has there.
_library=/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3/python
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$_library"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# An inherited NONE or list would hide all this from srun, which from 22.05 inherits no --cpus-per-task either.
export SLURM_EXPORT_ENV=ALL SRUN_CPUS_PER_TASK=1

# ---- SLURM_TMPDIR, the folder on every node's own disk

_job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
SLURM_TMPDIR=/scratch-ssd/$(id -un)_$_job
export SLURM_TMPDIR

make_node_local() {
  [ ! -O "$SLURM_TMPDIR" ] || remove_tree "$SLURM_TMPDIR" # left by an attempt of this job that lost its node
  mkdir -m 700 "$SLURM_TMPDIR"
}

remove_node_local() {
  local doomed="$SLURM_TMPDIR.removing" tries
  mv "$SLURM_TMPDIR" "$doomed" 2>/dev/null
  for ((tries = 0; tries < 3000; tries++)); do
    remove_tree "$doomed" && return
    sleep 0.1
  done
  echo "hpcsubmit: $doomed could not be removed on $SLURMD_NODENAME" >&2
}

remove_tree() { # data may be read-only
  rm -rf "$1" 2>/dev/null && return
  chmod -R u+rwX "$1" 2>/dev/null
  rm -rf "$1" 2>/dev/null
}

# ---- The keeper: a step that lives on every node beside the program. It does what must be done there however
# the job ends: after a cancel or a time-out the batch script can start no step any more.

keep_node() {
  local ended='' tries
  trap 'ended=stopped' TERM
  trap 'ended=finished' USR2
  trap : USR1 # users send it to their jobs
  if make_node_local; then echo "ready $SLURM_STEP_ID"; else echo "failed $SLURM_STEP_ID"; fi
  while [ -z "$ended" ]; do
    (trap '' USR1 && exec sleep 3600) &
    wait $!
  done
  trap '' TERM USR2 # each arrives twice, for the step and for its task
  { kill $! && wait $!; } 2>/dev/null # without a word in the log
  # Slurm's TERM reaches the program at the same moment: it may write until it ends.
  while program_runs; do sleep 0.2; done
  remove_node_local
}

program_runs() { # whether this node has processes of the job's other steps
  local step
  while read -r _ _ step _; do
    case $step in STEPID | batch | extern | "$SLURM_STEP_ID") ;; *) return 0 ;; esac
  done < <(scontrol listpids "$SLURM_JOB_ID" 2>/dev/null)
  return 1
}

start_keeper() {
  local node said step functions=(keep_node program_runs)
  functions+=(make_node_local remove_node_local remove_tree)
  # Every node's keeper says one line; the end of them all is the end of this stream.
  exec 7< <(on_every_node bash -c "$(declare -f "${functions[@]}"); keep_node")
  for ((node = 0; node < SLURM_JOB_NUM_NODES; node++)); do
    said=''
    until [ "$said" = ready ]; do # what a user's BASH_ENV prints is none of the keeper's lines
      read -r -t 300 said step <&7 && [ "$said" != failed ] || fail "$SLURM_TMPDIR could not be made on every node"
    done
    _keeper_step=$step
  done
}

end_keeper() { # the keepers remove their folders, and end
  local tries
  for ((tries = 0; tries < 15; tries++)); do
    ask_keepers_to_end
    read -r -t 20 _ <&7 || [ $? -gt 128 ] || return
  done
}

ask_keepers_to_end() { # again where a busy controller did not pass it on
  scancel --signal=USR2 "$SLURM_JOB_ID.$_keeper_step" 2>/dev/null
}

start_keeper

# ---- What comes to every node's disk as archives: unpacked once per node, by plain tar

stage_in() { # WHAT MANIFEST FOLDER_OF_ARCHIVES FOLDER_BELOW_SLURM_TMPDIR direct|broadcast
  local format kib inodes name='' size=0 members archives=() count=0 bytes=0 begun transfer=unpack_directly
  begun=$(now)
  [ -r "$2" ] || fail "$1: $2 cannot be read on $SLURMD_NODENAME"
  exec 6<"$2"
  read -r format _ kib inodes <&6 || :
  while read -r name size members <&6; do
    [ "$name" != end ] || break
    archives+=("$name" "$size" "$members")
    bytes=$((bytes + size)) count=$((count + 1))
  done
  exec 6<&-
  if [ "$format" != hpcsubmit-data ] || [ "$name" != end ] || [ "$size" != "$count" ]; then
    fail "$1: $2 is not whole: submit again"
  fi
  [ "$5" = direct ] || transfer=unpack_broadcast
  "$transfer" "$3" "$4" "$kib" "$inodes" "${archives[@]}" || {
    [ -z "$_stopped" ] || exit 143
    fail "$1: could not be unpacked on every node, see above; the program is not started"
  }
  echo "hpcsubmit: $1: to each node $(amount "$bytes" "$begun") (archives: $count)"
}

unpack_directly() { # FOLDER BELOW KIB INODES ARCHIVES...: every node reads the shared file system
  step on_nodes 'make_ready "${@:2:3}" "" "${@:5}"; unpack_here keep "$1" "$2" "${@:5}"' "$@"
}

# One node reads the shared file system, and sbcast sends what it read. While one round of archives is
# unpacked, the next is sent: a node needs room for the data and for two rounds, or for all archives.
unpack_broadcast() { # FOLDER BELOW KIB INODES ARCHIVES...
  local folder=$1 below=$2 kib=$3 inodes=$4 inbox="$SLURM_TMPDIR/.hpcsubmit-inbox" unpacking=''
  local round=() bytes=0 all=0 at room=$(($3 / 8 > 262144 ? $3 * 128 : 268435456)) # bytes of a round at most
  shift 4
  for ((at = 2; at < $#; at += 3)); do all=$((all + ${!at})) room=$((room > ${!at} ? room : ${!at})); done
  all=$((all < 2 * room ? all : 2 * room))
  step on_nodes 'make_ready "${@:2}"; mkdir "$1" || complain "$1 cannot be made"' "$inbox" "$below" \
    $((kib + (all + 1023) / 1024)) "$inodes" "--data-transfer direct needs $(((kib + 976) / 977)) MB" "$@" || return
  while [ $# != 0 ]; do
    step sbcast "$folder/$1" "$inbox/$1" || return
    round+=("$1" "$2" "$3")
    bytes=$((bytes + $2))
    shift 3
    [ $# = 0 ] || [ $((bytes + $2)) -gt "$room" ] || continue
    [ -z "$unpacking" ] || await "$unpacking" || return
    on_nodes 'unpack_here drop "$@"' "$inbox" "$below" "${round[@]}" &
    unpacking=$! round=() bytes=0
  done
  await "$unpacking" && step on_every_node rmdir "$inbox"
}

on_nodes() { # COMMANDS ARGUMENTS...: with all CPUs that the job has there, as tar runs once on each
  local functions _step_cpus=2
  functions=$(declare -f make_ready unpack_here unpack_archive open_archive check_room free_of complain)
  on_every_node --kill-on-bad-exit=1 bash -c "$functions
    set -o pipefail; exec 3>&2; unset TAR_OPTIONS GZIP
    $1" _ "${@:2}"
}

make_ready() { # BELOW KIB INODES CURE ARCHIVES...: on a node, before anything comes there
  local tools=(tar xargs wc df) tool
  [ -d "$SLURM_TMPDIR" ] || complain "there is no $SLURM_TMPDIR"
  case "$*" in *.tar.gz\ *) tools+=(gzip) ;; *.tar.zst\ *) tools+=(zstd) ;; esac
  for tool in "${tools[@]}"; do [ -x "$(command -v "$tool")" ] || complain "this node has no $tool"; done
  mkdir -p "$SLURM_TMPDIR/$1" || complain "$SLURM_TMPDIR/$1 cannot be made"
  check_room "$2" "$3" "$SLURM_TMPDIR/$1" "$4"
}

unpack_here() { # keep|drop FOLDER BELOW ARCHIVES...: on a node; the last archive has the folders
  export keep=$1 below="$SLURM_TMPDIR/$3"
  cd "$2" || complain "$2 cannot be reached"
  shift 3
  export -f unpack_archive open_archive complain
  [ $# = 3 ] || printf '%s %s %s\n' "${@:1:$#-3}" |
    xargs -n 3 -P 2 bash -c 'set -o pipefail; unpack_archive "$@"' _ 2>/dev/null || exit 1
  unpack_archive "${@: -3}"
}

unpack_archive() { # NAME SIZE MEMBERS
  local size said members list=$SLURM_TMPDIR/.hpcsubmit-$1 # a pipe takes half as long again: tar writes line by line
  [ -r "$1" ] || complain "$1 is not there or cannot be read"
  size=$(($(wc -c <"$1")))
  [ "$size" = "$2" ] || complain "$1 has $size bytes, and should have $2"
  said=$(open_archive "$1" 2>&1 >"$list") || {
    said=${said#$'\n'} # gzip begins with one
    complain "$1: ${said%%$'\n'*}"
  }
  members=$(($(wc -l <"$list")))
  rm -f "$list"
  [ "$members" != 0 ] || members=$(grep -c '^x ' <<<"$said") # macOS: its tar names them on stderr
  [ "$members" = "$3" ] || complain "$1 has $members members, and should have $3"
  [ "$keep" = keep ] || rm -f "$1"
}

open_archive() { # NAME: a line for every member
  case $1 in
    *.gz) "$(command -v pigz || command -v gzip)" -dc "$1" | tar -xpvof - -C "$below" ;;
    *.zst) zstd -dcq "$1" | tar -xpvof - -C "$below" ;;
    *) tar -xpvof "$1" -C "$below" ;;
  esac
}

# ---- The virtual environment, before any srun: every task inherits it

_virtualenv=/home/u/gan/.virtual_envs/0123456789abcdef
stage_in environment /home/u/gan/.virtual_envs/0123456789abcdef.manifest /home/u/gan/.virtual_envs/0123456789abcdef.archives virtual_env direct

move_environment() { # OLD: on a node, what lies in bin names the new place instead
  local there=$SLURM_TMPDIR/virtual_env old new file files=()
  old=$(printf '%s' "$1" | sed 's/[][\.*^$|]/\\&/g')
  new=$(printf '%s' "$there" | sed 's/[\&|]/\\&/g')
  cd "$there/bin" || exit
  while IFS= read -r file; do [ -L "$file" ] || files+=("$file"); done < <(grep -slIF -- "$1" ./* ../pyvenv.cfg)
  if [ -n "${files:-}" ]; then sed -i.old "s|$old|$new|g" "${files[@]}" && rm -f ./*.old ../pyvenv.cfg.old; fi
}
step on_every_node --kill-on-bad-exit=1 bash -c "$(declare -f move_environment); move_environment \"\$1\"" _ "$_virtualenv" || {
  [ -z "$_stopped" ] || exit 143
  fail "the commands of $SLURM_TMPDIR/virtual_env could not be changed on every node"
}
_virtualenv=$SLURM_TMPDIR/virtual_env
[ -x "$_virtualenv/bin/python" ] || fail "there is no $_virtualenv/bin/python on $SLURMD_NODENAME"
# What its activate script does, which breaks where a path holds a quote or a $ (Python before 3.13).
export VIRTUAL_ENV="$_virtualenv" PATH="$_virtualenv/bin:$PATH"
unset PYTHONHOME

# ---- Where the ranks of this job meet: the first node, on a port that other jobs on it do not use

first_address() { # this node's address as other nodes know it; its own name may stand for 127.0.1.1 here
  local name='' word
  for word in $(scontrol show node "$SLURMD_NODENAME"); do
    case $word in NodeAddr=*) name=${word#NodeAddr=} ;; esac
  done
  for word in $(getent ahostsv4 "$name" | cut -d' ' -f1) $(hostname -I); do
    case $word in 127.* | *:*) ;; *) echo "$word" && return ;; esac
  done
  fail "no address of $SLURMD_NODENAME that other nodes can reach"
}
MASTER_ADDR=$(first_address)
export MASTER_ADDR

first_port() { # below 32768, and below the ports that this node gives to outgoing connections
  local top=32768 low
  if read -r low _ 2>/dev/null </proc/sys/net/ipv4/ip_local_port_range && ((low > 11000 && low < top)); then top=$low; fi
  echo $((10000 + SLURM_JOB_ID % (top - 10000)))
}
MASTER_PORT=$(first_port)
export MASTER_PORT

# ---- The program of /home/u/gan/experiment_configurations.txt

cd "$source_dir"
mkdir -p "$OUTPUT_DIR"

program() { # each task expands the command on its own node
  # shellcheck disable=all # the command as it is written
  exec python main.py --train --batch_size 6 --num_nodes 2 --gpus 2
}
_of_tasks=(program)

# ---- The tasks: srun starts `program` for each

# The tasks write both streams to stdout: what srun itself says stays apart, and names the first that failed.
launch() { # SRUN_OPTIONS
  local _task
  _task="set -eu; exec 2>&1; $(declare -f "${_of_tasks[@]}")"
  {
    srun --kill-on-bad-exit=1 --cpus-per-task=1 "$@" \
      bash -c "$_task; program" 2>&1 >&8 |
      tee "$_run_dir/srun.messages" >&2 || return "${PIPESTATUS[0]}"
  } 8>&1
}

[ -z "$_stopped" ] || exit 143
step launch || exit

