"""Every layout of the published repositories loads, and computes what `transformers` computes of the same files."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.checkpoint.loading import load_unpacked
from tests.support.pairs import CPU, Pair, load_pair, padded, random_sources

Tensors = dict[str, Tensor]
Save = Callable[[Tensors, Path], object]
BART_LAYOUT = ("m2m100", "marian", "bart", "mbart", "pegasus")


def save_single(tensors: Tensors, directory: Path) -> None:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, directory / "model.safetensors")


def save_pickled(tensors: Tensors, directory: Path) -> None:
    torch.save(tensors, directory / "pytorch_model.bin")


def save_in_the_older_pickle_format(tensors: Tensors, directory: Path) -> None:
    """The layout of the OPUS-MT checkpoints of 2020."""
    torch.save(tensors, directory / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def save_pickled_parameters(tensors: Tensors, directory: Path) -> None:
    save_pickled({name: nn.Parameter(tensor) for name, tensor in tensors.items()}, directory)


def write_index(path: Path, files: Mapping[str, str]) -> None:
    path.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": files}), encoding="utf-8")


def in_shards(tensors: Tensors, pattern: str) -> dict[str, str]:
    """The file of each tensor."""
    return {name: pattern.format(place % 3 + 1) for place, name in enumerate(sorted(tensors))}


def save_pickled_shards(tensors: Tensors, directory: Path) -> None:
    """The layout of NLLB-200-3.3B."""
    files = in_shards(tensors, "pytorch_model-0000{}-of-00003.bin")
    for file in set(files.values()):
        torch.save({name: tensor for name, tensor in tensors.items() if files[name] == file}, directory / file)
    write_index(directory / "pytorch_model.bin.index.json", files)


def save_shards(tensors: Tensors, directory: Path, *, absent: tuple[str, ...] = ()) -> None:
    """`absent`: tensors that only the index names."""
    files = in_shards(tensors, "model-0000{}-of-00003.safetensors")
    for file in set(files.values()):
        save_file({name: tensors[name].clone() for name in tensors if files[name] == file}, directory / file)
    write_index(directory / "model.safetensors.index.json", files | dict.fromkeys(absent, next(iter(files.values()))))


def save_both_formats(tensors: Tensors, directory: Path) -> None:
    save_single(tensors, directory)
    save_pickled_shards({name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, directory)


SAVES: Mapping[str, Save] = {
    save.__name__: save
    for save in (
        save_pickled,
        save_in_the_older_pickle_format,
        save_pickled_parameters,
        save_pickled_shards,
        save_shards,
        save_both_formats,
    )
}


def without_weights(pair: Pair, directory: Path) -> Tensors:
    """Copy all but the weights of `pair` to `directory`, and return these."""
    shutil.copytree(pair.checkpoint.directory, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    return load_file(pair.checkpoint.directory / "model.safetensors")


def logits_of(pair: Pair) -> Tensor:
    """Ours, which are those of `transformers`."""
    input_ids, lengths = padded(random_sources(pair, 4, seed=5), pair)
    targets = torch.randint(3, 200, (4, 9), generator=torch.Generator().manual_seed(6))
    mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
    with torch.inference_mode():
        ours = pair.ours(input_ids, lengths, targets)
        theirs = pair.theirs(input_ids=input_ids, attention_mask=mask, decoder_input_ids=targets).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    return ours


@pytest.mark.parametrize("save", SAVES)
def test_weights_load_from_every_kind_of_file(pair: Pair, save: str, tmp_path: Path) -> None:
    SAVES[save](without_weights(pair, tmp_path / "copy"), tmp_path / "copy")
    assert torch.equal(logits_of(load_pair(tmp_path / "copy")), logits_of(pair))


@pytest.mark.parametrize("save", [save_single, save_pickled_shards])
@pytest.mark.parametrize("family", BART_LAYOUT)
def test_a_base_model_has_no_prefix(family: str, save: Save, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The layout of BART-base, which has no bias on the logits either."""
    original: Pair = request.getfixturevalue(family)
    tensors = without_weights(original, tmp_path / "copy")
    bias = tensors.pop("final_logits_bias", torch.zeros(1))
    save({name.removeprefix("model."): tensor for name, tensor in tensors.items()}, tmp_path / "copy")
    ours, expected = logits_of(load_pair(tmp_path / "copy")), logits_of(original)
    torch.testing.assert_close(ours + bias, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", BART_LAYOUT)
def test_names_with_and_without_the_prefix_do_not_mix(
    family: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tensors = without_weights(request.getfixturevalue(family), tmp_path / "copy")
    name = "encoder.layers.1.fc1.weight"
    save_single({**tensors, name: tensors.pop(f"model.{name}")}, tmp_path / "copy")
    with pytest.raises(CheckpointError, match=f"does not have: {name}"):
        load_unpacked(read_checkpoint(tmp_path / "copy", name="test"), dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("family", ["t5", *BART_LAYOUT])
def test_tied_tensors_stand_under_all_names_or_one(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Under all, as in older files of every family, or under one, with an index that names all, as FLAN-T5-XL."""
    pair: Pair = request.getfixturevalue(family)
    prefix = "" if family == "t5" else "model."
    shared = f"{prefix}shared.weight"
    tied = (f"{prefix}encoder.embed_tokens.weight", f"{prefix}decoder.embed_tokens.weight", "lm_head.weight")
    tensors = without_weights(pair, tmp_path / "all")
    save_single(tensors | {name: tensors[shared].clone() for name in tied}, tmp_path / "all")
    save_shards(without_weights(pair, tmp_path / "one"), tmp_path / "one", absent=tied)
    expected = logits_of(pair)
    assert torch.equal(logits_of(load_pair(tmp_path / "all")), expected)
    assert torch.equal(logits_of(load_pair(tmp_path / "one")), expected)


def test_an_index_may_name_absent_tensors_that_nothing_reads(t5: Pair, bart: Pair, tmp_path: Path) -> None:
    unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    for pair, name in ((t5, unread), (bart, "model.encoder.version")):
        directory = tmp_path / name
        save_shards(without_weights(pair, directory), directory, absent=(name,))
        assert torch.equal(logits_of(load_pair(directory)), logits_of(pair))


def test_an_index_with_a_tensor_that_is_read_and_absent_is_refused(pair: Pair, tmp_path: Path) -> None:
    tensors = without_weights(pair, tmp_path / "copy")
    name = next(name for name in sorted(tensors) if name.endswith("norm.weight"))
    del tensors[name]
    save_shards(tensors, tmp_path / "copy", absent=(name,))
    with pytest.raises(CheckpointError, match=f"an index names tensors that its files do not hold: {name}"):
        load_unpacked(read_checkpoint(tmp_path / "copy", name="test"), dtype=torch.float32, device=CPU)


def test_an_index_of_a_logits_bias_that_is_absent_is_refused(bart: Pair, tmp_path: Path) -> None:
    """Without an index that names it, it is zero."""
    tensors = without_weights(bart, tmp_path / "copy")
    del tensors["final_logits_bias"]
    save_shards(tensors, tmp_path / "copy", absent=("final_logits_bias",))
    with pytest.raises(CheckpointError, match="do not hold: final_logits_bias"):
        load_unpacked(read_checkpoint(tmp_path / "copy", name="test"), dtype=torch.float32, device=CPU)


def test_the_versions_of_converted_files_are_passed_over(bart: Pair, tmp_path: Path) -> None:
    tensors = without_weights(bart, tmp_path / "copy")
    save_pickled(tensors | {"model.encoder.version": torch.tensor([3.0])}, tmp_path / "copy")
    assert torch.equal(logits_of(load_pair(tmp_path / "copy")), logits_of(bart))


@pytest.mark.parametrize("file", ["../elsewhere.bin", "/elsewhere.bin", "sub/shard.bin", 7])
def test_an_index_of_files_elsewhere_is_refused(bart: Pair, tmp_path: Path, file: object) -> None:
    tensors = without_weights(bart, tmp_path / "copy")
    weight_map = dict.fromkeys(tensors, file)
    (tmp_path / "copy" / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match="not the name of a file beside it"):
        load_unpacked(read_checkpoint(tmp_path / "copy", name="test"), dtype=torch.float32, device=CPU)


def test_a_pickled_shard_that_is_missing_is_named(bart: Pair, tmp_path: Path) -> None:
    save_pickled_shards(without_weights(bart, tmp_path / "copy"), tmp_path / "copy")
    (tmp_path / "copy" / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(CheckpointError, match=r"pytorch_model-00002-of-00003\.bin: not a readable file"):
        load_unpacked(read_checkpoint(tmp_path / "copy", name="test"), dtype=torch.float32, device=CPU)
