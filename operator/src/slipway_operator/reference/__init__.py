"""The reference pages: what a user looks up, made from what the programs use."""
