"""Serving stores: who may come in, what each op does, how replies and pushes go out."""
