"""The sentences of the test data as token ids of the bundled checkpoint."""

from transformers import M2M100Tokenizer

from tests.support.checkpoints import read_sources


def encode_sources(tokenizer: M2M100Tokenizer) -> tuple[list[list[int]], list[list[int]]]:
    """Sources and their decoder prompts."""
    sources, prompts = [], []
    for source in read_sources():
        tokenizer.src_lang = source.source_lang
        sources.append(tokenizer(source.text).input_ids)
        prompts.append([tokenizer.eos_token_id, tokenizer.get_lang_id(source.target_lang)])
    return sources, prompts
