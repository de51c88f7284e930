"""The `config.json` of a small checkpoint, for tests that need no weights."""

MARIAN = {
    "model_type": "marian",
    "vocab_size": 100,
    "decoder_vocab_size": 100,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 48,
    "activation_function": "swish",
    "max_position_embeddings": 512,
    "scale_embedding": True,
    "pad_token_id": 99,
    "eos_token_id": 0,
    "decoder_start_token_id": 99,
    "normalize_before": False,
}

NLLB = {
    "model_type": "m2m_100",
    "vocab_size": 100,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "activation_function": "relu",
    "max_position_embeddings": 1024,
    "scale_embedding": True,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
