#!/bin/bash
#SBATCH --job-name=standard-gan
#SBATCH --comment=r20260131-235959-a2b3
#SBATCH --array=1-3%10
#SBATCH --partition=plai
#SBATCH --time=00-01:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:1
#SBATCH --mem-per-gpu=10G
#SBATCH --chdir=/home/u/gan
#SBATCH --output=/scratch/u/gan/hpc_outputs/standard_%A_%a.out
#SBATCH --open-mode=append

# hpcsubmit 0.1.0, run r20260131-235959-a2b3: hpcsubmit runs show r20260131-235959-a2b3
# Made in /home/u/gan by: hpcsubmit

set -euo pipefail
trap 'echo "hpcsubmit: line $LINENO of the batch script failed" >&2' ERR

# ---- The batch shell: what it records, how it waits, how it ends. Names of its own begin with _: those of the
# user's environment reach the program as they are.

# The number of this task among all of the submission: $1 is how many are in the arrays before this one.
_array_task=$((${1:-0} + SLURM_ARRAY_TASK_ID))
_first=$_array_task _last=$_array_task
_trial=$_first
_records=/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3/tasks
_run_dir=$_records/$_trial
mkdir -p "$_run_dir"

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
export exp_name=''
export SOURCE_DIR=/home/u/gan
export PROJECT_NAME=gan
export SCRATCH_DIR=/scratch/u/gan
export EXP_NAME=''
export OUTPUT_DIR=/scratch/u/gan/runs/r20260131-235959-a2b3
_outputs=$OUTPUT_DIR
export OUTPUT_DIR=$_outputs/$_trial
export SEED=$_trial
export PYTHONUNBUFFERED=1
# hpcsubmit.comm, behind whatever the user has there.
_library=/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3/python
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$_library"
# An inherited NONE or list would hide all this from srun, which from 22.05 inherits no --cpus-per-task either.
export SLURM_EXPORT_ENV=ALL SRUN_CPUS_PER_TASK=2

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
  echo 127.0.0.1
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
  seeded python main.py --name "run {seed}" --seed {seed}
}
_of_tasks=(program)

# ---- The tasks: srun starts `program` for each

seeded() { # WORDS: with this task's seed for {seed}
  local _word _words=() _filled
  for _word; do
    fill "$_word"
    _words+=("$_filled")
  done
  exec "${_words[@]}"
}

fill() { # WORD: into _filled; ${NAME} is a shell's own
  local _open="\${" _kept=$'$\2'
  _filled=${1//"$_open"/"$_kept"}
  _filled=${_filled//\{seed\}/"$_seed"}
  _filled=${_filled//"$_kept"/"$_open"}
}
_of_tasks+=(seeded fill)

# The tasks write both streams to stdout: what srun itself says stays apart, and names the first that failed.
launch() { # SRUN_OPTIONS
  local _task
  _task="set -eu; exec 2>&1; _seed=\$SEED; $(declare -f "${_of_tasks[@]}")"
  {
    srun --kill-on-bad-exit=1 --cpus-per-task=2 "$@" \
      bash -c "$_task; program" 2>&1 >&8 |
      tee "$_run_dir/srun.messages" >&2 || return "${PIPESTATUS[0]}"
  } 8>&1
}

[ -z "$_stopped" ] || exit 143

# ---- The trials: each is launched as a job of its own would be

_trials_code=0
launch_trial() { # runs the program of trial $_trial; the task ends with the first code that is not 0
  local _began
  _began=$(date -u +%Y-%m-%dT%H:%M:%SZ) _code=0
  step launch || _code=$?
  [ "$_trials_code" != 0 ] || _trials_code=$_code
  [ -z "$_stopped" ] || exit "$_trials_code" # Slurm ended it: it has no result, and runs again after a requeue
  record_trial "$_code" "$_began"
}

record_trial() { # EXIT_CODE BEGAN
  local _run_dir=$_records/$_trial _run=${WANDB_RUN_ID:-}
  printf '%s\n' "code=$1" "started=$2" "ended=$(date -u +%Y-%m-%dT%H:%M:%SZ)" "host=$SLURMD_NODENAME" \
    "job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" "wandb=$_run" | record trial
}

run_trial() {
  # What wandb logs stands with the trial's own output; without a server a requeued trial is still the same run.
  export WANDB_DIR=$OUTPUT_DIR WANDB_RUN_GROUP="${WANDB_RUN_GROUP:-r20260131-235959-a2b3}"
  [ "${WANDB_MODE:-}" != offline ] || export WANDB_RUN_ID=r20260131-235959-a2b3-"$_trial" WANDB_RESUME=allow
  launch_trial
}

# A trial that ended well before its task was requeued, or run again, is left alone.
for ((_trial = _first; _trial <= _last; _trial++)); do
  [ -z "$_stopped" ] || exit 143
  if grep -qsx code=0 "$_records/$_trial/trial"; then continue; fi
  rm -f "$_records/$_trial/trial"
  run_trial
done
[ "$_trials_code" = 0 ] || exit "$_trials_code"

