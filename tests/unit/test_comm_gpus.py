"""Which backend hpcsubmit.comm takes where ranks see GPUs, and what it says where they are too few."""

import os
from pathlib import Path

import pytest

from small_torch import ranks

HOST = os.uname().nodename
SLOW = "by gloo, which is slow: start one rank per GPU"


@pytest.mark.parametrize(
    ("seen", "shortage"),
    [
        (("0,1",) * 3, f"3 ranks on {HOST} see 2 GPUs: they share them, {SLOW}"),
        (("0",) * 2, f"2 ranks on {HOST} see 1 GPU: they share it, {SLOW}"),
        (("0", "1", "1"), f"3 ranks on {HOST} see 2 GPUs: they share them, {SLOW}"),
        (("0,1", ""), f"1 of 2 ranks on {HOST} have no GPU: all meet {SLOW}"),
    ],
)
def test_ranks_without_a_gpu_each_are_told_once_and_meet_by_gloo(
    seen: tuple[str, ...], shortage: str, tmp_path: Path
) -> None:
    said = meet(tmp_path, *seen)
    assert [line for text in said for line in text.splitlines() if "by gloo" in line] == [
        f"hpcsubmit.comm: {shortage}"
    ]
    assert f"hpcsubmit.comm: {shortage}" in said[0]
    for number, text in enumerate(said):
        assert f"rank {number} of {len(seen)} met all, and gloo sums right\n" in text


@pytest.mark.parametrize("seen", [("0,1", "0,1"), ("0", "1"), ("0,1,2",) * 2])
def test_where_each_rank_has_a_gpu_nothing_is_said_and_they_meet_by_nccl(
    seen: tuple[str, ...], tmp_path: Path
) -> None:
    for number, text in enumerate(meet(tmp_path, *seen)):
        assert "gloo" not in text
        assert f"rank {number} of {len(seen)} met all, and nccl sums right\n" in text


@pytest.mark.parametrize(("seen", "nccl"), [(("", ""), ""), (("0,1", "0,1"), "none")])
def test_without_any_gpu_or_without_nccl_there_is_nothing_to_share(
    seen: tuple[str, ...], nccl: str, tmp_path: Path
) -> None:
    for text in meet(tmp_path, *seen, NCCL=nccl):
        assert "GPU" not in text
        assert "met all, and gloo sums right\n" in text


def meet(folder: Path, *seen: str, **environ: str) -> list[str]:
    """Start a rank for each of these CUDA_VISIBLE_DEVICES; return what each says."""
    common = {"MASTER_ADDR": "127.0.0.1", **environ}
    return ranks(folder, *({**common, "CUDA_VISIBLE_DEVICES": gpus} for gpus in seen))
