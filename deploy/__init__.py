"""How Kakehashi is deployed; `deploy.ray` is the only part that is Python code of its own."""
