"""The client commands of `kakehashi`."""
