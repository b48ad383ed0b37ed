#!/bin/bash
#SBATCH --job-name=sweep-gan
#SBATCH --comment=r20260131-235959-a2b3
#SBATCH --array=1-8%10
#SBATCH --partition=plai
#SBATCH --time=00-01:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:1
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
  local message program
  if [ -n "$_stopped" ]; then
    echo "hpcsubmit: Slurm ended the job: cancelled, out of time or preempted" >&2
  elif [ "$1" != 0 ] && [ -r "$_run_dir/srun.messages" ]; then
    while read -r message; do
      case $message in
        'srun: error: '*': task'*': '*)
          echo "hpcsubmit: the first to fail was ${message#srun: error: }; the job's exit code is $1" >&2
          program=${_launcher[0]-${_words[0]-python}}
          [ "${message##* }" != 127 ] || # a shell's code; the runscript alone knows where it looks for programs
            echo "hpcsubmit: $_image may have no program $program: install it there, or mend the command" >&2
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

# ---- The container: /home/u/gan/gan.sif

export PATH=/opt/singularity/bin":$PATH"
_engine=singularity _storage=/scratch/u/gan/singularity_$_job
# Either engine runs the other's images; this node chooses for all of them.
[ -x "$(command -v "$_engine")" ] || [ ! -x "$(command -v apptainer)" ] || _engine=apptainer
mkdir -p "$_storage" || fail "$_storage cannot be made"
case $("$_engine" --version 2>/dev/null) in
  apptainer*) _to_container=APPTAINERENV_ ;;
  *) _to_container=SINGULARITYENV_ ;;
esac
# Variables and words reach the program as they are: engines before Singularity 3.10 still expand `$` in variables.
export APPTAINER_NO_EVAL=1 SINGULARITY_NO_EVAL=1

inside() { # WORDS: replaces the shell by a container that runs them
  # What it may write lies on the node's own disk and goes with the job; /scratch_storage stays. Of two mounts
  # on one folder the first counts.
  local _own="$SLURM_TMPDIR/.hpcsubmit-container" _name _names _options
  _options=(
    --nv --cleanenv --no-home --contain --writable-tmpfs --pwd /home/u/gan
    --bind /home/u/gan --bind /scratch/u/gan --bind "$_library:$_library:ro"
    --bind "$SLURM_TMPDIR" --bind "$_own/home:$HOME"
    --bind "$_own/tmp:/tmp"
    --bind "$_own/tmp:/var/tmp"
    --bind "$_own/db:/db"
    --bind "$SLURM_TMPDIR/data:/data"
    --bind "$_storage:/scratch_storage"
  )
  # The home inside is another one: wandb looks for its key there.
  [ -n "${WANDB_API_KEY:-}" ] || [ ! -r "$HOME/.netrc" ] || _options+=(--bind "$HOME/.netrc:$HOME/.netrc:ro")
  _names=(
    source_dir project_name scratch_dir exp_name SOURCE_DIR PROJECT_NAME SCRATCH_DIR EXP_NAME OUTPUT_DIR PYTHONUNBUFFERED
    SEED CUDA_VISIBLE_DEVICES MASTER_ADDR MASTER_PORT RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE SLURMD_NODENAME
    "${!SLURM_@}" "${!PMI@}" "${!NCCL_@}" "${!GLOO_@}" "${!OMP_@}" "${!WANDB_@}" "${!TORCH_@}" "${!ACCELERATE_@}" "${!HPCSUBMIT_@}"
  )
  for _name in "${_names[@]}"; do
    [ -z "${!_name+x}" ] || export "$_to_container$_name=${!_name}"
  done
  # Where an engine without FUSE unpacks the image.
  export APPTAINER_TMPDIR="$_own" SINGULARITY_TMPDIR="$_own"
  # The image's shell begins, with the folder of hpcsubmit.comm as $0.
  exec "$_engine" --quiet exec "${_options[@]}" "$_own/image.sif" /bin/sh -c '
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$0" SINGULARITY_NO_EVAL=1
exec "$@"' "$_library" "$@"
}

in_container() { # WORDS: the command of the job
  inside /.singularity.d/runscript "$@"
}

_image=/home/u/gan/gan.sif

prepare_container() { # on a node, before anything starts in the image
  local own="$SLURM_TMPDIR/.hpcsubmit-container" profile=plai machine=x86_64
  [ -x "$(command -v "$_engine")" ] ||
    complain "there is no $_engine: container_engine, container_modules and container_path of the profile $profile say where it is"
  [ "$(uname -m)" = "$machine" ] || complain "$_image is for $machine, and this node is $(uname -m): build it on such a machine"
  mkdir -p "$SLURM_TMPDIR/data" "$own"/{home,tmp,db,work} || complain "$own cannot be made"
  [ -r "$_image" ] || complain "$_image cannot be read: see that this node reaches it, and submit again"
  check_size "$_image"
  check_room 3375771 1 "$own" "submit with --container-in-place"
  cp "$_image" "$own/image.sif" || complain "$_image could not be copied to $own"
  check_size "$own/image.sif"
}

check_size() { # FILE
  local size should=3456789012
  size=$(($(wc -c <"$1")))
  [ "$size" = "$should" ] || complain "$1 has $size bytes, and the image had $should when the job was submitted: submit again"
}

try_container() { # on a node: whether the image starts there, and has what the job needs
  local said
  said=$(inside /bin/sh -c '[ -x "$0" ] && ! grep -q "There is no runscript" "$0" || { echo "no %runscript"; false; }' \
    /.singularity.d/runscript 2>&1) || explain $?
}

explain() { # EXIT_CODE [WHAT]: what the engine or a program of the image said, and what to do
  local last
  said=${said:-exit code $1} last=${said##*$'\n'}
  case $said in
    *'no %runscript') complain "$_image has no %runscript: submit with --container-exec" ;;
    *'cannot run on '* | *'could not run on '*) complain "$_image is for other machines than this $(uname -m): build it on one" ;;
    *'read the squashfs'* | *'input/output error'* | 'exit code 135') # SIGBUS: what is mapped cannot be read
      complain "$_image is damaged: build it or copy it again"
      ;;
    *'user namespace'*) complain "this node allows no containers to users: $last" ;;
    *'fuse: '* | */dev/fuse*)
      complain "$_image cannot be mounted: this node has no FUSE for users. Make a sandbox folder of it with" \
        "'$_engine build --sandbox FOLDER $_image', and submit with -s FOLDER"
      ;;
    'no program '*) complain "$_image has $said: install it there, or mend the command" ;;
    *FATAL:* | *ERROR*:*) ;;
    *) [ $# = 1 ] || complain "$_image $2: $last" ;;
  esac
  complain "$_image does not start; try '$_engine exec $_image true': $last"
}

on_container_nodes() { # COMMANDS
  step on_every_node --kill-on-bad-exit=1 bash -c "set -eu
    $(declare -f prepare_container try_container inside in_container explain complain check_room free_of check_size)
    $(declare -p _engine _image _storage _library _to_container)
    exec 3>&2
    $1" || not_usable
}

not_usable() {
  [ -z "$_stopped" ] || exit 143
  fail "the container cannot be used on every node, see above; the program is not started"
}

_begun=$(now)
on_container_nodes 'prepare_container; try_container'
_took=$(amount 3456789012 "$_begun")
echo "hpcsubmit: container: copied to each node and tried: ${_took%%,*}"

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
  in_container "${_words[@]}"
}
_of_tasks=(program)

# ---- The tasks: srun starts `program` for each

tell_step() { # so that this step alone can be told to end
  [ "$SLURM_PROCID" != 0 ] || echo "$SLURM_STEP_ID" >"$_run_dir/step"
}
_of_tasks+=(tell_step)
_of_tasks+=(inside in_container)

# The tasks write both streams to stdout: what srun itself says stays apart, and names the first that failed.
launch() { # SRUN_OPTIONS
  local _task
  _task="set -eu; exec 2>&1; $(declare -f "${_of_tasks[@]}"); $(declare -p _engine _storage _library _to_container); $(declare -p _launcher _words); $(declare -p _run_dir)"
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
  in_container sh -c '
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

