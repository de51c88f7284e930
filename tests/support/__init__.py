"""What several test modules share: checkpoints, tokenizers, servers of other projects."""
