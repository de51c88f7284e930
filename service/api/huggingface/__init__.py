"""The API of Hugging Face's inference servers, in the shapes of text-generation-inference."""
