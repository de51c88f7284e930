"""Weights are loaded whole or not at all: every fault is an error with the tensor's or the file's name."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.checkpoint.loading import load_unpacked
from model.transformer.transformer import Transformer
from tests.support.checkpoints import BUNDLED
from tests.support.pairs import CPU, Pair

Tensors = dict[str, Tensor]


def load(directory: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    return load_unpacked(read_checkpoint(directory, name="test"), dtype=dtype, device=CPU)


@pytest.fixture
def fc1(pair: Pair) -> str:
    """The first feed-forward product of the encoder's layer 1, [64, 32], or its gate."""
    model_type = pair.checkpoint.config.model_type
    if model_type in ("t5", "mt5"):
        return f"encoder.block.1.layer.1.DenseReluDense.{'wi_0' if model_type == 'mt5' else 'wi'}.weight"
    return "model.encoder.layers.1.fc1.weight"


@pytest.fixture
def prefix(pair: Pair) -> str:
    """The prefix of all names of the model without its head."""
    return "" if pair.checkpoint.config.relative_positions else "model."


@pytest.fixture
def directory(pair: Pair, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return copy(pair, tmp_path)


def copy(pair: Pair, parent: Path) -> Path:
    return Path(shutil.copytree(pair.checkpoint.directory, parent / "copy"))


def move_to_output(name: str, tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors.pop(name)


def rewrite(directory: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, directory / "model.safetensors")


def assert_same_weights(left: Transformer, right: Transformer) -> None:
    theirs = dict(right.named_parameters())
    assert dict(left.named_parameters()).keys() == theirs.keys()
    for name, parameter in left.named_parameters():
        assert torch.equal(parameter, theirs[name]), name


def test_missing_tensor_is_refused_by_name_and_shape(directory: Path, fc1: str) -> None:
    rewrite(directory, lambda tensors: tensors.pop(fc1))
    with pytest.raises(CheckpointError, match=rf"missing tensor {fc1} of shape \[64, 32\]"):
        load(directory)


def test_extra_tensor_is_refused_by_name(directory: Path, fc1: str) -> None:
    extra = fc1.replace("1", "2", 1)
    rewrite(directory, lambda tensors: tensors.update({extra: torch.zeros(64, 32)}))
    with pytest.raises(CheckpointError, match=f"does not have: {extra}"):
        load(directory)


def test_misshapen_tensor_is_refused_with_both_shapes(directory: Path, fc1: str) -> None:
    rewrite(directory, lambda tensors: tensors.update({fc1: torch.zeros(64, 33)}))
    with pytest.raises(CheckpointError, match=rf"{fc1} has shape \[64, 33\], the model needs \[64, 32\]"):
        load(directory)


def test_tensor_of_integers_is_refused(directory: Path, fc1: str) -> None:
    rewrite(directory, lambda tensors: tensors.update({fc1: torch.zeros(64, 32, dtype=torch.int8)}))
    with pytest.raises(CheckpointError, match=rf"{fc1} has type torch\.int8"):
        load(directory)


def test_truncated_file_is_refused_by_name(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a readable safetensors file"):
        load(directory)


def test_directory_without_weights_is_refused(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no weights: none of model\.safetensors"):
        load(directory)


@pytest.mark.parametrize("alias", ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"])
def test_tied_weights_under_two_names_must_agree(directory: Path, prefix: str, alias: str) -> None:
    shared, alias = f"{prefix}shared.weight", prefix + alias
    original = load(directory)
    rewrite(directory, lambda tensors: tensors.update({alias: tensors[shared].clone()}))
    assert_same_weights(load(directory), original)
    rewrite(directory, lambda tensors: tensors[alias].add_(1))
    with pytest.raises(CheckpointError, match=f"{shared} and {alias} must be the same"):
        load(directory)


@pytest.mark.parametrize("family", ["m2m100", "marian", "bart", "mbart", "pegasus"])
def test_tied_output_projection_must_agree(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    directory = copy(request.getfixturevalue(family), tmp_path)
    original = load(directory)
    rewrite(directory, lambda tensors: tensors.update({"lm_head.weight": tensors["model.shared.weight"].clone()}))
    assert_same_weights(load(directory), original)
    rewrite(directory, lambda tensors: tensors["lm_head.weight"].add_(1))
    with pytest.raises(CheckpointError, match=r"model\.shared\.weight and lm_head\.weight must be the same"):
        load(directory)


def test_tied_weights_under_any_one_name_are_found(t5: Pair, m2m100: Pair, tmp_path: Path) -> None:
    for pair, name in ((t5, "shared.weight"), (m2m100, "model.shared.weight")):
        directory = copy(pair, tmp_path / name)
        original = load(directory)
        rewrite(directory, partial(move_to_output, name))
        assert_same_weights(load(directory), original)


def test_t5_output_projection_is_tied_as_its_file_has_it(t5: Pair, mt5: Pair, tmp_path: Path) -> None:
    assert load(t5.checkpoint.directory).config.tie_output
    assert not load(mt5.checkpoint.directory).config.tie_output
    assert (
        load(mt5.checkpoint.directory)
        .output_projection.weight.ne(load(mt5.checkpoint.directory).source_embed_tokens.weight)
        .any()
    )
    directory = copy(t5, tmp_path)
    rewrite(directory, lambda tensors: tensors.update({"lm_head.weight": tensors["shared.weight"].clone()}))
    assert load(directory).config.tie_output
    rewrite(directory, lambda tensors: tensors["lm_head.weight"].add_(1))
    assert not load(directory).config.tie_output


def test_t5_names_of_older_files_are_known(t5: Pair, tmp_path: Path) -> None:
    directory = copy(t5, tmp_path)
    unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    rewrite(directory, lambda tensors: tensors.update({unread: torch.zeros(8, 4)}))
    assert_same_weights(load(directory), load(t5.checkpoint.directory))


@pytest.mark.parametrize("family", ["bart", "marian", "mbart", "pegasus"])
def test_logits_bias_that_the_file_lacks_is_zero(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    directory = copy(request.getfixturevalue(family), tmp_path)
    rewrite(directory, lambda tensors: tensors.pop("final_logits_bias"))
    assert load(directory).output_projection.bias.eq(0).all()


@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_learned_positions_are_required_in_full(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    directory = copy(request.getfixturevalue(family), tmp_path)
    name = "model.decoder.embed_positions.weight"
    rewrite(directory, lambda tensors: tensors.update({name: tensors[name][2:]}))
    with pytest.raises(CheckpointError, match=rf"{name} has shape \[64, 32\], the model needs \[66, 32\]"):
        load(directory)


@pytest.mark.parametrize("family", ["m2m100", "marian", "pegasus"])
def test_stored_sinusoids_are_accepted_only_as_they_should_be(
    family: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    directory = copy(request.getfixturevalue(family), tmp_path)
    model = load(directory)
    offset = model.config.position_offset
    sinusoids = model.source_positions.table
    assert isinstance(sinusoids, torch.Tensor)
    table = torch.cat([torch.zeros(offset, model.config.d_model), sinusoids]).half()
    name = "model.decoder.embed_positions.weight"
    rewrite(directory, lambda tensors: tensors.update({name: table}))
    assert_same_weights(load(directory), model)
    rewrite(directory, lambda tensors: tensors[name][offset + 3].neg_())
    with pytest.raises(CheckpointError, match=rf"tensor {name} is not the sinusoidal table"):
        load(directory)


def test_shards_with_an_index_equal_the_single_file(directory: Path) -> None:
    original = load(directory)
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, members in shards.items():
        save_file({name: tensors[name] for name in members}, directory / file)
    index = {"weight_map": {name: file for file, members in shards.items() for name in members}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert_same_weights(load(directory), original)
    (directory / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors"):
        load(directory)


def test_pickled_weights_equal_safetensors(directory: Path) -> None:
    original = load(directory)
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    assert_same_weights(load(directory), original)


def test_pickled_code_is_refused_unrun(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    torch.save({"weight": Path("harmless")}, directory / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: not a readable file of plain tensors"):
        load(directory)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_are_widened_exactly(directory: Path, fc1: str, dtype: torch.dtype) -> None:
    rewrite(directory, lambda tensors: tensors.update({name: item.to(dtype) for name, item in tensors.items()}))
    stored = load_file(directory / "model.safetensors")[fc1]
    loaded = load(directory).get_parameter("encoder_layers.1.ffn.fc1.weight")
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded[: len(stored)], stored.float())


def test_tied_parameters_share_their_memory_in_every_type() -> None:
    model = load(BUNDLED, torch.bfloat16)
    assert model.output_projection.weight.data_ptr() == model.source_embed_tokens.weight.data_ptr()
    assert model.source_positions.table.dtype == torch.bfloat16
    assert not any(parameter.requires_grad for parameter in model.parameters())
