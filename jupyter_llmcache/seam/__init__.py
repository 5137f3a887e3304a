"""How LangChain, embeddings and HTTP clients are led past the cache, and the way of one call."""
