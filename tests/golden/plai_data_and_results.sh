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
#SBATCH --signal=B:USR1@120

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
_given_up='' _collect_failed=''
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
    [ -z "$_given_up" ] || return 143
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
  if [ "$_stopped" = limit ]; then
    echo "hpcsubmit: the time limit was near: the program was told to end, so that its results could be collected" >&2
  elif [ -n "$_stopped" ]; then
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
  trap '' TERM USR1 ALRM # they arrive more than once
  set +e
  # srun gives up on tasks that outlive their TERM, and then ends with 0: that is no success.
  if [ "$_stopped" = yes ] && [ "$rc" = 0 ]; then rc=143; fi
  [ -z "${_keeper_step:-}" ] || end_keeper
  if [ -n "$_collect_failed" ] && [ "$rc" = 0 ]; then rc=1; fi
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

# ---- Results: copied from every node's disk when the program ends, fails or is about to be stopped

_collected=/scratch/u/gan/testing/collected/$_job

kill_wait() { # seconds from Slurm's TERM to its KILL; 30 by default
  local name value seconds=30
  while read -r -t 10 name _ value _; do
    [ "$name" != KillWait ] || seconds=${value%.*}
  done < <(scontrol show config 2>/dev/null)
  echo "$seconds"
}
_kill_wait=$(kill_wait)

collect_results() { # on a node; a copy that is not whole has another name
  local final=$_collected/$SLURMD_NODENAME
  local unfinished path found=() files=() any='' codes
  unfinished=$(unused "${final%/*}/.${final##*/}.unfinished") # nothing that could not be kept is removed
  unset TAR_OPTIONS # which could leave things out
  for path in results 'logs/it'"'"'s mine'; do
    if [ -d "$SLURM_TMPDIR/$path" ]; then
      any=yes found+=("./$path/.") # a symlink's folder, not the symlink
    elif [ -f "$SLURM_TMPDIR/$path" ]; then
      any=yes found+=("./$path") files+=("$path")
    else
      echo "hpcsubmit: results: there is no '$path' on $SLURMD_NODENAME" >&2
    fi
  done
  [ -n "$any" ] || { echo nothing && return; }
  mkdir -p "$unfinished"
  tar --format=pax -cf - -C "$SLURM_TMPDIR" "${found[@]}" | tar -xpf - -C "$unfinished"
  codes=("${PIPESTATUS[@]}") # the first is 1 where a file changed meanwhile: a program that still writes
  for path in ${files[@]+"${files[@]}"}; do
    [ ! -L "$unfinished/$path" ] || { rm "$unfinished/$path" && cp -p "$SLURM_TMPDIR/$path" "$unfinished/$path"; } || codes[1]=1
  done
  if [ "${codes[0]}" -gt 1 ] || [ "${codes[1]}" != 0 ] || ! put_in_place "$unfinished" "$final"; then
    echo "hpcsubmit: results: not all of $SLURMD_NODENAME could be copied; what could is in $unfinished" >&2
    echo lost
  else
    echo "collected $(du -sk "$final" | cut -f1)"
  fi
}

put_in_place() { # UNFINISHED FINAL: what an attempt before a requeue collected is kept beside it
  if [ -e "$2" ]; then mv "$2" "$(unused "$2.attempt")" || return; fi
  mv "$1" "$2"
}

unused() { # PATH: with the first number behind it that is free
  local number=0
  while [ -e "$1-$number" ]; do number=$((number + 1)); done
  echo "$1-$number"
}

# Slurm's USR1 comes 120 s before the time limit: half of that is the program's, to end by itself.
out_of_time() {
  _stopped=limit _interrupted=yes
  (tell_program_and_wait &) # in a shell of its own: this shell's $! may be about to be read
}
trap out_of_time USR1
trap '_given_up=yes _interrupted=yes' ALRM

tell_program_and_wait() { # the program may be about to start, and the controller may be busy
  local second told=''
  for ((second = 0; second < 60; second++)); do
    [ -n "$told" ] || ! signal_program TERM || told=yes
    sleep 1
  done
  kill -ALRM $$
}

signal_program() { # NAME
  [ -r "$_run_dir/step" ] && scancel --signal="$1" "$SLURM_JOB_ID.$(cat "$_run_dir/step")" 2>/dev/null
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
  # Half of the time until the KILL is for the copy.
  for ((tries = 0; tries < _kill_wait * 5 / 2; tries++)); do
    if [ "$ended" = finished ] || ! program_runs; then break; fi
    sleep 0.2
  done
  collect_results
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
  functions+=(collect_results put_in_place unused)
  # Every node's keeper says one line; the end of them all is the end of this stream.
  exec 7< <(on_every_node bash -c "$(declare -f "${functions[@]}"); $(declare -p _collected _kill_wait); keep_node")
  for ((node = 0; node < SLURM_JOB_NUM_NODES; node++)); do
    said=''
    until [ "$said" = ready ]; do # what a user's BASH_ENV prints is none of the keeper's lines
      read -r -t 300 said step <&7 && [ "$said" != failed ] || fail "$SLURM_TMPDIR could not be made on every node"
    done
    _keeper_step=$step
  done
}

end_keeper() { # the keepers collect, clean up and end
  local said kib left=$SLURM_JOB_NUM_NODES nodes=0 without=0 total=0 begun
  begun=$(now)
  ask_keepers_to_end
  while next_word_of_keepers; do
    case $said in
      collected) nodes=$((nodes + 1)) total=$((total + kib)) ;;
      nothing) without=$((without + 1)) ;;
      lost) _collect_failed=yes ;;
    esac
    left=$((left - 1))
    # The results are safe: a program that was told to end and still runs has had its time.
    [ "$left" != 0 ] || [ -z "$_stopped" ] || signal_program KILL
  done
  [ "$nodes" = 0 ] || echo "hpcsubmit: results: $(amount "$((total * 1024))" "$begun") to $_collected"
  [ "$without" != "$SLURM_JOB_NUM_NODES" ] ||
    echo "hpcsubmit: results: nothing was collected: no path of --collect was there on any node" >&2
}

next_word_of_keepers() { # false at the end of them all
  until read -r -t 20 said kib <&7; do
    [ $? -gt 128 ] || return 1
    ask_keepers_to_end
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

stage_in data /scratch/u/gan/hpcsubmit/data/sets/0123456789abcdef01234567.manifest /scratch/u/gan/hpcsubmit/data/archives . direct

# ---- The virtual environment, before any srun: every task inherits it

_virtualenv=/home/u/gan/virtual_env
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

tell_step() { # so that this step alone can be told to end
  [ "$SLURM_PROCID" != 0 ] || echo "$SLURM_STEP_ID" >/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3/step
}
_of_tasks+=(tell_step)

# The tasks write both streams to stdout: what srun itself says stays apart, and names the first that failed.
launch() { # SRUN_OPTIONS
  local _task
  _task="set -eu; exec 2>&1; $(declare -f "${_of_tasks[@]}")"
  {
    srun --kill-on-bad-exit=1 --cpus-per-task=1 "$@" \
      bash -c "$_task; tell_step; program" 2>&1 >&8 |
      tee "$_run_dir/srun.messages" >&2 || return "${PIPESTATUS[0]}"
  } 8>&1
}

[ -z "$_stopped" ] || exit 143
step launch || exit

