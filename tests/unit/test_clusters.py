"""Which cluster is meant, what its profile says, and what the profile forbids."""

import os
import re
import shutil
import time

from sandbox import Sandbox


def detecting(sandbox: Sandbox, **environ: str) -> dict[str, str]:
    """The sandbox's environment with no cluster named."""
    kept = {name: value for name, value in sandbox.environ.items() if name != "HPCSUBMIT_CLUSTER"}
    return kept | {"SLURM_CONF": "/proc/nowhere/slurm.conf"} | environ


def chosen(sandbox: Sandbox, *argv: str, **environ: str) -> str:
    """The cluster and the reason, as the preview tells them."""
    said = sandbox.hpcsubmit("--dry-run", *argv, environ=detecting(sandbox, **environ))
    assert said.code == 0, said
    return next(line.split(None, 1)[1] for line in said.stderr.splitlines() if line.startswith("  cluster "))


def user_profile(sandbox: Sandbox, name: str, text: str) -> str:
    path = sandbox.root / "home" / ".config" / "hpcsubmit" / "profiles" / f"{name}.yaml"
    sandbox.write(text, path)
    return str(path)


def only_these_on_the_path(sandbox: Sandbox, *names: str) -> str:
    """A PATH without a Slurm that this machine may have."""
    folder = sandbox.root / "few"
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name) or "/proc/nowhere")
    return str(folder)


def test_the_cluster_is_the_first_that_something_names(sandbox: Sandbox) -> None:
    sandbox.install("scontrol", "#!/bin/sh\necho 'ClusterName             = plai'\n")
    node = os.uname().nodename
    user_profile(sandbox, "here", f"detect_hosts: ['{node}']\n")
    configuration = sandbox.project / "hpcsubmit.yaml"
    sandbox.write("cluster: plai\n", configuration)
    everything = {"HPCSUBMIT_CLUSTER": "generic", "CC_CLUSTER": "cedar"}
    assert chosen(sandbox, "--cluster", "local", **everything) == "local (--cluster)"
    assert chosen(sandbox, **everything) == "generic (HPCSUBMIT_CLUSTER)"
    assert chosen(sandbox, CC_CLUSTER="cedar") == f"plai ({configuration})"
    configuration.unlink()
    assert chosen(sandbox, CC_CLUSTER="cedar") == "cedar (CC_CLUSTER=cedar)"
    assert chosen(sandbox, CC_CLUSTER="fir") == f"here (the host name {node})"
    user_profile(sandbox, "here", "description: nowhere\n")
    assert chosen(sandbox) == "plai (Slurm's ClusterName plai)"
    sandbox.install("scontrol", "#!/bin/sh\necho 'ClusterName = somewhere'\n")
    assert chosen(sandbox) == "generic (a Slurm cluster without a profile)"
    assert chosen(sandbox, HPCSUBMIT_CLUSTER="") == "generic (a Slurm cluster without a profile)"


def test_the_cluster_name_is_read_from_slurms_configuration_first(sandbox: Sandbox) -> None:
    sandbox.install("scontrol", f"#!/bin/sh\ntouch {sandbox.root}/asked\necho 'ClusterName = cedar'\n")
    conf = sandbox.root / "slurm.conf"
    conf.write_text("# ClusterName=cedar\nclustername=plai # ours\nSlurmctldHost=a\n")
    assert chosen(sandbox, SLURM_CONF=str(conf)) == "plai (Slurm's ClusterName plai)"
    assert not (sandbox.root / "asked").exists()
    conf.write_bytes(b"\xff\xfe nothing\n")
    assert chosen(sandbox, SLURM_CONF=str(conf)).startswith("cedar")


def test_a_hanging_scontrol_costs_two_seconds_and_no_more(sandbox: Sandbox) -> None:
    sandbox.install("scontrol", "#!/bin/sh\nexec sleep 300\n")
    began = time.monotonic()
    assert chosen(sandbox) == "generic (a Slurm cluster without a profile)"
    assert 2 <= time.monotonic() - began < 30


def test_without_sbatch_the_job_runs_on_this_machine_with_a_note(sandbox: Sandbox) -> None:
    few = only_these_on_the_path(sandbox, "python3")
    said = sandbox.hpcsubmit("--dry-run", environ=detecting(sandbox, PATH=few))
    assert "cluster            local (there is no sbatch on the PATH)" in said.stderr
    assert "note: there is no sbatch on the PATH: the job runs on this machine" in said.stderr


def test_a_slurm_cluster_without_sbatch_is_an_error_before_anything_is_made(sandbox: Sandbox) -> None:
    few = only_these_on_the_path(sandbox, "python3")
    for cluster in ("plai", "generic"):
        said = sandbox.refuses("--cluster", cluster, PATH=few)
        assert said.error == f"there is no sbatch on the PATH, and the cluster is '{cluster}'"
        assert said.hint == "log in to the cluster first, or train on this machine with --cluster local"
        assert sandbox.hpcsubmit("--dry-run", "--cluster", cluster).code == 0


def test_an_unknown_cluster_is_an_error_that_names_the_nearest(sandbox: Sandbox) -> None:
    for said in (sandbox.refuses("--cluster", "cedr"), sandbox.refuses(HPCSUBMIT_CLUSTER="cedr")):
        assert said.error == "there is no cluster profile 'cedr'"
        assert said.hint.startswith("did you mean cedar? the profiles are cedar, generic, local, plai")
    sandbox.write("cluster: ../plai\n", sandbox.project / "hpcsubmit.yaml")
    assert sandbox.refuses(HPCSUBMIT_CLUSTER="").error == "there is no cluster profile '../plai'"
    said = sandbox.hpcsubmit("clusters", "show", "pali")
    assert (said.code, said.error) == (1, "there is no cluster profile 'pali'")
    assert said.hint.startswith("did you mean plai?")


def test_choosing_cedar_prints_one_warning_that_names_fir(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("--cluster", "cedar")
    assert said.code == 0
    warnings = [line for line in said.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings == ["warning: cedar stopped computing on 2025-09-12; its successor is fir"]


def test_user_and_project_override_field_by_field_and_clusters_show_says_where(sandbox: Sandbox) -> None:
    user = user_profile(sandbox, "plai", "partition: plai_towers\ncpus_per_gpu: 4\n")
    project = sandbox.project / "hpcsubmit.yaml"
    sandbox.write("profiles:\n  plai: {cpus_per_gpu: 6}\n  mine: {partition: p}\n", project)
    said = sandbox.hpcsubmit("clusters", "show", "plai")
    assert said.code == 0
    rows = {line.split()[0]: line.split(None, 2) for line in said.stdout.splitlines()}
    assert rows["FIELD"] == ["FIELD", "VALUE", "FROM"]
    assert rows["partition"][1:] == ["plai_towers", user]
    assert rows["cpus_per_gpu"][1:] == ["6", f"{project}, profiles.plai"]
    assert rows["node_local_base"][1] == "/scratch-ssd"
    assert rows["node_local_base"][2].endswith("hpcsubmit/profiles/plai.yaml")
    assert rows["gpu_option"][1:] == ["gres", "default"]
    dry = sandbox.hpcsubmit("--dry-run", "--cluster", "plai").stdout
    assert "#SBATCH --partition=plai_towers\n" in dry
    assert "#SBATCH --cpus-per-task=6\n" in dry
    assert "#SBATCH --partition=p\n" in sandbox.hpcsubmit("--dry-run", "--cluster", "mine").stdout
    listed = sandbox.hpcsubmit("clusters").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["cedar", "generic", "local", "mine", "plai"]
    assert next(ln for ln in listed.splitlines() if "<- here" in ln).startswith("generic ")


def test_clusters_lists_outside_a_project_too(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("clusters", cwd=sandbox.root)
    assert said.code == 0
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["cedar", "generic", "local", "plai"]


PROFILES = {
    "acount: x": ("a profile has no field 'acount'", "did you mean account?"),
    "gpus_pre_node: 4": ("a profile has no field 'gpus_pre_node'", "did you mean gpus_per_node?"),
    "gpus_per_node: four": ("field 'gpus_per_node' cannot be 'four'", "write a whole number, 0 or more"),
    "cpus_per_node: 0": ("field 'cpus_per_node' cannot be 0", "write a whole number above 0"),
    "cpus_per_node: true": ("field 'cpus_per_node' cannot be True", "write a whole number above 0"),
    "max_time: 60": ("field 'max_time' cannot be 60", "write a time in quotes, 'dd-HH:MM:SS'"),
    "max_time: 1:00:00": ("field 'max_time' cannot be 3600", "write a time in quotes, 'dd-HH:MM:SS'"),
    "max_time: 1h": ("field 'max_time' cannot be '1h'", "write a time in quotes, 'dd-HH:MM:SS'"),
    "mem_per_gpu: 10": ("field 'mem_per_gpu' cannot be 10", "write an amount such as 10G or 4000M"),
    "account: [a]": ("field 'account' cannot be ['a']", "write one line of text"),
    'account: "a\\nb"': ("field 'account' cannot be 'a\\nb'", "write one line of text"),
    "accounts: a": ("field 'accounts' cannot be 'a'", "write a list of texts, [a, b]"),
    "typed_gpus: 1": ("field 'typed_gpus' cannot be 1", "write true or false"),
    "gpu_option: gress": ("field 'gpu_option' cannot be 'gress'", "write gres or gpus-per-node"),
    "slurm_tmpdir: maid": ("field 'slurm_tmpdir' cannot be 'maid'", "write given or made or either"),
    "node_local_base: tmp": ("field 'node_local_base' cannot be 'tmp'", "write an absolute path"),
    "detect_environment: [a]": ("cannot be ['a']", "write names with a text each, {NAME: text}"),
    "detect_environment: {A: 1}": (
        "field 'detect_environment': A cannot be 1",
        'write one line of text, in quotes: A: "1"',
    ),
    "environment: [a]": (
        "field 'environment' cannot be ['a']",
        "write names with a text or a number each, {NAME: text}",
    ),
    "environment: {A: 1, NCCL_DEBUG: yes}": (
        "field 'environment': NCCL_DEBUG is yes, which YAML reads as a truth value",
        'write it in quotes: NCCL_DEBUG: "yes"',
    ),
    "environment: {A: }": ("field 'environment': A cannot be None", 'in quotes: A: "text"'),
    "environment: {A: [1]}": ("field 'environment': A cannot be [1]", 'in quotes: A: "text"'),
    "environment: {NCCL-DEBUG: 1}": (
        "field 'environment': 'NCCL-DEBUG' is no name of a variable",
        "write letters, digits and _, such as NCCL_DEBUG",
    ),
    "environment: {on: 1}": ("field 'environment': True is no name of a variable", "write letters, digits"),
    "environment: {WANDB_API_KEY: 0123456789abcdef}": (
        "field 'environment': every script would show WANDB_API_KEY",
        "write the key into ~/wandb_credentials.txt",
    ),
    "lightning_gpus_flag: devices": ("cannot be 'devices'", "write the name of an option, --name"),
    "sbatch_args: ['--nodes=3']": (
        "field 'sbatch_args' cannot be",
        "--sbatch-arg --nodes=3 is set by hpcsubmit",
    ),
    "[account]": ("holds no profile fields", "write one 'field: value' a line"),
    "account: 'x": ("is not YAML", "check its indentation, quotes and colons"),
}


def test_a_wrong_profile_names_the_file_the_field_and_the_nearest_field(sandbox: Sandbox) -> None:
    for text, (error, hint) in PROFILES.items():
        path = user_profile(sandbox, "generic", text + "\n")
        said = sandbox.refuses()
        assert said.error.startswith(path), text
        assert error in said.error, text
        assert hint in said.hint, text
        assert "0123456789abcdef" not in said.stderr


def test_whole_numbers_are_texts_for_the_variables_of_jobs(sandbox: Sandbox) -> None:
    values = "{NCCL_COLLNET_ENABLE: 0, NCCL_IB_TIMEOUT: 30, LEVEL: -1, NCCL_DEBUG: 'yes'}"
    user_profile(sandbox, "generic", f"environment: {values}\n")
    sandbox.write(f"profiles: {{mine: {{environment: {values}}}}}\n", sandbox.project / "hpcsubmit.yaml")
    for cluster in ("generic", "mine"):
        script = sandbox.hpcsubmit("--dry-run", "--cluster", cluster).stdout
        for text in ("NCCL_COLLNET_ENABLE=0", "NCCL_IB_TIMEOUT=30", "LEVEL=-1", "NCCL_DEBUG=yes"):
            assert re.search(rf"\bexport {text}$", script, re.MULTILINE), text


OVER = {
    "cedar -g 5": (
        "--gpus 5 is more than the 4 GPUs of a node in the profile 'cedar'",
        "ask for at most 4 per node",
    ),
    "cedar -c 33": ("33 CPUs are more than the 32 of a node", "ask for at most --cpus 32"),
    "cedar -t 28-00:00:01": ("--time 28-00:00:01 is longer than the limit", "go on from a checkpoint"),
    "cedar -G v100": ("--gpu-type v100 is not one that the profile 'cedar' lists", "did you mean v100l?"),
    "cedar -a rrg-kevin": (
        "--account rrg-kevin is not one that the profile 'cedar' lists",
        "did you mean rrg-kevinlb?",
    ),
}


def test_what_the_cluster_does_not_have_is_an_error(sandbox: Sandbox) -> None:
    for line, (error, hint) in OVER.items():
        said = sandbox.refuses("--cluster", *line.split())
        assert said.error.startswith(error), line
        assert hint in said.hint, line


def test_the_largest_that_the_cluster_has_is_fine(sandbox: Sandbox) -> None:
    largest = ("-g4", "-c32", "-t28-00:00:00", "-Gp100")
    said = sandbox.hpcsubmit("--cluster", "cedar", "--dry-run", *largest)
    assert said.code == 0
    assert "#SBATCH --gres=gpu:p100:4\n" in said.stdout


def test_gpu_types_are_ignored_with_a_note_only_where_there_are_none(sandbox: Sandbox) -> None:
    for cluster in ("plai", "local"):
        said = sandbox.hpcsubmit("--dry-run", "--cluster", cluster, "-G", "a100")
        assert "#SBATCH --gres=gpu:1\n" in said.stdout
        assert f"note: --gpu-type a100 is ignored: the GPUs of '{cluster}' have no types\n" in said.stderr
    said = sandbox.hpcsubmit("--dry-run", "-G", "a100", "-a", "me", "-p", "big")
    for line in ("--gres=gpu:a100:1", "--account=me", "--partition=big"):
        assert f"#SBATCH {line}\n" in said.stdout
    assert "is ignored" not in said.stderr


def test_a_broken_profile_of_another_cluster_does_not_stop_a_named_one(sandbox: Sandbox) -> None:
    user_profile(sandbox, "other", "acount: x\n")
    assert sandbox.hpcsubmit("--dry-run", "--cluster", "generic").code == 0


def test_a_changed_profile_counts_at_once(sandbox: Sandbox) -> None:
    for partition in ("one", "two", "one"):
        user_profile(sandbox, "generic", f"partition: {partition}\n")
        assert sandbox.hpcsubmit().code == 0
        assert f"#SBATCH --partition={partition}\n" in (sandbox.root / "submitted.sh").read_text()


def test_a_damaged_cache_is_as_good_as_none(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit().code == 0
    kept = list((sandbox.root / "home" / ".cache" / "hpcsubmit").iterdir())
    assert kept
    for keep in (0, 1, 20, 100):
        for path in kept:
            path.write_bytes(path.read_bytes()[:keep])
        assert sandbox.hpcsubmit("--dry-run").code == 0
    for path in kept:
        path.write_bytes(b'{"key": 1, "values"')
    assert sandbox.hpcsubmit().code == 0


def test_a_cache_that_others_can_write_is_not_believed(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit().code == 0
    cache = sandbox.root / "home" / ".cache" / "hpcsubmit"
    assert cache.stat().st_mode & 0o777 == 0o700
    profile = next(cache.glob("generic-*.json"))
    profile.write_text(profile.read_text().replace('"values": {', '"values": {"partition": "theirs", '))
    assert "--partition=theirs" in sandbox.hpcsubmit("--dry-run").stdout
    cache.chmod(0o777)
    assert "--partition=theirs" not in sandbox.hpcsubmit("--dry-run").stdout


def test_slurms_configuration_names_the_cluster_even_without_sbatch(sandbox: Sandbox) -> None:
    conf = sandbox.root / "slurm.conf"
    conf.write_text("ClusterName=plai\n")
    (sandbox.bin / "sbatch").unlink()
    found = {"SLURM_CONF": str(conf), "PATH": str(sandbox.bin)}
    assert chosen(sandbox, **found) == "plai (Slurm's ClusterName plai)"


def test_null_takes_back_what_an_earlier_file_says(sandbox: Sandbox) -> None:
    user_profile(sandbox, "cedar", "account: null\naccounts: null\ngpus_per_node: null\n")
    script = sandbox.hpcsubmit("--cluster", "cedar", "-g", "9", "-a", "mine", "--dry-run").stdout
    assert "#SBATCH --account=mine\n" in script


def test_cpus_are_counted_as_slurm_will_be_asked_for_them(sandbox: Sandbox) -> None:
    said = sandbox.refuses("--cluster", "cedar", "-g", "3", "-c", "32")
    assert said.error == "33 CPUs are more than the 32 of a node in the profile 'cedar'"
