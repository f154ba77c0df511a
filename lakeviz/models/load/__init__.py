"""Load a model: what was asked for, where its weights lie, and which library builds it."""
