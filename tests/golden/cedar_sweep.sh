#!/bin/bash
#SBATCH --job-name=sweep-gan
#SBATCH --comment=r20260131-235959-a2b3
#SBATCH --array=1-8
#SBATCH --account=rrg-kevinlb
#SBATCH --time=00-01:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:v100l:1
#SBATCH --mem-per-gpu=10G
#SBATCH --chdir=/home/u/gan
#SBATCH --output=/scratch/u/gan/hpc_outputs/sweep_%A_%a.out
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
  [ -z "${_watch:-}" ] || kill "$_watch" 2>/dev/null # the sweep does not want what Slurm wants
  [ -z "${_agent:-}" ] || kill "$_agent" 2>/dev/null
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
export PYTHONUNBUFFERED=1
# hpcsubmit.comm, behind whatever the user has there.
_library=/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3/python
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$_library"
# An inherited NONE or list would hide all this from srun, which from 22.05 inherits no --cpus-per-task either.
export SLURM_EXPORT_ENV=ALL SRUN_CPUS_PER_TASK=2

# ---- SLURM_TMPDIR, the folder on every node's own disk

[ -d "${SLURM_TMPDIR:-}" ] || fail "this cluster should give every job a SLURM_TMPDIR, and gave '${SLURM_TMPDIR:-}'"

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
  exec "${_words[@]}"
}
_of_tasks=(program)

# ---- The tasks: srun starts `program` for each

tell_step() { # so that this step alone can be told to end
  [ "$SLURM_PROCID" != 0 ] || echo "$SLURM_STEP_ID" >"$_run_dir/step"
}
_of_tasks+=(tell_step)

# The tasks write both streams to stdout: what srun itself says stays apart, and names the first that failed.
launch() { # SRUN_OPTIONS
  local _task
  _task="set -eu; exec 2>&1; $(declare -f "${_of_tasks[@]}"); $(declare -p _launcher _words); $(declare -p _run_dir)"
  {
    srun --kill-on-bad-exit=1 --cpus-per-task=2 "$@" \
      bash -c "$_task; tell_step; program" 2>&1 >&8 |
      tee "$_run_dir/srun.messages" >&2 || return "${PIPESTATUS[0]}"
  } 8>&1
}

[ -z "$_stopped" ] || exit 143

# ---- The trials: each is launched as a job of its own would be

_trials_code=0
launch_trial() { # runs the program of trial $_trial; the task ends with the first code that is not 0
  local _began
  _began=$(date -u +%Y-%m-%dT%H:%M:%SZ) _code=0
  step with_variables launch || _code=$?
  [ "$_trials_code" != 0 ] || _trials_code=$_code
  [ -z "$_stopped" ] || exit "$_trials_code" # Slurm ended it: it has no result, and runs again after a requeue
  record_trial "$_code" "$_began"
}

record_trial() { # EXIT_CODE BEGAN
  local _run_dir=$_records/$_trial _run=${WANDB_RUN_ID:-}
  local _item
  for _item in "${_variables[@]}"; do [ "${_item%%=*}" != WANDB_RUN_ID ] || _run=${_item#*=}; done
  printf '%s\n' "code=$1" "started=$2" "ended=$(date -u +%Y-%m-%dT%H:%M:%SZ)" "host=$SLURMD_NODENAME" \
    "job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" "wandb=$_run" | record trial
}

take_words() { # FILE: variables, then the words of a launcher, then those of the program; each ends with a NUL
  local _item _items=() _exports _launchers
  while IFS= read -r -d '' _item; do _items+=("$_item"); done <"$1"
  _exports=${_items[0]} _launchers=${_items[_items[0] + 1]}
  _variables=("${_items[@]:1:_exports}")
  _launcher=("${_items[@]:_exports + 2:_launchers}")
  _words=("${_items[@]:_exports + 2 + _launchers}")
}

with_variables() { # COMMAND: in a process of its own, as the next trial's are made of what the task had first
  export "${_variables[@]}" && "$@"
}

signal_program() { # NAME
  [ -r "$_run_dir/step" ] && scancel --signal="$1" "$SLURM_JOB_ID.$(cat "$_run_dir/step")" 2>/dev/null
}

# The agent of wandb asks the server for parameters, and starts `python ...` with them. What it finds under that
# name on its PATH asks this shell, which launches the program on the job's GPUs and nodes and answers with its exit
# code: the agent's own says nothing of its runs (wandb 0.30 ends with 0 after three that failed).
export HPCSUBMIT_ASKS="$SLURM_TMPDIR/.hpcsubmit-asks" HPCSUBMIT_ASKER="$_library/hpcsubmit/trial.py"
export HPCSUBMIT_SPEC=/scratch/u/gan/hpcsubmit/runs/r20260131-235959-a2b3/sweep.json
export WANDB_DIR WANDB_CACHE_DIR="$SLURM_TMPDIR/.hpcsubmit-wandb" WANDB_DATA_DIR="$SLURM_TMPDIR/.hpcsubmit-wandb"
export WANDB_AGENT_DISABLE_FLAPPING=true WANDB_AGENT_MAX_INITIAL_FAILURES=1000
export WANDB_TAGS="${WANDB_TAGS:+$WANDB_TAGS,}"'base line,lr'

listen() { # makes the folder of the questions, and what the agent finds as python
  rm -rf "$HPCSUBMIT_ASKS" # of an attempt before a requeue
  mkdir -p "$HPCSUBMIT_ASKS/bin" "$WANDB_CACHE_DIR"
  printf '%s\n' '#!/bin/sh' 'exec "$HPCSUBMIT_PYTHON" "$HPCSUBMIT_ASKER" ask "$@"' >"$HPCSUBMIT_ASKS/bin/python"
  chmod +x "$HPCSUBMIT_ASKS/bin/python"
  cp "$HPCSUBMIT_ASKS/bin/python" "$HPCSUBMIT_ASKS/bin/python3"
  mkfifo "$HPCSUBMIT_ASKS/asks"
  exec 9<>"$HPCSUBMIT_ASKS/asks"
}

agent() { # replaces the shell by the agent, for one run
  exec sh -c '
HPCSUBMIT_PYTHON=$(command -v python || command -v python3) || { echo "hpcsubmit: no python on the PATH" >&2; exit 127; }
help=$("$HPCSUBMIT_PYTHON" -m wandb agent --help) ||
  { echo "hpcsubmit: the environment of the job has no wandb that starts: see the lines before this one" >&2; exit 127; }
case $help in *--forward-signals*) set -- --forward-signals "$@" ;; esac
export HPCSUBMIT_PYTHON HPCSUBMIT_AGENT=$$ PATH="$HPCSUBMIT_ASKS/bin:$PATH"
exec "$HPCSUBMIT_PYTHON" -m wandb agent --count 1 "$@"' sh u/gan/abc123
}

run_trial() {
  local _ask='' _asked='' _limit='' _told=$((SECONDS + 300)) _agent_code=0
  WANDB_DIR=$OUTPUT_DIR
  if [ -r "$_records/$_trial/command" ]; then
    echo "hpcsubmit: a run that was begun before goes on"
    take_words "$_records/$_trial/command"
    _variables+=(WANDB_RESUME=allow)
    launch_trial
    return
  fi
  unset WANDB_RUN_ID # the agent names its run
  listen
  agent 9>&- &
  _agent=$!
  while [ -z "$_stopped" ]; do
    if ! read -r -t 1 _ask <&9; then
      agent_has_time || break
      continue
    fi
    _asked=yes
    run_asked "$HPCSUBMIT_ASKS/$_ask"
    case $_ask in *-run) _limit=$((SECONDS + 20)) ;; esac # the agent's only one has ended
  done
  end_agent
  await "$_agent" || _agent_code=$?
  _agent=''
  exec 9>&-
  [ -n "$_asked" ] || [ -n "$_stopped" ] || tell_no_run "$_agent_code"
}

agent_has_time() { # false where it has ended, or its run has and it has not: without its server it tries for long
  kill -0 "$_agent" 2>/dev/null && [ "$SECONDS" -lt "${_limit:-$((SECONDS + 1))}" ] || return 1
  if [ -z "$_asked" ] && [ "$SECONDS" -ge "$_told" ]; then
    echo "hpcsubmit: the agent still waits for a run: the sweep is paused, or its server does not answer"
    _told=$((SECONDS + 86400))
  fi
}

end_agent() { # where it has not ended by itself
  local _tries
  for ((_tries = 0; _tries < 50; _tries++)); do
    kill -0 "$_agent" 2>/dev/null || return 0
    if [ "$_tries" = 0 ]; then
      [ -n "$_stopped" ] || echo "hpcsubmit: the run has ended, and its agent has not, as when the server is gone: it is told to"
      kill "$_agent" 2>/dev/null || :
    fi
    sleep 0.1
  done
  kill -KILL "$_agent" 2>/dev/null || :
}

run_asked() { # REQUEST: a launch file; the agent learns the exit code, and may want the run to end before
  cp "$1" "$_records/$_trial/.command" && mv "$_records/$_trial/.command" "$_records/$_trial/command"
  take_words "$1"
  rm -f "$_run_dir/step" # of the trial before
  (
    trap - TERM
    until [ -e "$1.stop" ] && [ -e "$_run_dir/step" ]; do sleep 1; done
    echo "hpcsubmit: the sweep wants this run to end"
    signal_program TERM || :
    sleep 30
    signal_program KILL || :
  ) &
  _watch=$!
  launch_trial
  { kill "$_watch" && wait "$_watch"; } 2>/dev/null || :
  _watch=''
  echo "$_code" >"$1.code.new" && mv "$1.code.new" "$1.code"
}

tell_no_run() { # AGENT_CODE: the agent has ended, and asked for nothing
  local _found
  [ "$1" != 127 ] || exit 127 # it could not be started, and has said why
  [ "$1" = 0 ] || fail "the agent of the sweep ended with exit code $1 before it had a run: see the lines before this one"
  for _found in "$HPCSUBMIT_ASKS"/*.code; do
    [ ! -e "$_found" ] || exit "$(cat "$_found")" # a command that could not be launched has said why
  done
  for _found in "$OUTPUT_DIR"/wandb/sweep-*/config-*; do
    [ ! -e "$_found" ] || fail "the sweep's command does not start python: what became of it is not known"
  done
  echo "hpcsubmit: the sweep has no run left: it is finished, or was stopped"
  _trial=$_last # nor has it any for the others of this task
}

# A trial that ended well before its task was requeued, or run again, is left alone.
for ((_trial = _first; _trial <= _last; _trial++)); do
  [ -z "$_stopped" ] || exit 143
  if grep -qsx code=0 "$_records/$_trial/trial"; then continue; fi
  rm -f "$_records/$_trial/trial"
  run_trial
done
[ "$_trials_code" = 0 ] || exit "$_trials_code"

