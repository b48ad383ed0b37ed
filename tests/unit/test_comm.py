"""hpcsubmit.comm: who a process is, by each launcher's variables, and what is said where they cannot be."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hpcsubmit
from hpcsubmit import comm
from hpcsubmit.comm import CommError, Identity, identify

PACKAGE = Path(hpcsubmit.__file__).parent

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "12345",
}
SRUN = {
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "1",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7",
}
PMI = {**SRUN, "PMI_RANK": "3", "PMI_SIZE": "4"}
PMIX = {**SRUN, "PMIX_RANK": "3", "PMIX_SERVER_URI2": "pmix-server.1;tcp4://127.0.0.1:34885"}
BATCH_SCRIPT = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0", "SLURM_NNODES": "2"}
MPIRUN = {
    **BATCH_SCRIPT,
    "PMIX_RANK": "3",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_MCA_orte_hnp_uri": "2759065600.0;tcp://10.0.0.7,10.1.0.7:57049;tcp6://[fd00::7]:47175",
    "PMIX_SERVER_URI2": "2759065600.1;tcp4://127.0.0.1:57021",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (TORCHRUN, Identity("env", 3, 4, 1, 2, "node1", 12345)),
        (SRUN, Identity("slurm", 3, 4, 1, None, "10.0.0.7")),
        (PMI, Identity("slurm-pmi", 3, 4, 1, None, "10.0.0.7")),
        (PMIX, Identity("slurm-pmix", 3, 4, 1, None, "10.0.0.7")),
        (MPIRUN, Identity("openmpi", 3, 4, 1, 2, "10.0.0.7")),
        ({}, Identity("single")),
    ],
)
def test_auto_finds_the_launcher_and_asking_for_it_gives_the_same(
    environ: dict[str, str], expected: Identity
) -> None:
    assert identify("auto", environ) == expected
    assert identify(expected.method, environ) == expected


def test_torchrun_below_srun_counts_as_it_is_nearer_to_the_process() -> None:
    assert identify("auto", {**PMI, **TORCHRUN}).method == "env"


def test_a_rank_without_an_address_does_not_hide_what_srun_tells() -> None:
    assert identify("auto", {**PMI, "RANK": "0", "WORLD_SIZE": "1"}).method == "slurm-pmi"


def test_a_batch_script_itself_is_alone_however_many_tasks_its_job_has() -> None:
    assert identify("auto", BATCH_SCRIPT) == Identity("single")


def test_a_step_of_one_task_is_alone() -> None:
    assert identify("auto", {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == Identity("single")


@pytest.mark.parametrize(
    ("older", "method", "environ"),
    [
        ("nccl-slurm-pmi", "slurm-pmi", PMI),
        ("nccl-slurm", "slurm-pmix", PMIX),
        ("nccl-openmpi", "openmpi", MPIRUN),
        ("dummy", "single", PMI),
    ],
)
def test_older_names_mean_what_they_meant(older: str, method: str, environ: dict[str, str]) -> None:
    assert identify(older, environ) == identify(method, environ)


@pytest.mark.parametrize("environ", [SRUN, PMI, PMIX, MPIRUN])
def test_a_preset_meeting_point_is_kept(environ: dict[str, str]) -> None:
    preset = {**environ, "MASTER_ADDR": "10.9.9.9", "MASTER_PORT": "6000"}
    assert identify("auto", preset) == identify("auto", environ)._replace(address="10.9.9.9", port=6000)


def test_a_container_without_slurm_s_variables_still_has_pmi_s() -> None:
    inside = {"PMI_RANK": "3", "PMI_SIZE": "4", "MASTER_ADDR": "node1"}
    assert identify("auto", inside) == Identity("slurm-pmi", 3, 4, None, None, "node1")


def test_the_size_of_a_step_goes_before_that_of_its_job() -> None:
    assert identify("slurm", {**SRUN, "SLURM_NTASKS": "16"}).world_size == 4
    del (environ := dict(SRUN))["SLURM_STEP_NUM_TASKS"]
    assert identify("slurm", environ).world_size == 4


def test_below_another_mpirun_the_local_rank_is_its_own_and_not_that_of_slurm_s_task() -> None:
    environ = {**PMI, "SLURM_LOCALID": "0", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
    assert identify("auto", environ) == Identity("slurm-pmi", 3, 4, 1, 2, "10.0.0.7")


def test_all_ranks_on_one_node_meet_there_without_an_address() -> None:
    torchrun = {**TORCHRUN, "RANK": "1", "WORLD_SIZE": "2"}
    del torchrun["MASTER_ADDR"]
    assert identify("env", torchrun).address == "127.0.0.1"
    mpirun = {**MPIRUN, "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
    del mpirun["OMPI_MCA_orte_hnp_uri"]
    assert identify("openmpi", mpirun).address == "127.0.0.1"


def test_a_daemon_s_address_serves_where_mpirun_tells_none_and_it_is_no_loopback() -> None:
    environ = {**MPIRUN, "OMPI_MCA_orte_hnp_uri": "", "PMIX_SERVER_URI2": "7.0;tcp4://10.0.0.7:57021"}
    assert identify("openmpi", environ).address == "10.0.0.7"
    environ["PMIX_SERVER_URI2"] = "7.0;tcp4://127.0.0.1:57021"
    assert "openmpi needs MASTER_ADDR, not set here." in complaint("openmpi", environ)


def test_what_is_missing_is_listed_with_the_cure() -> None:
    assert complaint("slurm-pmi", {}) == (
        "slurm-pmi needs PMI_RANK, and PMI_SIZE or SLURM_STEP_NUM_TASKS or SLURM_NTASKS, and MASTER_ADDR,"
        " not set here. Start all ranks with srun --mpi=pmi2, and hand what it sets on to containers."
        " MASTER_ADDR is the address of rank 0's node."
    )
    assert "slurm-pmix needs PMIX_RANK, not set here. Start all ranks with srun --mpi=pmix" in complaint(
        "slurm-pmix", PMI
    )


@pytest.mark.parametrize(
    ("environ", "needs"),
    [({"RANK": "0"}, "WORLD_SIZE, and MASTER_ADDR"), ({"WORLD_SIZE": "4"}, "RANK, and MASTER_ADDR")],
)
def test_half_of_an_environment_is_no_single_process(environ: dict[str, str], needs: str) -> None:
    assert f"env needs {needs}, not set here. Start all ranks with torchrun" in complaint("auto", environ)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RANK": "4"}, "RANK is 4; it must be below 4."),
        ({"RANK": "-1"}, "RANK is '-1'; it must be a whole number from 0."),
        ({"RANK": "one"}, "RANK is 'one'; it must be a whole number from 0."),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'; it must be a whole number from 1."),
        ({"WORLD_SIZE": "2.0"}, "WORLD_SIZE is '2.0'; it must be a whole number from 1."),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK is 2; it must be below 2."),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT is 65536; it must be below 65536."),
        ({"MASTER_PORT": "ssh"}, "MASTER_PORT is 'ssh'; it must be a whole number from 1."),
    ],
)
def test_numbers_that_cannot_be_are_named(change: dict[str, str], message: str) -> None:
    assert complaint("env", {**TORCHRUN, **change}) == message


def test_an_unknown_method_brings_the_nearest() -> None:
    said = complaint("slurm_pmi", {})
    assert said.startswith("There is no method 'slurm_pmi'; did you mean slurm-pmi? There are auto, env,")
    assert "did you mean nccl-slurm?" in complaint("nccl_slurm", {})


def test_mpi_without_mpi4py_says_what_it_needs() -> None:
    done = python("-m", "hpcsubmit.comm", "mpi")
    assert done.returncode == 1
    assert done.stderr.startswith("hpcsubmit.comm: mpi needs mpi4py, and an MPI library that it can load: ")


def test_before_init_a_process_is_alone_and_nothing_waits() -> None:
    numbers = (comm.rank(), comm.local_rank(), comm.world_size(), comm.local_world_size(), comm.is_main())
    assert numbers == (0, 0, 1, 1, True)
    comm.barrier()
    comm.finalize()


@pytest.mark.parametrize("timeout", [0, -1, "240", None, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(CommError, match=r"^The timeout is .*; it must be a number of seconds above 0"):
        comm.init("single", timeout=timeout)


def test_without_torch_init_says_which_python_lacks_it() -> None:
    done = python("from hpcsubmit import comm; comm.init('single')")
    assert done.returncode == 1
    assert f"hpcsubmit.comm.CommError: {sys.executable} cannot load torch: " in done.stderr
    assert done.stderr.endswith("Is its environment active?\n")


def test_started_by_itself_it_says_who_it_is() -> None:
    done = python("-m", "hpcsubmit.comm", environ={"PMI_RANK": "0", "PMI_SIZE": "1", "SLURM_LOCALID": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"slurm-pmi: rank 0 of 1 on {os.uname().nodename}, local rank 0\n"


def test_started_by_itself_it_ends_with_one_line_where_something_is_missing() -> None:
    done = python("-m", "hpcsubmit.comm", "slurm")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hpcsubmit.comm: slurm needs SLURM_PROCID, and ")
    assert len(done.stderr.splitlines()) == 1


def test_a_number_of_seconds_that_is_none_is_one_line_too() -> None:
    done = python("-m", "hpcsubmit.comm", "env", "soon", environ=TORCHRUN)
    assert (done.returncode, done.stderr) == (
        1,
        "hpcsubmit.comm: could not convert string to float: 'soon'\n",
    )


@pytest.mark.parametrize("name", ["__init__.py", "comm.py"])
def test_what_a_job_gets_a_copy_of_is_python_3_8_and_needs_its_library_only(name: str) -> None:
    tree = ast.parse((PACKAGE / name).read_text("utf-8"), feature_version=(3, 8))
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    late = {"torch", "torch.distributed", "mpi4py"}
    assert {word for word in found if word.split(".")[0] not in sys.stdlib_module_names} <= late
    at_once = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert at_once & late == set()


def complaint(method: str, environ: dict[str, str]) -> str:
    with pytest.raises(CommError) as caught:
        identify(method, environ)
    return str(caught.value)


def python(*argv: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program, or a module with its words, by this Python without the packages that are installed."""
    words = argv if argv[0] == "-m" else ("-c", *argv)
    return subprocess.run(
        [sys.executable, "-S", *words],
        env={"PYTHONPATH": str(PACKAGE.parent), **(environ or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
