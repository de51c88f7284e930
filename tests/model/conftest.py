from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import M2M100Tokenizer

from tests.support.checkpoint_families import random_bart, random_mbart, random_pegasus, random_t5
from tests.support.checkpoints import BUNDLED, Shape, random_m2m100, random_marian
from tests.support.lively import BUILDS, lively_pair
from tests.support.pairs import Pair, load_pair

FAMILY_END_GAIN = 1.5


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundled() -> Pair:
    return load_pair(BUNDLED)


@pytest.fixture(scope="session")
def bundled_tokenizer() -> M2M100Tokenizer:
    return M2M100Tokenizer.from_pretrained(BUNDLED)


@pytest.fixture(scope="session")
def m2m100_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("m2m100"), seed=1)


@pytest.fixture(scope="session")
def marian_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_marian(tmp_path_factory.mktemp("marian"), seed=1)


@pytest.fixture(scope="session")
def m2m100(m2m100_directory: Path) -> Pair:
    return load_pair(m2m100_directory)


@pytest.fixture(scope="session")
def marian(marian_directory: Path) -> Pair:
    return load_pair(marian_directory)


@pytest.fixture(scope="session")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_pair(random_bart(tmp_path_factory.mktemp("bart"), seed=8))


@pytest.fixture(scope="session")
def mbart(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_pair(random_mbart(tmp_path_factory.mktemp("mbart"), seed=8))


@pytest.fixture(scope="session")
def pegasus(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_pair(random_pegasus(tmp_path_factory.mktemp("pegasus"), seed=1))


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_pair(random_t5(tmp_path_factory.mktemp("t5"), seed=1))


@pytest.fixture(scope="session")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Gated and untied, as the published ones."""
    shape = Shape(gated=True, tied=False, activation="gelu")
    return load_pair(random_t5(tmp_path_factory.mktemp("mt5"), seed=1, shape=shape, multilingual=True))


@pytest.fixture(params=["m2m100", "marian", "bart", "mbart", "pegasus", "t5", "mt5"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """A random checkpoint of each family."""
    loaded: Pair = request.getfixturevalue(request.param)
    return loaded


@pytest.fixture(scope="session", params=sorted(BUILDS))
def lively(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A random checkpoint of which beams compete and targets end early, late and never."""
    return lively_pair(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=["bart", "mbart", "pegasus", "t5", "mt5"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A copy of which more targets end."""
    original: Pair = request.getfixturevalue(request.param)
    theirs = deepcopy(original.theirs)
    with torch.no_grad():
        theirs.get_output_embeddings().weight[original.checkpoint.config.eos_token_id] *= FAMILY_END_GAIN
    directory = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(directory)
    return load_pair(directory)
