#!/bin/bash
#SBATCH --job-name=ranks_dist-gan-testing
#SBATCH --comment=r20260131-235959-a2b3
#SBATCH --time=00-01:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:4
#SBATCH --chdir=/home/u/gan
#SBATCH --output=/scratch/u/gan/hpc_outputs/ranks_testing_%j.out
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
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
# An inherited NONE or list would hide all this from srun, which from 22.05 inherits no --cpus-per-task either.
export SLURM_EXPORT_ENV=ALL SRUN_CPUS_PER_TASK=8

# ---- SLURM_TMPDIR, the folder on every node's own disk

[ -d "${SLURM_TMPDIR:-}" ] || fail "this cluster should give every job a SLURM_TMPDIR, and gave '${SLURM_TMPDIR:-}'"

# ---- The virtual environment, before any srun: every task inherits it

_virtualenv=/home/u/gan/virtual_env
[ -x "$_virtualenv/bin/python" ] || fail "there is no $_virtualenv/bin/python on $SLURMD_NODENAME"
# What its activate script does, which breaks where a path holds a quote or a $ (Python before 3.13).
export VIRTUAL_ENV="$_virtualenv" PATH="$_virtualenv/bin:$PATH"
unset PYTHONHOME

# ---- Where the ranks of this job meet: the first node, on a port that other jobs on it do not use

export MASTER_ADDR=127.0.0.1

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

program() {
  # shellcheck disable=all # the command as it is written
  ranks python distributed.py rank={rank} world_size={world_size}
}

# The names of what the ranks could inherit begin with _, since a local variable takes an exported one's place.
ranks() { # WORDS: starts them once per GPU of this node; the first that fails ends the others
  local _rank _event _value _code=0 _told='' _limit='' _left=4 _pids=() _pipe="$SLURM_TMPDIR/.hpcsubmit-ranks"
  mkfifo "$_pipe"
  exec 5<>"$_pipe"
  rm "$_pipe"
  trap '' TERM USR1 USR2 # these are for the ranks; what attends them ends with them
  for ((_rank = 0; _rank < _left; _rank++)); do
    attend_rank "$_rank" "$@" &
  done
  trap tell_ranks TERM # from Slurm, which sends KILL later by itself
  trap 'signal_ranks USR1' USR1 # from users: Slurm 22.05 hands these to this shell alone
  trap 'signal_ranks USR2' USR2
  while [ "$_left" != 0 ]; do
    if read -r -t 1 _rank _event _value <&5; then "rank_$_event"; fi
    [ "$SECONDS" -lt "${_limit:-$((SECONDS + 1))}" ] || signal_ranks KILL
  done
  return "$_code"
}

rank_began() {
  _pids[_rank]=$_value
  [ -z "$_told" ] || kill -TERM "$_value" 2>/dev/null || :
}

rank_ended() {
  unset "_pids[$_rank]"
  _left=$((_left - 1))
  [ "$_value" != 0 ] && [ "$_code" = 0 ] || return 0
  _code=$_value
  [ -z "$_told" ] || return 0
  echo "hpcsubmit: rank $_rank ended with exit code $_value: the others are told to end"
  _limit=$((SECONDS + 10)) # for one that does not end by itself
  tell_ranks
}

tell_ranks() { # once, though Slurm's TERM arrives more than once
  [ -z "$_told" ] || return 0
  _told=yes
  signal_ranks TERM
}

signal_ranks() { # SIGNAL: to those that run
  [ -z "${_pids[*]:-}" ] || kill -"$1" "${_pids[@]}" 2>/dev/null || :
}

attend_rank() { # RANK WORDS: one process, with a log of its own
  local _output _tries
  # shellcheck disable=SC2064 # of an error's exit, no local variable is left
  trap "echo $1 ended 1 >&5" EXIT
  exec 6> >(keep_output "$1")
  _output=$!
  exec 2>/dev/null # where bash tells of signals that ended a process
  if (start_rank "$@") >&6 2>&1; then _code=0; else _code=$?; fi
  exec 6>&-
  for ((_tries = 0; _tries < 50; _tries++)); do # a process of its own may still hold the pipe
    kill -0 "$_output" || break
    sleep 0.1
  done
  trap - EXIT
  echo "$1 ended $_code" >&5
}

keep_output() { # RANK: each line reaches the job's log whole and at once, with a label if it is not rank 0's
  local label='' awk=(awk)
  [ "$1" = 0 ] || label="[$1] "
  case $(awk -W version 2>&1 </dev/null) in mawk*) awk=(awk -W interactive) ;; esac # it would wait for 4 kB
  tee "$OUTPUT_DIR/rank_$1.log" | "${awk[@]}" -v label="$label" '{ print label $0; fflush() }'
}

start_rank() { # RANK WORDS
  local _word _words=() _filled
  export RANK=$1 LOCAL_RANK=$1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=4
  shift
  for _word; do
    fill "$_word"
    _words+=("$_filled")
  done
  trap - TERM USR1 USR2
  echo "$RANK began $BASHPID" >&5
  exec 5>&- 6>&-
  exec "${_words[@]}"
}

fill() { # WORD: into _filled; ${NAME} is a shell's own
  local _open="\${" _kept=$'$\2'
  _filled=${1//"$_open"/"$_kept"}
  _filled=${_filled//\{rank\}/"$RANK"}
  _filled=${_filled//\{local_rank\}/"$LOCAL_RANK"}
  _filled=${_filled//\{world_size\}/"$WORLD_SIZE"}
  _filled=${_filled//\{master_port\}/"$MASTER_PORT"}
  _filled=${_filled//"$_kept"/"$_open"}
}
_of_tasks=(program ranks rank_began rank_ended tell_ranks signal_ranks attend_rank keep_output start_rank fill)

# ---- The tasks: srun starts `program` for each

# The tasks write both streams to stdout: what srun itself says stays apart, and names the first that failed.
launch() { # SRUN_OPTIONS
  local _task
  _task="set -eu; exec 2>&1; $(declare -f "${_of_tasks[@]}")"
  {
    srun --kill-on-bad-exit=1 --cpus-per-task=8 "$@" \
      bash -c "$_task; program" 2>&1 >&8 |
      tee "$_run_dir/srun.messages" >&2 || return "${PIPESTATUS[0]}"
  } 8>&1
}

[ -z "$_stopped" ] || exit 143
step launch || exit

