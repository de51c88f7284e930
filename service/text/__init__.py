"""What happens to a text before and after the model: language, sentences, markup."""
