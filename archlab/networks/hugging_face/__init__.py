"""Networks of Hugging Face: built from their configs by transformers and diffusers, without weights."""
